"""Slots of a pool, each held by one thread."""

import signal
import threading

import pytest

from homethrive_db import PoolTimeoutError
from homethrive_db.slots import Slots
from tests.waiting import wait_until


def test_to_give_up_a_slot_leaves_the_one_that_a_handler_took_meanwhile():
    slots = Slots(2)
    interrupted, taken_by_handler = slots.take(0), slots.take(0)
    slots.give_up(interrupted)
    assert slots.held() == [taken_by_handler]
    slots.give_up(taken_by_handler)
    assert slots.held() == []


def test_who_returned_a_slot_does_not_take_it_again_before_those_who_wait():
    slots = Slots(1)
    taken, done = threading.Event(), threading.Event()

    def wait_for_one():
        slot = slots.take(30)
        taken.set()
        done.wait()
        slots.give_back(slot)

    mine = slots.take(0)
    waiting = threading.Thread(target=wait_for_one, daemon=True)
    waiting.start()
    wait_until(lambda: slots.counts().waiting == 1)
    slots.give_back(mine)
    with pytest.raises(PoolTimeoutError):
        slots.take(0)
    assert taken.wait(30)
    done.set()
    waiting.join()
    assert slots.take(0) is mine


def test_those_who_wait_are_served_in_the_order_in_which_they_came():
    slots = Slots(1)
    served = []

    def take_and_give_back(number):
        slot = slots.take(30)
        served.append(number)
        slots.give_back(slot)

    mine = slots.take(0)
    threads = [threading.Thread(target=take_and_give_back, args=(number,)) for number in range(8)]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_until(lambda number=number: slots.counts().waiting == number)
    slots.give_back(mine)
    for thread in threads:
        thread.join()
    assert served == list(range(8))


def test_a_handler_of_a_signal_does_not_wait_behind_the_thread_that_it_interrupts():
    slots = Slots(1)
    taken, done = threading.Event(), threading.Event()
    handled = []

    def hold():
        slot = slots.take(0)
        taken.set()
        wait_until(lambda: slots.counts().waiting == 1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        done.wait()
        slots.give_back(slot)

    def handle(number, frame):
        done.set()
        holder.join()
        handled.append(slots.take(0))
        slots.give_back(handled[0])

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    taken.wait()
    before = signal.signal(signal.SIGALRM, handle)
    try:
        assert slots.take(30) in handled
    finally:
        signal.signal(signal.SIGALRM, before)


def test_who_was_told_and_is_held_up_does_not_hold_up_the_next_ones(monkeypatch):
    """The main thread is, while it handles a signal: to wait for its workers, perhaps."""
    monkeypatch.setattr("homethrive_db.slots._LOOK_AFTER", 3600)
    slots = Slots(2)
    taken, done, served = threading.Semaphore(0), threading.Event(), threading.Event()

    def hold():
        slot = slots.take(0)
        taken.release()
        done.wait()
        slots.give_back(slot)

    def wait_behind():
        wait_until(lambda: slots.counts().waiting == 1)
        slots.give_back(slots.take(60))
        served.set()

    def interrupt():
        wait_until(lambda: slots.counts().waiting == 2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    handled = []

    def handle(number, frame):
        done.set()
        handled.append(served.wait(30))

    threads = [threading.Thread(target=one, daemon=True) for one in (hold, hold)]
    for thread in threads:
        thread.start()
        taken.acquire()
    threads += [threading.Thread(target=one, daemon=True) for one in (wait_behind, interrupt)]
    before = signal.signal(signal.SIGALRM, handle)
    try:
        for thread in threads[2:]:
            thread.start()
        slots.give_back(slots.take(60))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert handled == [True]


def test_slots_are_cleared_though_somebody_joins_the_line_meanwhile():
    slots = Slots(1)

    class Joining(threading.Condition):
        def notify(self):
            slots._line[threading.Condition(slots._lock)] = threading.current_thread()

    slots._line[Joining(slots._lock)] = threading.current_thread()
    assert slots.clear(held=True) == ([], [])


def test_an_interrupt_that_comes_when_a_wait_has_let_go_of_the_lock_stays_one(monkeypatch):
    def interrupted(condition, timeout):
        condition.release()
        raise KeyboardInterrupt

    slots = Slots(1)
    slots._held[None] = slots.take(0)
    slots._held.pop(threading.current_thread())
    slots._held[None].owner = threading.main_thread()
    monkeypatch.setattr(threading.Condition, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slots.take(60)
    assert slots.counts().waiting == 0
