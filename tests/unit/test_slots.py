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
