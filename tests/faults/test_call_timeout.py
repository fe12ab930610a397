"""Calls whose answer does not come, where nobody has set a deadline."""

import gc
import math
import threading
import time
import weakref

import pytest

from homethrive_db import (
    CommitUncertainError,
    Repositories,
    UnavailableError,
    cancel,
    check_connection,
    create_db,
)
from homethrive_db.migrate.lock import migration_lock
from tests.faults.conftest import DATABASE
from tests.waiting import wait_until

SLEEP = "SELECT pg_sleep(0.3)"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

# What a COMMIT waits for: a trigger that fires only then.
SLOW_COMMIT = """
CREATE TEMPORARY TABLE slow (id int);
CREATE OR REPLACE FUNCTION pg_temp.wait() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pg_temp.wait();
INSERT INTO slow VALUES (1)
"""


def recipient_of_nobody(db):
    Repositories(db).care_recipients.create("nobody", display_name="Ana")


CALLS = {
    "a read": (lambda db: Repositories(db).users.find_by_clerk_user_id("nobody"), True),
    "a write": (recipient_of_nobody, False),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_statement_that_is_swallowed_ends_in_an_error(proxy, proxy_url, make_db, name):
    """Fault 10: the kernel on the way acknowledges it, so no timeout of TCP helps."""
    call, nothing_written = CALLS[name]
    db = make_db(proxy_url, call_timeout=0.5)
    with db.connection_context():
        proxy.is_black_hole = True
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            call(db)
        assert 0.5 < time.monotonic() - began < 5
        assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", nothing_written)
        proxy.is_black_hole = False
        assert Repositories(db).users.find_by_clerk_user_id("nobody") is None


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_that_is_swallowed_ends_in_an_error(server, proxy, proxy_url, make_db, name):
    """Fault 10: the statement has arrived, and is under way on the server."""
    call, nothing_written = CALLS[name]
    db = make_db(proxy_url, call_timeout=0.5)

    def swallow():
        proxy.wait_for_statement('"users"' if nothing_written else "INSERT")
        proxy.is_black_hole = True

    with db.connection_context():
        db.execute_sql("SELECT 1")
        swallowing = threading.Thread(target=swallow)
        with server.locked("users", DATABASE):
            swallowing.start()
            began = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                call(db)
            assert time.monotonic() - began < 5
        swallowing.join()
    assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", nothing_written)


def test_a_statement_that_takes_too_long_is_cancelled_on_the_server(server, url, make_db):
    db = make_db(url, call_timeout=0.3)
    with server.locked("users", DATABASE):
        with pytest.raises(UnavailableError, match="call_timeout"):
            Repositories(db).users.upsert("user_1")
        wait_until(lambda: not server.execute(WAITING))


def test_where_no_thread_can_be_started_it_is_cut(server, url, make_db, monkeypatch):
    """The one that would ask the server to cancel, in a program that has too many."""
    db = make_db(url, call_timeout=0.3)
    with server.locked("users", DATABASE), db.connection_context():
        db.execute_sql("SELECT 1")

        class NoThread(threading.Thread):
            def start(self):
                raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(cancel.threading, "Thread", NoThread)
            with pytest.raises(UnavailableError) as caught:
                Repositories(db).users.upsert("user_1")
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_a_slow_one_that_ends_in_time_is_left_alone(server, url, make_db):
    """Whenever it begins: each of them is timed from its own start."""
    db = make_db(url, call_timeout=3)
    users = Repositories(db).users
    for _ in range(11):
        holding = threading.Event()

        def hold(holding=holding):
            with server.locked("users", DATABASE):
                holding.set()
                wait_until(lambda: server.execute(WAITING))
                server.execute(SLEEP)

        holder = threading.Thread(target=hold)
        holder.start()
        holding.wait()
        began = time.monotonic()
        assert users.find_by_clerk_user_id("nobody") is None
        assert time.monotonic() - began >= 0.3
        holder.join()
    assert db.stats().opened == 1


def test_begin_savepoint_rollback_and_commit_end_too(proxy, proxy_url, make_db):
    db = make_db(proxy_url, call_timeout=0.6)
    with db.connection_context():
        proxy.is_black_hole = True
        with pytest.raises(UnavailableError) as caught, db.atomic():
            pytest.fail("it was not to begin")
        assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", True)
        proxy.is_black_hole = False
        with pytest.raises(ZeroDivisionError), db.atomic():
            proxy.is_black_hole = True
            raise ZeroDivisionError
        proxy.is_black_hole = False
        with pytest.raises(UnavailableError) as caught, db.atomic():
            proxy.is_black_hole = True
            with db.atomic():
                pytest.fail("it was not to begin")
        assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", True)
        proxy.is_black_hole = False
        with pytest.raises(CommitUncertainError), db.atomic():
            db.execute_sql("INSERT INTO written VALUES ('perhaps')")
            proxy.is_black_hole = True
        proxy.is_black_hole = False
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_plain_statements_and_migrations_may_take_as_long_as_they_need(url, make_db):
    db = make_db(url, call_timeout=0.1)
    with db.connection_context():
        assert db.execute_sql(SLEEP).fetchone() is not None
    with migration_lock(db, wait=0):
        db.execute_sql(SLOW_COMMIT)
    assert db.stats().opened == 1


def test_a_deadline_takes_its_place(server, url, make_db):
    db = make_db(url, call_timeout=0.1)
    for seconds in (30, math.inf):
        with db.deadline(seconds), db.atomic():
            db.execute_sql(SLOW_COMMIT.replace("slow", f"slow_{seconds}"))
    assert db.stats().opened == 1


@pytest.mark.parametrize("none", [None, 0])
def test_it_can_be_left_out(url, make_db, none):
    db = make_db(url, call_timeout=none)
    with db.atomic():
        db.execute_sql(SLOW_COMMIT)
    assert db.stats().opened == 1


def test_a_database_that_nobody_has_any_more_is_not_kept_by_the_watch(server, url):
    db = create_db(url, call_timeout=60)
    with db.connection_context():
        pid = db.connection().info.backend_pid
    gone = weakref.ref(db)
    del db
    gc.collect()
    assert gone() is None
    wait_until(lambda: pid not in server.backends(DATABASE))


def test_a_health_query_and_the_question_about_a_commit_end_too(proxy, proxy_url, make_db):
    db = make_db(proxy_url, call_timeout=0.6, settle_commits=True, connect_timeout=2)
    with db.connection_context():
        proxy.is_black_hole = True
        with pytest.raises(UnavailableError) as caught:
            check_connection(db)
        assert caught.value.retryable
        proxy.is_black_hole = False
        with pytest.raises(UnavailableError) as caught, db.atomic():
            db.execute_sql("INSERT INTO written VALUES ('never')")
            proxy.is_black_hole = True
        assert caught.value.retryable
