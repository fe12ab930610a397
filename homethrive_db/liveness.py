"""Whether an idle connection may be used; it is asked only where something speaks against it."""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import Any

import psycopg2

from homethrive_db.deadlines import Deadline, Deadlines
from homethrive_db.errors import UnavailableError
from homethrive_db.options import DatabaseOptions
from homethrive_db.slots import Slot


class Liveness:
    """Judges the connections of one pool."""

    def __init__(self, options: DatabaseOptions) -> None:
        self._options = options
        self._is_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ

    def begin(self, slot: Slot) -> None:
        """Take note of a slot's new connection."""
        slot.poll = select.poll()
        slot.poll.register(slot.connection.fileno(), select.POLLIN)

    def note_return(self, slot: Slot) -> None:
        """Take note of when a connection becomes idle."""
        slot.returned_at, slot.returned_at_clock = time.monotonic(), time.time()
        if self._is_lambda:
            slot.invocation = _invocation()

    def unfit(self, slot: Slot, deadlines: Deadlines) -> str | None:
        """Say why an idle connection is not to be used; None where it is."""
        if slot.connection.closed:
            return "dead"
        now = time.monotonic()
        if now >= slot.expires_at:
            return "expired"
        # A machine that sleeps may stop the one clock, and somebody may set the other back.
        idle = max(now - slot.returned_at, time.time() - slot.returned_at_clock)
        if idle > self._options.max_idle:
            return "idle"
        if self.has_spoken(slot):
            return None if self._answers(slot.connection, deadlines) else "dead"
        if idle > self._options.check_after or self._may_have_been_frozen(slot):
            return None if self._answers(slot.connection, deadlines) else "unresponsive"
        return None

    def has_spoken(self, slot: Slot) -> bool:
        """Say whether the server has sent something unasked: that it ends, perhaps."""
        return bool(slot.poll.poll(0))

    def _may_have_been_frozen(self, slot: Slot) -> bool:
        return self._is_lambda and (slot.invocation is None or slot.invocation != _invocation())

    def _answers(self, connection: Any, deadlines: Deadlines) -> bool:
        seconds = min(self._options.check_timeout, deadlines.seconds_left())
        with (
            suppress(psycopg2.Error, UnavailableError),
            Deadline(time.monotonic() + seconds, gently=False) as limit,
            limit.watching(connection),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT 1")
            return True
        return False


def _invocation() -> str | None:
    """Name the invocation of AWS Lambda: between two of them the process may have been frozen.

    None where that cannot be told.
    """
    return os.environ.get("_X_AMZN_TRACE_ID")
