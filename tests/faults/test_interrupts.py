"""Signals, whose handlers run anywhere between two steps of the thread that they interrupt."""

import math
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import peewee
import pytest

import homethrive_db
from tests.process import unmeasured

TRACED = (homethrive_db.__path__[0], peewee.__file__)


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but nobody else's."""


@contextmanager
def at_line(number, act):
    """Call *act* before the line of that *number* that the block runs; gives how often."""
    before, lines, called = sys.gettrace(), count(1), []

    def trace(frame, event, _):
        if event == "line" and next(lines) == number:
            sys.settrace(None)
            called.append(number)
            act()
        return trace

    sys.settrace(lambda frame, *_: trace if frame.f_code.co_filename.startswith(TRACED) else None)
    try:
        yield called
    finally:
        sys.settrace(before)


def each_line(block, act, see):
    """Call *block* again and again, *act* at another line of it each time, and *see* after it."""
    for number in count(1):
        with at_line(number, act) as called:
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

    assert list(each_line(block, handle, see))


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
    done = list(each_line(block, be_interrupted, lambda number: write(f"after {number}")))
    rows = written()
    halves = [rows.count(f"interrupted, half {half}") for half in ("1", "2")]
    assert halves[0] == halves[1] < len(done)
    assert len(rows) == sum(halves) + 2 * len(done)


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
    assert list(each_line(block, be_interrupted, see))
    done.set()
    holder.join()


def test_a_slot_whose_taker_was_interrupted_is_found_again(url, make_db):
    """By KeyboardInterrupt, just before it knew of it, or just before it had returned it."""
    db = make_db(url, max_connections=1, pool_timeout=1)
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
