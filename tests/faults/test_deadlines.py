"""Deadlines: they end every wait of their block, wherever it waits."""

import threading
import time

import pytest

from homethrive_db import Repositories, UnavailableError
from tests.faults.servers import halted
from tests.waiting import wait_until


def test_a_deadline_cancels_the_statement_on_the_server(server, url, make_db):
    db = make_db(url)
    began = time.monotonic()
    with db.connection_context():
        with pytest.raises(UnavailableError) as caught, db.deadline(0.3):
            db.execute_sql("SELECT pg_sleep(60)")
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - began < 10
    assert caught.value.code == "DEADLINE_EXCEEDED"
    wait_until(
        lambda: not server.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%sleep(60)'")
    )
    with db.connection_context():
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_deadline_ends_the_wait_for_a_halted_backend(server, url, make_db):
    db = make_db(url)
    users = Repositories(db).users
    with db.connection_context():
        pid = db.connection().info.backend_pid
    with halted(pid):
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught, db.deadline(0.5):
            users.upsert("user_1")
        assert time.monotonic() - began < 10
    assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", False)


def test_a_deadline_ends_the_question_whether_an_idle_connection_answers(url, make_db):
    """Before ``check_timeout`` does."""
    db = make_db(url, check_after=0, check_timeout=20)
    with db.connection_context():
        pid = db.connection().info.backend_pid
    with halted(pid):
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught, db.deadline(0.3):
            db.connect()
        assert time.monotonic() - began < 10
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert db.stats().in_use == 0


def test_a_deadline_in_a_transaction_says_that_nothing_is_written(url, make_db):
    db = make_db(url)
    with pytest.raises(UnavailableError) as caught, db.deadline(0.2), db.atomic():
        db.execute_sql("SELECT pg_sleep(60)")
    assert (caught.value.code, caught.value.retryable) == ("DEADLINE_EXCEEDED", True)


def test_a_deadline_ends_the_wait_for_begin_and_rollback(server, url, make_db):
    db = make_db(url)
    with db.connection_context():
        with halted(db.connection().info.backend_pid):
            began = time.monotonic()
            with pytest.raises(UnavailableError) as caught, db.deadline(0.3), db.atomic():
                pytest.fail("it was not to begin")
            assert caught.value.code == "DEADLINE_EXCEEDED"
        with (
            pytest.raises(UnavailableError),
            db.deadline(0.3),
            db.atomic(),
            halted(db.connection().info.backend_pid),
        ):
            db.execute_sql("SELECT 1")
        assert time.monotonic() - began < 10
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_deadline_is_told_through_savepoints(url, make_db):
    """Not the loss of the connection that it brings about."""
    db = make_db(url)
    with pytest.raises(UnavailableError) as caught, db.deadline(0.2), db.atomic(), db.atomic():
        db.execute_sql("SELECT pg_sleep(60)")
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_repeated_attempts_end_with_the_deadline(server, url, make_db):
    db = make_db(url)
    server.stop()
    began = time.monotonic()
    with pytest.raises(UnavailableError), db.deadline(0.3):
        db.run(lambda: db.execute_sql("SELECT 1"))
    assert time.monotonic() - began < 10


def test_a_deadline_ends_the_wait_for_a_connection(url, make_db):
    db = make_db(url, max_connections=1)
    holding, done = threading.Event(), threading.Event()

    def hold():
        with db.connection_context():
            holding.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught, db.deadline(0.2):
        db.connect()
    assert time.monotonic() - began < 10
    assert caught.value.code == "DEADLINE_EXCEEDED"
    done.set()
    holder.join()


def test_a_deadline_ends_a_connect(proxy, proxy_url, make_db):
    """Before libpq's own, which counts whole seconds."""
    proxy.is_black_hole = True
    db = make_db(proxy_url)
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught, db.deadline(0.2):
        db.connect()
    assert time.monotonic() - began < 5
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert db.stats().in_use == 0


def test_when_no_time_is_left_no_connect_begins(url, make_db, monkeypatch):
    """It may be done before its thread is waited for: a local server takes a millisecond."""
    begun = threading.Event()
    monkeypatch.setattr("psycopg2.connect", lambda **_: begun.set())
    with pytest.raises(UnavailableError) as caught:
        make_db(url)._connector.connect(0)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert not begun.wait(0.2)


def test_what_is_done_in_time_is_left_alone(url, make_db):
    db = make_db(url)
    with db.connection_context():
        with db.deadline(1):
            db.execute_sql("SELECT 1")
        assert db.execute_sql("SELECT pg_sleep(1.3)").fetchone() is not None
        with db.deadline(10), db.deadline(20):
            assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_after_a_deadline_no_connection_is_taken(url, make_db):
    """Not even one that is idle."""
    db = make_db(url)
    with db.connection_context():
        db.execute_sql("SELECT 1")
    with db.deadline(0), pytest.raises(UnavailableError) as caught:
        db.connect()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert db.stats().in_use == 0


def test_after_a_deadline_nothing_is_sent(url, make_db, written):
    db = make_db(url)
    with db.deadline(0), pytest.raises(UnavailableError) as caught, db.atomic():
        db.execute_sql("INSERT INTO written VALUES ('never')")
    assert caught.value.retryable
    assert written() == []
