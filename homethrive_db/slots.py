"""Who holds which connection of a pool: bookkeeping under one lock, without any I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from traceback import StackSummary
from typing import Any

from homethrive_db.errors import PoolTimeoutError
from homethrive_db.prepared import PreparedStatements

_LOOK_AFTER = 1.0
"""After how many seconds who waits looks untold: owners die without a notice, and who was told may
be held up."""


class Slot:
    """A place in a pool, and the connection that is in it."""

    __slots__ = (
        "call",
        "connection",
        "cursor",
        "expires_at",
        "invocation",
        "leftover",
        "owner",
        "poll",
        "prepared",
        "returned_at",
        "returned_at_clock",
        "stack",
        "taken_at",
    )

    def __init__(self) -> None:
        self.connection: Any = None
        self.cursor: Any = None
        """Made once for many statements: that costs as much as the rest of a call."""
        self.call: Any = None
        """The ``Call`` that its connection is doing."""
        self.leftover: Any = None
        """The connection of an owner that died: to be closed."""
        self.poll: Any = None
        self.prepared = PreparedStatements()
        self.owner: threading.Thread | None = None
        self.taken_at = 0.0
        self.returned_at = 0.0
        self.returned_at_clock = 0.0
        self.expires_at = 0.0
        self.invocation: str | None = None
        self.stack: StackSummary | None = None
        """Where it was taken, to be told if it is held for long."""

    def holder(self, now: float) -> str:
        """Say who holds it, and since when."""
        name = self.owner.name if self.owner is not None else "nobody"
        return f"{name} for {now - self.taken_at:.1f} s"


@dataclass(frozen=True, slots=True)
class SlotCounts:
    """How many slots are held, idle, and waited for; and how long all waits took, in seconds."""

    in_use: int
    idle: int
    waiting: int
    wait_seconds: float


class Slots:
    """At most *size* slots: the latest one returned is the first one taken.

    Who waits stands in line: a thread that returned its slot and wants another would else be there
    before those that it wakes, again and again.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.RLock()  # a handler of a signal may interrupt whoever holds it
        self._line: dict[threading.Condition, threading.Thread] = {}
        """Who waits, the first one first, each told by a condition of its own."""
        self._called: set[threading.Condition] = set()
        """Who of them was told, and has not looked yet."""
        self._idle: list[Slot] = []
        self._held: dict[threading.Thread | None, Slot] = {}  # a thread has one at most
        self._wait_seconds = 0.0

    def take(self, timeout: float) -> Slot:
        """Take an idle slot, an empty one, or one whose owner is gone.

        That is a thread that died; and this one, which has none: it was interrupted while it took
        that one, or returned it.

        Raises PoolTimeoutError where none comes free in *timeout* seconds.
        """
        owner = threading.current_thread()
        with self._lock:
            slot = self._find(owner) if self._may_pass(owner) else None
            if slot is not None:
                return self._hold(slot, owner)
            try:
                return self._hold(self._wait(owner, timeout), owner)
            finally:
                if self._idle or len(self._held) < self.size:  # for the next one, too
                    self._call_next()

    def give_back(self, slot: Slot) -> bool:
        """Return a slot with its connection; False where it is not one of these any more."""
        with self._lock:
            # In one step: a signal's handler that takes one gives this one up.
            if self._held.pop(slot.owner, None) is not slot:
                return False
            slot.owner = None
            self._idle.append(slot)
            self._call_next()
            return True

    def give_up(self, slot: Slot) -> None:
        """Return the place of a slot whose connection is gone."""
        with self._lock:
            if self._held.get(slot.owner) is slot:  # a signal's handler may have taken another
                del self._held[slot.owner]
            self._call_next()

    def own(self) -> Slot | None:
        """Give the slot that this thread has taken; None where it has none."""
        return self._held.get(threading.current_thread())

    def clear(self, *, held: bool) -> tuple[list[Slot], list[Slot]]:
        """Forget the idle slots, the *held* ones too if so told; give both, to be closed."""
        with self._lock:
            idle, self._idle = self._idle, []
            taken: dict[threading.Thread | None, Slot] = {}
            if held:
                taken, self._held = self._held, {}
            for came_free in list(self._line):  # a handler of a signal may join it meanwhile
                came_free.notify()
            return idle, list(taken.values())

    def held(self) -> list[Slot]:
        """List the slots that somebody has taken."""
        with self._lock:
            return list(self._held.values())

    def adopt(self, slot: Slot) -> None:
        """Count a slot that this thread holds already."""
        slot.owner = threading.current_thread()
        self._held[slot.owner] = slot

    def counts(self) -> SlotCounts:
        """Count."""
        with self._lock:
            return SlotCounts(len(self._held), len(self._idle), len(self._line), self._wait_seconds)

    def everything(self) -> Iterable[Slot]:
        """List every slot without the lock, for a process that has just been forked."""
        return [*self._idle, *self._held.values()]

    def _may_pass(self, owner: threading.Thread) -> bool:
        """Say whether nobody waits, or only who cannot go on before this thread has a slot.

        That is this thread itself: a handler of a signal runs while it waits.
        """
        return not self._line or owner in self._held or owner in self._line.values()

    def _call_next(self) -> None:
        """Tell the first one that was not told yet: who was may be in a handler of a signal."""
        for came_free in list(self._line):
            if came_free not in self._called:
                self._called.add(came_free)
                came_free.notify()
                break

    def _hold(self, slot: Slot, owner: threading.Thread) -> Slot:
        slot.owner = owner
        slot.taken_at = time.monotonic()
        self._held[owner] = slot
        return slot

    def _find(self, owner: threading.Thread) -> Slot | None:
        own = self._held.pop(owner, None)
        if own is not None:
            return _successor(own)
        if self._idle:
            return self._idle.pop()
        if len(self._held) < self.size:
            return Slot()
        for slot in self._held.values():
            if slot.owner is None or not slot.owner.is_alive():
                del self._held[slot.owner]
                return _successor(slot)
        return None

    def _wait(self, owner: threading.Thread, timeout: float) -> Slot:
        started = time.monotonic()
        came_free = threading.Condition(self._lock)
        try:
            self._line[came_free] = owner
            while True:
                left = started + timeout - time.monotonic()
                if left <= 0:
                    raise self._timed_out(timeout)
                self._wait_for(came_free, min(left, _LOOK_AFTER))
                slot = self._find(owner)
                if slot is not None:
                    return slot
        finally:
            self._line.pop(came_free, None)
            self._called.discard(came_free)
            self._wait_seconds += time.monotonic() - started

    def _wait_for(self, came_free: threading.Condition, seconds: float) -> None:
        try:
            came_free.wait(seconds)
        except BaseException:
            # An interrupt may come just when the wait has let go of the lock.
            if not self._lock._is_owned():  # type: ignore[attr-defined]
                self._lock.acquire()
            raise
        self._called.discard(came_free)

    def _timed_out(self, timeout: float) -> PoolTimeoutError:
        now = time.monotonic()
        holders = ", ".join(
            slot.holder(now) for slot in sorted(self._held.values(), key=lambda slot: slot.taken_at)
        )
        return PoolTimeoutError(
            f"no connection came free in {timeout:g} s: all {self.size} of the pool are in use, "
            f"by {holders}",
            details={"max_connections": self.size},
            retryable=True,
        )


def _successor(slot: Slot) -> Slot:
    """Make the slot that takes the place of one whose connection nobody will return."""
    successor = Slot()
    successor.leftover = slot.connection
    return successor
