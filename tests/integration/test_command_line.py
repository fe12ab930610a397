"""The command line: what it prints, its exit status, and one clear line for what is wrong."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version

import psycopg2
import pytest

from homethrive_db import create_db
from homethrive_db.cli.commands import main
from homethrive_db.migrate import migrate
from homethrive_db.settings import connection_parameters
from tests.migrations import NAMES
from tests.process import PROGRAM, run_command


@pytest.fixture
def empty_url(homethrive_databases):
    """Give the URL of a database without tables, like a new one."""
    name = f"{homethrive_databases.template()}_empty"
    with psycopg2.connect(homethrive_databases.server_url) as connection:
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield homethrive_databases.url_of(name)
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


def test_migrate_status_and_rollback_say_what_they_do(empty_url):
    *_, last = NAMES
    assert f"pending  {NAMES[0]}" in run_command("status", url=empty_url).stdout
    migrated = run_command("migrate", url=empty_url)
    assert migrated.returncode == 0
    applied = [line.strip() for line in migrated.stdout.splitlines()[1:]]
    assert applied == [f"applied {name}" for name in NAMES]
    assert "nothing to apply" in run_command("migrate", url=empty_url).stdout
    assert f"took back {last}" in run_command("rollback", url=empty_url).stdout
    assert f"pending  {last}" in run_command("status", url=empty_url).stdout
    assert f"applied {last}" in run_command("migrate", last, url=empty_url).stdout


def test_missing_tables_say_to_migrate(empty_url, tmp_path):
    (tmp_path / "events.ndjson").write_text(
        '{"user_id": "a", "schedule_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",'
        ' "scheduled_for": "2025-01-01T00:00:00Z", "taken_at": "2025-01-01T00:00:00Z"}\n'
    )
    failed = run_command("record", "events.ndjson", url=empty_url, folder=tmp_path)
    assert failed.returncode == 2
    assert "run `homethrive-db migrate`" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "DATABASE_URL is not set"),
        ("s3cr3t@nothing", "it has no scheme"),
        ("postgres://u:s3cr3t@localhost/d", "it begins with postgres://"),
        ("postgresql://u:s3cr3t%ZZ@localhost/d", "cannot be read"),
        ("postgresql://u:s3cr3t@localhost:1/d", "Connection refused"),
        ("postgresql://u:s3cr3t@no-such-host.invalid/d", "could not translate host name"),
        ("embedded://s3cr3t", "three slashes"),
    ],
)
@pytest.mark.parametrize("command", ["status", "migrate", "rollback"])
def test_a_wrong_url_gives_one_clear_line(command, url, says):
    failed = run_command(command, url=url)
    assert failed.returncode == 2
    assert says in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert "s3cr3t" not in failed.stderr + failed.stdout


def test_a_missing_database_gives_one_clear_line(homethrive_databases):
    failed = run_command("status", url=homethrive_databases.url_of("no_such_database"))
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert 'database "no_such_database" does not exist' in failed.stderr


@pytest.fixture
def guarded_url(server):
    """Give the URL of a role that needs its password, on a server that asks for it."""
    access = server.folder / "pg_hba.conf"
    trusting = access.read_text()
    with psycopg2.connect(server.url_of("postgres")) as connection:
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS guarded")
        cursor.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        access.write_text("local all guarded scram-sha-256\n" + trusting)
        cursor.execute("SELECT pg_reload_conf()")
        yield server.url.replace("postgres@", "guarded:s3cr3t@")
        access.write_text(trusting)
        cursor.execute("SELECT pg_reload_conf()")
    connection.close()


def test_a_wrong_password_gives_one_clear_line_without_it(guarded_url):
    failed = run_command("status", url=guarded_url)
    assert failed.returncode == 2
    assert "password authentication failed" in failed.stderr
    assert "s3cr3t" not in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_right_password_is_percent_decoded_and_never_shown(guarded_url, server):
    server.recreate_database()
    shown = run_command("status", url=guarded_url.replace("s3cr3t", "%72ight"))
    assert shown.returncode == 0
    assert "as guarded" in shown.stdout
    assert "right" not in shown.stdout


def test_a_user_without_rights_is_told_in_one_line(guarded_url, server):
    db = create_db(server.url)
    list(migrate(db))
    db.close_all()
    failed = run_command("status", url=guarded_url.replace("s3cr3t", "right"))
    assert failed.returncode == 2
    assert failed.stderr == "homethrive-db: the database user lacks the right to do this\n"


def test_an_env_file_is_read_and_set_variables_win(homethrive_committed_url, tmp_path):
    (tmp_path / ".env").write_text(f"DATABASE_URL={homethrive_committed_url}\n")
    assert run_command("status", folder=tmp_path).returncode == 0
    assert run_command("status", folder=tmp_path, url="nonsense").returncode == 2


def test_psql_opens_the_database(homethrive_committed_url):
    """On a server with the psql of the PATH; its password goes by the environment."""
    if not shutil.which("psql"):
        pytest.fail("psql is part of the machine that runs these tests")
    shown = run_command("psql", "-Atc", "SELECT count(*) FROM users", url=homethrive_committed_url)
    assert (shown.stdout, shown.returncode) == ("0\n", 0)


def test_psql_brings_its_own_for_an_embedded_server(server):
    parameters = connection_parameters(server.url)
    assert parameters["host"]
    version_number = server.psql.parent.parent.name.removeprefix("pginstall") or "16"
    shown = run_command(
        "psql",
        "-Atc",
        "SHOW server_version",
        url=f"embedded://{server.folder}?version={version_number}",
        PATH="",
    )
    assert shown.stdout.startswith(version_number)


@pytest.mark.parametrize("columns", ["72", "80"])
def test_the_list_of_commands_has_whole_sentences(columns):
    shown = run_command("--help", COLUMNS=columns)
    commands = shown.stdout.partition("Commands:\n")[2].splitlines()
    assert len(commands) == len(main.commands)
    assert all(re.fullmatch(r"  [a-z-]+ +[A-Z][^.]+\.", line) for line in commands)


def test_the_version_is_that_of_the_package():
    assert run_command("--version").stdout.strip() == version("homethrive-db")


def test_a_closed_pipe_is_no_traceback(homethrive_committed_url):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        ended = subprocess.run(
            [*PROGRAM, "status"],
            stdout=closed,
            stderr=subprocess.PIPE,
            env={**os.environ, "DATABASE_URL": homethrive_committed_url},
            check=False,
        )
    assert b"Traceback" not in ended.stderr


def test_the_demo_without_its_extra_says_what_to_install():
    script = (
        "import sys; sys.modules['faker'] = None\n"
        "from homethrive_db.cli import main; main(['demo'])"
    )
    failed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr == (
        "homethrive-db: the demo needs faker: pip install 'homethrive-db[demo]'\n"
    )
