"""The command line and what surrounds it: terminals, signals, files, and the psql it opens."""

import os
import pty
import subprocess
import sys

import psycopg2
import pytest

from tests.process import PROGRAM, run_command

SECRET = "s3cr3t"

# Makes a terminal that of a new session, so that Ctrl-C is more than a character in it.
ON_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def fails_in_one_line(failed, says):
    assert failed.returncode == 2
    assert says in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert SECRET not in failed.stderr


def test_a_file_that_cannot_be_written_is_one_clear_line(homethrive_committed_url, tmp_path):
    (tmp_path / "events.ndjson").write_bytes(b"x\n")
    done = run_command(
        "record", "events.ndjson", "--rejects", "r" * 300, url=homethrive_committed_url,
        folder=tmp_path,
    )  # fmt: skip
    fails_in_one_line(done, "File name too long")


def test_an_env_file_that_is_no_text_is_one_clear_line(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1\n")
    fails_in_one_line(run_command("status", folder=tmp_path), "the file .env is not UTF-8")


def test_psql_is_that_of_the_wheel_where_the_path_has_none(homethrive_committed_url):
    shown = run_command(
        "psql", "-Atc", "SELECT count(*) FROM users", url=homethrive_committed_url, PATH=""
    )
    assert (shown.stdout, shown.stderr, shown.returncode) == ("0\n", "", 0)


def test_psql_gets_the_password_where_nobody_else_sees_it(server):
    shown = run_command(
        "psql", "-c", r"\! ps -o args= -p $PPID", "-c", r"\! echo $PGPASSWORD",
        url=server.url.replace("postgres@", f"postgres:{SECRET}@"),
    )  # fmt: skip
    arguments, password = shown.stdout.splitlines()
    assert "psql" in arguments
    assert SECRET not in arguments
    assert password == SECRET


def test_psql_is_not_opened_where_it_would_show_a_password():
    url = f"postgresql://u@localhost:1/d?sslpassword={SECRET}"
    fails_in_one_line(run_command("psql", url=url), "sslpassword")


def test_ctrl_c_in_psql_ends_its_query_and_is_psqls_own(server):
    terminal, inner = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *PROGRAM, "psql", "-c", "SELECT pg_sleep(600)"],
        env={**os.environ, "DATABASE_URL": server.url},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    ) as process:
        os.close(inner)
        with psycopg2.connect(server.url) as connection, connection.cursor() as cursor:
            while not sleeps(cursor):
                assert process.poll() is None
            os.write(terminal, b"\x03")
        connection.close()
        said = read_all(terminal)
    assert "canceling statement due to user request" in said
    assert "interrupted" not in said
    assert process.returncode == 1


def sleeps(cursor):
    """Say whether the query runs; the snapshot of activity is taken anew each time."""
    cursor.execute("SELECT pg_stat_clear_snapshot()")
    cursor.execute(
        "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    )
    return cursor.fetchone() is not None


def read_all(terminal):
    """Read until the last process has left the terminal, which Linux tells by an error."""
    said = b""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:
        pass
    os.close(terminal)
    return said.decode()


@pytest.mark.parametrize("colour", [True, False])
def test_colour_is_for_terminals_that_want_it(colour, home, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")
    terminal, inner = pty.openpty()
    with subprocess.Popen([*PROGRAM, "demo"], stdout=inner, stderr=inner) as process:
        os.close(inner)
        said = read_all(terminal)
    assert process.returncode == 0
    assert ("\x1b[" in said) is colour
