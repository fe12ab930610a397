"""Signals, whose handlers run anywhere between two steps of the thread that they interrupt."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from inspect import CO_GENERATOR
from itertools import count
from pathlib import Path

import peewee
import pytest

import homethrive_db
from homethrive_db import Database, NotFoundError, Repositories
from tests.faults.conftest import DATABASE
from tests.process import unmeasured
from tests.waiting import wait_until

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

TRACED = (homethrive_db.__path__[0], peewee.__file__)


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but nobody else's."""


@contextmanager
def at_step(number, act):
    """Call *act* at the step of that *number* where Python runs handlers; gives how often.

    It does so as a function begins, and behind one written in C; not between any two lines: none
    comes between the last line of a ``with`` and the end of it. Generators are left out as they
    begin or go on: what a profile function raises there ends them without their ``finally``.
    """
    before, steps, called = sys.getprofile(), count(1), []

    def profile(frame, event, _):
        code = frame.f_code
        is_step = event == "c_return" or (event == "call" and not code.co_flags & CO_GENERATOR)
        if is_step and code.co_filename.startswith(TRACED) and next(steps) == number:
            sys.setprofile(None)
            called.append(number)
            act()

    sys.setprofile(profile)
    try:
        yield called
    finally:
        sys.setprofile(before)


def each_step(block, act, see):
    """Call *block* again and again, *act* at another step of it each time, and *see* after it."""
    for number in count(1):
        with at_step(number, act) as called:
            block()
        if not called:
            return
        see(number)
        yield number


@pytest.mark.parametrize("kind", ["connection_context", "atomic"])
@pytest.mark.parametrize("seconds", [60, math.inf])
def test_a_handler_may_use_the_pool_wherever_it_comes(url, make_db, kind, seconds):
    db = make_db(url, max_connections=2, pool_timeout=1)

    def block():
        with db.deadline(seconds), getattr(db, kind)():
            assert db._state.slot.connection is db._state.conn
            assert db.execute_sql("SELECT 1").fetchone() == (1,)

    def handle():
        with db.connection_context():
            assert db.execute_sql("SELECT 2").fetchone() == (2,)

    def see(_):
        assert db.stats().in_use == 0
        assert len(set(map(id, db._slots._idle))) == db.stats().idle <= 2

    assert list(each_step(block, handle, see))


def be_interrupted():
    raise Interrupt


@pytest.mark.parametrize("is_held", [False, True])
def test_after_an_interrupt_the_next_transaction_is_written(url, make_db, written, is_held):
    """Wherever it came in the one before, of which all is written or nothing."""
    db = make_db(url, pool_timeout=1)

    def write(what):
        with db.atomic():
            for half in ("1", "2"):
                db.execute_sql("INSERT INTO written VALUES (%s)", (f"{what}, half {half}",))

    def block():
        with suppress(Interrupt):
            write("interrupted")

    if is_held:
        db.connect()
    done = list(each_step(block, be_interrupted, lambda number: write(f"after {number}")))
    rows = written()
    halves = [rows.count(f"interrupted, half {half}") for half in ("1", "2")]
    assert halves[0] == halves[1] < len(done)
    assert len(rows) == sum(halves) + 2 * len(done)


def succeed(repositories):
    repositories.users.upsert("user_1")


def fail(repositories):
    repositories.care_recipients.find_or_create_own_profile("nobody", "Nobody")


@pytest.mark.parametrize("kind", [nullcontext, Database.connection_context, Database.atomic])
@pytest.mark.parametrize("work", [succeed, fail])
def test_who_is_interrupted_keeps_no_slot(url, make_db, kind, work):
    """In a call of its own, or a block, wherever it came: there is no next call to find it."""
    db = make_db(url, max_connections=2, pool_timeout=1)
    repositories = Repositories(db)

    def block():
        with suppress(Interrupt, NotFoundError), kind(db):
            work(repositories)

    def see(_):
        assert (db.is_closed(), db.stats().in_use) == (True, 0)

    block()  # compiles the statement
    assert list(each_step(block, be_interrupted, see))


def test_a_call_that_was_interrupted_is_not_taken_for_one_of_the_next_holder(url, make_db):
    """Who does something else for longer than ``call_timeout`` would lose the connection."""
    db = make_db(url, max_connections=1, pool_timeout=1)

    def block():
        with suppress(Interrupt), db.atomic():
            pass

    def see(_):
        with db.connection_context():
            assert db._state.slot.call.began_at == 0

    assert list(each_step(block, be_interrupted, see))


def test_who_is_interrupted_returns_no_slot_of_anothers(url, make_db):
    """Such as the one that this thread had before."""
    db = make_db(url, max_connections=2, pool_timeout=1)
    with db.connection_context():
        anothers = db._state.slot
    taken, done = threading.Event(), threading.Event()

    def hold():
        with db.connection_context():
            taken.set()
            done.wait()

    def block():
        with suppress(Interrupt), db.connection_context():
            pass

    def see(_):
        db.close()
        assert anothers in db._slots.held()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    assert list(each_step(block, be_interrupted, see))
    done.set()
    holder.join()


def test_a_slot_whose_taker_was_interrupted_is_found_again(url, make_db):
    """By KeyboardInterrupt, just before it knew of it, or just before it had returned it."""
    db = make_db(url, max_connections=2, pool_timeout=1)
    db._slots.take(1)
    with db.connection_context():
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
    db.connect()
    db._state.reset()
    with db.connection_context():
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
    assert db.stats().in_use == 0


def test_interrupts_lose_no_slot_and_mix_none_up(url):
    """In a process of its own, which nothing else has a hand in."""
    program = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, program, url],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_handler_of_a_signal_may_use_the_pool_that_it_interrupts(url, make_db):
    """It runs in the thread that may be about to take or return a slot."""
    db = make_db(url)
    with db.connection_context():
        pass
    with db._slots._lock:
        assert db.stats().idle == 1
        db.close_all()
    assert db.stats().idle == 0


def overdue_call(db):
    (slot,) = db._slots.held()
    return lambda: slot.call.look(0, time.monotonic())


def passed_deadline(db):
    return db._deadlines.current._cancel


@pytest.mark.parametrize("block", [Database.connection_context, Database.atomic])
@pytest.mark.parametrize("limit", [overdue_call, passed_deadline])
def test_an_interrupt_is_not_lost_where_its_call_takes_too_long(server, url, make_db, block, limit):
    """It comes to Python when the statement has ended, which an error tells of then, too."""
    db = make_db(url)
    deadline = db.deadline(60) if limit is passed_deadline else nullcontext()

    def interrupt_and_end(end):
        wait_until(lambda: server.execute(WAITING, DATABASE))
        os.kill(os.getpid(), signal.SIGINT)
        end()

    with server.locked("users", DATABASE), pytest.raises(KeyboardInterrupt), deadline, block(db):
        ending = threading.Thread(target=interrupt_and_end, args=[limit(db)])
        ending.start()
        Repositories(db).users.upsert("interrupted")
    ending.join()
    assert db.stats().in_use == 0
    assert Repositories(db).users.find_by_clerk_user_id("interrupted") is None
