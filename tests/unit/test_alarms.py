"""The one clock of the process."""

import threading
import time

from homethrive_db import deadlines
from homethrive_db.deadlines import Deadline


def ring(*actions):
    """Have *actions* called in this order, and wait for the last one."""
    rung = threading.Event()
    now = time.monotonic()
    for number, action in enumerate((*actions, rung.set)):
        deadlines.call_at(now + number * 1e-6, action)
    assert rung.wait(30)


def test_an_alarm_that_fails_does_not_silence_the_next(caplog):
    """It would leave every later deadline without an end."""

    def fail():
        raise ZeroDivisionError

    ring(fail)
    assert "an alarm failed" in caplog.text


def test_alarms_that_were_called_off_do_not_pile_up(monkeypatch):
    """A busy program sets thousands a second, each for a time that is far away."""
    monkeypatch.setattr(deadlines, "_clock", type(deadlines._clock)())  # without those of others
    kept = []
    for _ in range(5000):
        with Deadline(time.monotonic() + 3600):
            kept.append(len(deadlines._clock._queue))
    assert max(kept) <= deadlines._TIDY_AT + 2


def test_those_that_still_count_outlive_the_others():
    rung = []
    for number in range(2 * deadlines._TIDY_AT):
        deadlines.call_at(time.monotonic() + 0.2, lambda number=number: rung.append(number))
        with Deadline(time.monotonic() + 3600):
            pass
    done = threading.Event()
    deadlines.call_at(time.monotonic() + 0.2, done.set)
    assert done.wait(30)
    assert rung == list(range(2 * deadlines._TIDY_AT))
