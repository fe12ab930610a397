"""``reset`` empties a database for development, and no other."""

import signal
import subprocess
from contextlib import suppress

import pytest

from homethrive_db.migrate import migrate, status
from homethrive_db.migrate.reset import drop_everything
from tests.catalog import read_catalog
from tests.process import PROGRAM, run_command, unmeasured


@pytest.fixture
def used(empty_db):
    """Give a migrated database with a row, and a table of somebody else that points at ours."""
    list(migrate(empty_db))
    with empty_db.atomic():
        empty_db.execute_sql(
            "INSERT INTO users (clerk_user_id) VALUES ('user_1');"
            "CREATE TABLE theirs (user_id text REFERENCES users)"
        )
    return empty_db


def users(db):
    with db.connection_context():
        return db.execute_sql("SELECT count(*) FROM users").fetchone()[0]


def embedded_url(server):
    return f"embedded://{server.folder}"


def test_an_embedded_database_is_emptied_and_made_anew(used, server):
    before = read_catalog(used)
    done = run_command("reset", "--yes", url=embedded_url(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert users(used) == 0
    assert status(used).is_current
    before["tables"]["theirs"]["constraints"] = {}
    assert read_catalog(used) == before


def test_what_migrations_made_beside_the_models_goes_too(used, folder):
    folder.joinpath("003_tags.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE tags (id int)')\n"
    )
    with used.atomic():
        used.execute_sql("CREATE TABLE tags (id int)")
    drop_everything(used, folder)
    assert set(read_catalog(used)["tables"]) == {"theirs"}


@pytest.mark.parametrize(
    ("typed", "is_emptied"), [("homethrive\n", True), ("yes\n", False), ("", False)]
)
def test_the_name_has_to_be_typed(used, server, typed, is_emptied):
    done = subprocess.run(
        [*PROGRAM, "reset"],
        input=typed,
        env={"DATABASE_URL": embedded_url(server), "PATH": "/usr/bin", "HOME": str(server.folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if is_emptied else 2)
    assert len(done.stderr.splitlines()) == (0 if is_emptied else 1)
    assert (users(used) == 0) is is_emptied


@pytest.mark.parametrize("options", [[], ["--yes"]])
def test_a_database_that_is_not_for_development_is_never_emptied(used, server, options):
    """Here by its socket: the address is no loopback address."""
    done = run_command("reset", *options, url=server.url)
    assert done.returncode == 2
    assert "only a database for development is reset" in done.stderr
    assert users(used) == 1


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        ("postgresql://u:s3cr3t@db.invalid/homethrive_dev", {}),
        ("postgresql://u:s3cr3t@localhost/homethrive_dev?hostaddr=192.0.2.1", {}),
        ("postgresql:///homethrive_dev", {"PGHOST": "db.invalid"}),
    ],
)
def test_a_remote_address_is_refused_before_it_is_connected_to(url, variables):
    done = run_command("reset", "--yes", url=url, **variables)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "is no loopback address: only a database for development is reset\n"
    )


def test_an_interrupt_in_place_of_the_name_is_an_interrupt(used, server):
    with subprocess.Popen(
        [*PROGRAM, "reset"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**unmeasured(), "DATABASE_URL": embedded_url(server)},
    ) as asking:
        shown = b""
        while not shown.endswith(b"say so:"):
            shown += asking.stdout.read(1) or pytest.fail("it does not ask")
        while asking.poll() is None:  # Python drops one that comes just before it reads
            asking.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                asking.wait(timeout=1)  # its input stays open: the end of it is another answer
        errors = asking.stderr.read()
    assert (asking.returncode, errors) == (130, b"homethrive-db: interrupted\n")
    assert users(used) == 1
