"""Looks at the connections in use: at calls that take too long, at holders that keep one.

A look now and then, by one thread, so that a call has no alarm to set and to call off.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
import weakref
from contextlib import suppress

from homethrive_db import deadlines
from homethrive_db.options import DatabaseOptions
from homethrive_db.slots import Slot, Slots

logger = logging.getLogger(__name__)


class Watch:
    """Watches over the slots of one pool, by ``call_timeout`` and ``leak_after``."""

    def __init__(self, slots: Slots, options: DatabaseOptions) -> None:
        self._slots = slots
        self._call_timeout = options.call_timeout or math.inf
        self._leak_after = options.leak_after or math.inf
        self._interval = min(self._call_timeout, self._leak_after)
        self._begun = threading.Lock()

    def begin(self) -> None:
        """Begin to look, unless that is so already, or nothing is to be watched."""
        if self._interval == math.inf or not self._begun.acquire(blocking=False):
            return
        with suppress(RuntimeError):  # a program that ends starts no thread any more
            _look_at(time.monotonic() + self._interval, self)

    def note_taken(self, slot: Slot) -> None:
        """Take note of who takes a slot, and where in the program."""
        slot.call.began_at = 0.0  # an interrupt may have come just before it was noted as ended
        if self._leak_after == math.inf:
            return
        slot.stack = traceback.StackSummary.extract(traceback.walk_stack(None), lookup_lines=False)

    def look(self) -> None:
        """Look, and see to it that the next look is in time for whatever is under way."""
        now = time.monotonic()
        again_at = now + self._interval
        try:
            for slot in self._slots.held():
                if slot.call is not None and self._call_timeout != math.inf:
                    again_at = min(again_at, slot.call.look(self._call_timeout, now))
                if self._leak_after != math.inf:
                    again_at = min(again_at, self._look_at_holder(slot, now))
        finally:
            _look_at(again_at, self)

    def _look_at_holder(self, slot: Slot, now: float) -> float:
        """Log a connection that has been held for long, once; say when to look again."""
        stack, owner, tell_at = slot.stack, slot.owner, slot.taken_at + self._leak_after
        if stack is None or owner is None:
            return now + self._leak_after
        if now < tell_at:
            return tell_at
        slot.stack = None
        logger.warning(
            "a connection has been held for more than %g s by %s; it was taken at\n%s",
            self._leak_after,
            owner.name,
            "".join(reversed(stack.format())),
        )
        return now + self._leak_after


def _look_at(at: float, watch: Watch) -> None:
    """Have *watch* look again, unless nobody needs it any more by then."""
    known = weakref.ref(watch)

    def look() -> None:
        there = known()
        if there is not None:
            there.look()

    deadlines.call_at(at, look)
