"""Migrators that are killed, tables that are held, indexes that are half built."""

import os
import subprocess
import sys
from contextlib import contextmanager

import psycopg2
import pytest

from homethrive_db import MigrationError, create_db
from homethrive_db.migrate import migrate, router
from homethrive_db.migrate.history import History
from homethrive_db.migrate.router import Retry, SafeRouter
from tests.catalog import read_catalog
from tests.stock import pw_migrate
from tests.waiting import wait_until

GATE = 42
"""An advisory lock that a test holds to stop a migration where it wants."""

TWO_STEPS = """
def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("CREATE TABLE half (id int)")
    migrator.sql("SELECT pg_advisory_xact_lock(42)")
    migrator.sql("CREATE TABLE whole (id int)")

def rollback(migrator, database, fake=False, **kwargs):
    migrator.sql("DROP TABLE whole, half")
"""

CONCURRENT = """
TRANSACTIONAL = False

def migrate(migrator, database, fake=False, **kwargs):
    if not any(column.name == "color" for column in database.get_columns("users")):
        migrator.sql("ALTER TABLE users ADD COLUMN color text")
    migrator.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_color_idx ON users (color)")

def rollback(migrator, database, fake=False, **kwargs):
    migrator.sql("DROP INDEX CONCURRENTLY IF EXISTS users_color_idx")
    migrator.sql("ALTER TABLE users DROP COLUMN IF EXISTS color")
"""

ADD_COLUMN = """
def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("ALTER TABLE users ADD COLUMN color text")
"""


@pytest.fixture
def db(empty_db, folder):
    """Open a database with the first two migrations for the whole test."""
    list(migrate(empty_db))
    with empty_db.connection_context():
        yield empty_db


@pytest.fixture
def url(server):
    """Give the URL of that database, for other processes."""
    return server.url


@contextmanager
def session(url):
    """Open a session of somebody else; whatever it holds ends with the block."""
    connection = psycopg2.connect(url, application_name="somebody")
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@pytest.fixture
def start_migrator(url, folder):
    """Give a function that starts a migrator; what still runs of them ends with the test."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-m", "peewee_migrate", "migrate", "--directory", folder],
            env={**os.environ, "DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


OTHERS = "application_name = 'homethrive_db' AND pid <> pg_backend_pid()"


def pids(db, condition):
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
    return [pid for (pid,) in db.execute_sql(query)]


def test_a_migrator_killed_in_between_leaves_nothing_and_the_next_one_applies_it(
    db, url, folder, start_migrator
):
    before = read_catalog(db)
    folder.joinpath("003_two_steps.py").write_text(TWO_STEPS)
    with session(url) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        migrator = start_migrator()
        wait_until(lambda: pids(db, "wait_event = 'advisory'"))
        migrator.kill()
        migrator.communicate(timeout=120)
    wait_until(lambda: not pids(db, OTHERS))
    assert read_catalog(db) == before
    assert len(History(db).applied()) == 2
    again = pw_migrate("migrate", url=url, folder=folder)
    assert (again.returncode, again.stderr) == (0, "")
    assert {"half", "whole"} <= read_catalog(db)["tables"].keys()
    assert [one.name for one in History(db).applied()].count("003_two_steps") == 1


def index(db):
    """Give the index's number, and whether it is valid."""
    query = "SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    return db.execute_sql(query, ("users_color_idx",)).fetchone()


@contextmanager
def stuck_index_build(db, url, folder, start_migrator):
    """Kill a migrator while PostgreSQL builds its index, held up by a transaction that wrote."""
    folder.joinpath("003_concurrent.py").write_text(CONCURRENT)
    db.execute_sql("ALTER TABLE users ADD COLUMN color text")
    with session(url) as writer:
        writer.execute("INSERT INTO users (clerk_user_id) VALUES ('user_1')")
        migrator = start_migrator()
        wait_until(lambda: index(db) is not None)
        migrator.kill()
        migrator.communicate(timeout=120)
        yield


def test_an_index_that_a_killed_migrator_left_invalid_is_replaced(db, url, folder, start_migrator):
    with stuck_index_build(db, url, folder, start_migrator):
        (builder,) = pids(db, "query LIKE '%%CONCURRENTLY%%' AND pid <> pg_backend_pid()")
        db.execute_sql("SELECT pg_terminate_backend(%s)", (builder,))
        wait_until(lambda: not pids(db, f"pid = {builder}"))
    left, is_valid = index(db)
    assert not is_valid
    again = pw_migrate("migrate", url=url, folder=folder)
    assert (again.returncode, again.stderr) == (0, "")
    replaced, is_valid = index(db)
    assert is_valid
    assert replaced != left


def test_an_index_that_is_still_being_built_is_waited_for_and_kept(db, url, folder, start_migrator):
    with stuck_index_build(db, url, folder, start_migrator):
        left, is_valid = index(db)
        assert not is_valid
        second = start_migrator()
        assert "waiting: process" in second.stderr.readline()
    assert second.wait() == 0
    assert index(db) == (left, True)
    second.communicate(timeout=120)


def test_a_non_transactional_migration_goes_up_down_and_up(db, folder):
    before = read_catalog(db)
    folder.joinpath("003_concurrent.py").write_text(CONCURRENT)
    safe = SafeRouter(db, folder)
    assert list(safe.apply()) == ["003_concurrent"]
    after = read_catalog(db)
    assert "users_color_idx" in after["tables"]["users"]["indexes"]
    assert safe.take_back() == "003_concurrent"
    assert read_catalog(db) == before
    assert list(safe.apply()) == ["003_concurrent"]
    assert read_catalog(db) == after


