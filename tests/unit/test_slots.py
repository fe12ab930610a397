"""Slots of a pool, each held by one thread."""

from homethrive_db.slots import Slots


def test_to_give_up_a_slot_leaves_the_one_that_a_handler_took_meanwhile():
    slots = Slots(2)
    interrupted, taken_by_handler = slots.take(0), slots.take(0)
    slots.give_up(interrupted)
    assert slots.held() == [taken_by_handler]
    slots.give_up(taken_by_handler)
    assert slots.held() == []
