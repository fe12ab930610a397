"""Any number of migrators started together: each migration is applied once, and all succeed."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from homethrive_db import MigrationError, create_db
from homethrive_db.migrate import migrate, rollback, status
from homethrive_db.migrate.lock import migration_lock
from tests import migrators
from tests.catalog import CONTRACT, read_catalog, shared_part
from tests.migrations import NAMES
from tests.process import run_command, unmeasured


def run_at_once(url, count):
    """Run our command and the stock one by turns, all at once."""
    return subprocess.run(
        [sys.executable, migrators.__file__, str(count)],
        env={**unmeasured(), "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("attempt", range(10))
def test_eight_at_once_apply_each_migration_once(empty_db, server, attempt):
    done = run_at_once(server.url, 8)
    assert done.returncode == 0, done.stderr
    assert shared_part(read_catalog(empty_db)) == CONTRACT
    with empty_db.connection_context():
        history = empty_db.execute_sql("SELECT name FROM migratehistory ORDER BY id").fetchall()
    assert [name for (name,) in history] == NAMES
    assert [done.stdout.count(name) for name in NAMES] == [1] * len(NAMES)


def test_what_is_taken_back_between_two_migrations_is_applied_again(empty_db, server):
    """Else the later ones would be applied without it, and be refused ever after."""
    other = create_db(server.url)
    applied = []
    for name in migrate(empty_db):
        applied.append(name)
        if len(applied) == 4:
            assert list(rollback(other, 2)) == [NAMES[3], NAMES[2]]
    other.close_all()
    assert applied == [*NAMES[:4], *NAMES[2:]]
    assert status(empty_db).is_current
    assert shared_part(read_catalog(empty_db)) == CONTRACT


def test_what_is_taken_back_while_a_migrator_waits_is_applied_again(empty_db, server):
    list(migrate(empty_db, NAMES[4]))
    other, waits = create_db(server.url), threading.Event()

    def go_on():
        return list(migrate(other, on_wait=lambda _: waits.set()))

    with ThreadPoolExecutor(1) as thread:
        with migration_lock(empty_db, wait=0):
            applied = thread.submit(go_on)
            assert waits.wait(60)
            assert list(rollback(empty_db)) == [NAMES[4]]
        assert applied.result(timeout=60) == NAMES[4:]
    other.close_all()
    assert status(empty_db).is_current
    assert shared_part(read_catalog(empty_db)) == CONTRACT


def test_a_waiter_says_for_whom_it_waits_and_gives_up(empty_db, server):
    with migration_lock(empty_db, wait=0):
        mine = empty_db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]
        waited_for = []
        other = create_db(server.url)
        try:
            with pytest.raises(MigrationError) as caught:
                list(migrate(other, wait=0.2, on_wait=waited_for.append))
        finally:
            other.close_all()
    assert [one.pid for one in waited_for] == [mine]
    assert waited_for[0].application_name == "homethrive_db"
    assert caught.value.code == "MIGRATION_LOCKED"
    assert caught.value.details == {"pid": mine}
    assert str(mine) in str(caught.value)
    assert status(empty_db).applied == []


def test_the_command_says_for_whom_it_waits(empty_db, server):
    with migration_lock(empty_db, wait=0):
        mine = empty_db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]
        refused = run_command("migrate", "--wait", "0.1", url=server.url)
    assert refused.returncode == 2
    waiting, error = refused.stderr.splitlines()
    assert f"waiting: process {mine} (homethrive_db) since" in waiting
    assert "did not end within 0.1 seconds" in error
