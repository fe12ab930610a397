"""Waits that would not end: for a connection, a network that is gone, a server that is halted."""

import logging
import subprocess
import sys
import threading
import time

import pytest

from homethrive_db import PoolTimeoutError, Repositories, UnavailableError
from homethrive_db.watch import Watch
from tests.faults.conftest import DATABASE
from tests.waiting import wait_until


def in_thread(function):
    """Run *function* in a thread to its end."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_the_slots_of_dead_threads_are_found_again(url, make_db):
    """Fault 6: two leakers that died."""
    db = make_db(url, max_connections=2)
    took = []
    for _ in range(3):  # the best of them: the machine may be busy
        while db.stats().in_use < 2:
            in_thread(db.connect)
        began = time.monotonic()
        db.connect()
        took.append(time.monotonic() - began)
        db.manual_close()
    assert min(took) < 0.5  # who waits looks for them once a second
    assert db.stats().dropped["leaked"] == 3


def test_a_program_that_ends_may_still_connect(url):
    """A thread that would watch over it cannot be started then."""
    program = f"""
import atexit
from homethrive_db import create_db
db = create_db({url!r})
def say_goodbye():
    with db.connection_context():
        print(db.execute_sql("SELECT 1").fetchone())
atexit.register(say_goodbye)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("(1,)\n", "")


def test_a_full_pool_says_who_holds_it(url, make_db):
    """Fault 6: two leakers that live."""
    db = make_db(url, max_connections=2, pool_timeout=1)
    ready, done = threading.Barrier(3), threading.Event()

    def leak():
        db.connect()
        ready.wait()
        done.wait()

    leakers = [threading.Thread(target=leak, name=f"leaker {number}") for number in (1, 2)]
    for leaker in leakers:
        leaker.start()
    ready.wait()
    began = time.monotonic()
    with pytest.raises(PoolTimeoutError, match=r"leaker 1 for \d\.\d s") as caught:
        db.connect()
    assert 0.8 < time.monotonic() - began < 10
    assert "leaker 2" in str(caught.value)
    assert (caught.value.code, caught.value.retryable) == ("POOL_EXHAUSTED", True)
    assert db.stats().wait_seconds >= 1
    done.set()
    for leaker in leakers:
        leaker.join()


def test_ten_threads_share_three_connections(server, url, make_db):
    """Fault 7: no block is needed."""
    db = make_db(url, max_connections=3)
    users = Repositories(db).users
    users.upsert("user_1")
    start, found, backends = threading.Barrier(10), [], []

    def work():
        start.wait()
        found.extend(users.find_by_clerk_user_id("user_1") for _ in range(20))
        backends.append(len(server.backends(DATABASE)))

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.clerk_user_id for one in found] == ["user_1"] * 200
    assert max(backends) <= 3
    assert db.stats().opened <= 3


def test_a_connection_that_is_held_for_long_is_logged_once(url, make_db, caplog):
    db = make_db(url, leak_after=0.05)

    def take_it_and_keep_it():
        db.connect()

    with caplog.at_level(logging.WARNING, "homethrive_db.pool"):
        take_it_and_keep_it()
        wait_until(lambda: caplog.records)
        db.execute_sql("SELECT pg_sleep(0.3)")  # long enough for more of them
        db.close()
    (record,) = caplog.records
    assert "take_it_and_keep_it" in record.getMessage()
    assert "MainThread" in record.getMessage()


def test_no_time_at_all_means_that_none_is_logged(url, make_db, monkeypatch):
    """Nor is anybody kept busy with looking for one."""
    looks = []

    def look(watch):
        looks.append(watch)

    monkeypatch.setattr(Watch, "look", look)
    db = make_db(url, leak_after=0, call_timeout=0)
    with db.connection_context():
        db.execute_sql("SELECT pg_sleep(0.1)")
    assert looks == []


def test_a_connection_that_is_returned_in_time_is_not_logged(url, make_db, caplog):
    db = make_db(url, leak_after=1)
    with caplog.at_level(logging.WARNING, "homethrive_db.pool"):
        db.connect()
        db.close()
        other = make_db(url)
        with other.connection_context():  # long enough for an alarm that was not called off
            other.execute_sql("SELECT pg_sleep(1.2)")
    assert not caplog.records


@pytest.mark.parametrize("state", ["unsent", "awaited"])
def test_a_black_hole_ends_in_an_error(proxy, proxy_url, make_db, state):
    """Fault 10: nothing comes back, whether the statement was under way or not."""
    db = make_db(proxy_url)
    with db.connection_context():
        db.execute_sql("SELECT 1")
        if state == "unsent":
            proxy.is_black_hole = True
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught, db.deadline(0.5):
            if state == "awaited":
                threading.Timer(0.1, setattr, [proxy, "is_black_hole", True]).start()
            db.execute_sql("SELECT pg_sleep(0.3), pg_sleep(0.3)")
    assert time.monotonic() - began < 10
    assert caught.value.code == "DEADLINE_EXCEEDED"


def test_five_connects_into_a_black_hole_end_together(proxy, proxy_url, make_db):
    """Fault 10: none waits for another."""
    proxy.is_black_hole = True
    db = make_db(proxy_url, connect_timeout=2)
    errors = []

    def connect():
        try:
            db.connect()
        except UnavailableError as error:
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(5)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began < 2 + 2
    assert len(errors) == 5
    assert all(error.retryable for error in errors)
    assert db.stats().in_use == 0


def test_a_stuck_connect_delays_nobody_else(proxy, proxy_url, make_db):
    db = make_db(proxy_url)
    db.connect()
    proxy.is_black_hole = True
    errors = []

    def connect():
        try:
            db.connect()
        except UnavailableError as error:
            errors.append(error)

    stuck = threading.Thread(target=connect)
    stuck.start()
    wait_until(lambda: proxy.connections == 2)
    began = time.monotonic()
    db.close()
    db.connect()
    assert db.stats().in_use == 2
    db.close()
    assert time.monotonic() - began < 5
    assert errors == []
    proxy.cut()
    stuck.join()
    assert len(errors) == 1


def test_one_that_has_no_time_to_answer_is_replaced(url, make_db):
    db = make_db(url, check_after=0, check_timeout=0)
    with db.connection_context():
        pid = db.connection().info.backend_pid
    with db.connection_context():
        assert db.connection().info.backend_pid != pid
    assert db.stats().dropped == {"unresponsive": 1}