def test_a_non_transactional_migration_runs_under_the_lock(db, url, folder, start_migrator):
    """Two at once: one builds the index, the other waits and finds it done."""
    folder.joinpath("003_concurrent.py").write_text(CONCURRENT)
    migrators = [start_migrator() for _ in range(4)]
    outputs = [migrator.communicate(timeout=120) for migrator in migrators]
    assert [migrator.returncode for migrator in migrators] == [0] * 4, outputs
    assert [one.name for one in History(db).applied()].count("003_concurrent") == 1
    assert index(db)[1]


def test_an_index_build_that_could_not_be_repeated_is_refused(db, folder):
    folder.joinpath("003_once.py").write_text(
        CONCURRENT.replace("INDEX CONCURRENTLY IF NOT EXISTS", "INDEX CONCURRENTLY")
    )
    with pytest.raises(MigrationError, match=r"003_once: .*needs IF NOT EXISTS"):
        list(SafeRouter(db, folder).apply())


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_color_idx ON users (color)",
        "ALTER TABLE users ADD COLUMN email text",
        "CREATE INDEX CONCURRENTLY users_email_idx ON users (email)",
    ],
    ids=["index fails", "transaction fails", "refused"],
)
@pytest.mark.parametrize("way", ["up", "back"])
def test_a_non_transactional_migration_that_fails_leaves_no_session(db, folder, way, sql):
    up = "SELECT 1" if way == "back" else sql
    folder.joinpath("003_fails.py").write_text(
        "TRANSACTIONAL = False\n"
        f"def migrate(migrator, *_, **__):\n    migrator.sql({up!r})\n"
        f"def rollback(migrator, *_, **__):\n    migrator.sql({sql!r})\n"
    )
    safe = SafeRouter(db, folder)
    if way == "back":
        list(safe.apply())
    with pytest.raises(MigrationError) as kept:  # with all that its traceback refers to
        list(safe.apply()) if way == "up" else safe.take_back()
    wait_until(lambda: not pids(db, OTHERS))
    assert kept.value.details["migration"] == "003_fails"


@pytest.fixture
def held_users(url):
    """Hold the table of users as a long query would; gives a function that lets go."""
    connection = psycopg2.connect(url, application_name="reader")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM users")
    yield connection.rollback
    connection.close()


def test_a_migration_does_not_queue_behind_a_long_reader(db, url, folder, held_users, monkeypatch):
    """It tries, lets others pass, and tries again; who holds the table is named."""
    monkeypatch.setattr(router, "_FIRST_PAUSE", 0.001)
    folder.joinpath("003_color.py").write_text(ADD_COLUMN)
    heard = []

    def listen(event):
        heard.append(event)
        with session(url) as other:
            other.execute("SET statement_timeout = '5s'; SELECT count(*) FROM users")
        if len(heard) == 2:
            held_users()

    safe = SafeRouter(db, folder, lock_timeout=0.05, on_wait=listen)
    assert list(safe.apply()) == ["003_color"]
    assert len(heard) == 2
    assert isinstance(heard[0], Retry)
    assert heard[0].holder.application_name == "reader"
    assert "003_color tries again in" in str(heard[0])
    assert "(reader) since" in str(heard[0])


def test_a_migration_that_never_gets_its_locks_gives_up_and_leaves_nothing(
    db, folder, held_users, monkeypatch
):
    monkeypatch.setattr(router, "_FIRST_PAUSE", 0.001)
    folder.joinpath("003_color.py").write_text(ADD_COLUMN)
    before = read_catalog(db)
    with pytest.raises(MigrationError, match=r"tried 3 times, 0\.01 seconds each") as caught:
        list(SafeRouter(db, folder, lock_timeout=0.01, attempts=3).apply())
    assert caught.value.code == "LOCK_TIMEOUT"
    assert caught.value.details == {"migration": "003_color", "sqlstate": "55P03"}
    assert read_catalog(db) == before
    assert len(History(db).applied()) == 2


def test_the_lock_timeout_ends_with_the_migration(db, folder):
    folder.joinpath("003_color.py").write_text(ADD_COLUMN)
    list(SafeRouter(db, folder).apply())
    assert db.execute_sql("SHOW lock_timeout").fetchone() == ("0",)


def test_a_migrator_that_waits_takes_over_from_one_that_was_killed(db, url, folder, start_migrator):
    folder.joinpath("003_two_steps.py").write_text(TWO_STEPS)
    with session(url) as gate:
        gate.execute("SELECT pg_advisory_lock(%s)", (GATE,))
        first = start_migrator()
        wait_until(lambda: pids(db, "wait_event = 'advisory'"))
        second = start_migrator()
        assert "waiting: process" in second.stderr.readline()
        first.kill()
        first.communicate(timeout=120)
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0
    assert "003_two_steps" in out


def test_a_server_that_ends_idle_transactions_does_not_take_the_lock_away(db, url, folder):
    """A file without a transaction leaves the one of the lock idle."""
    slow = """
TRANSACTIONAL = False

def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("SELECT pg_sleep(1)")
    migrator.sql("CREATE TABLE IF NOT EXISTS slow (id int)")
"""
    folder.joinpath("003_slow.py").write_text(slow)
    impatient = create_db(url, options="-c idle_in_transaction_session_timeout=500")
    try:
        with impatient.connection_context():
            assert list(SafeRouter(impatient, folder).apply()) == ["003_slow"]
    finally:
        impatient.close_all()
