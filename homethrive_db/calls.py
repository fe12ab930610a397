"""Calls under way on a connection, and how one ends whose answer does not come."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

import psycopg2

from homethrive_db.cancel import request_cancel
from homethrive_db.deadlines import CANCEL_SECONDS, cut, is_interrupted
from homethrive_db.errors import DEADLINE_EXCEEDED, UnavailableError


class Call:
    """``with call:`` around each statement on a connection; another thread may look at it.

    It costs a statement no lock: each side writes first, and then reads what the other has written,
    so that at least one of them sees the other.
    """

    __slots__ = ("_connection", "_ends", "began_at", "overdue")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.began_at = 0.0
        """When the statement began that is under way, by ``time.monotonic``; 0 where none is."""
        self.overdue = -1.0
        """When the call began that was found to take too long."""
        self._ends = threading.Lock()

    def __enter__(self) -> None:
        """Note that a statement begins."""
        self.began_at = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Note that it has ended. Raises UnavailableError where it was found to take too long."""
        began_at, self.began_at = self.began_at, 0.0
        if self.overdue == began_at:
            self.refuse()

    def refuse(self) -> None:
        """Raise UnavailableError for a statement that was found to take too long.

        Unless an interrupt came meanwhile, which goes on. The connection is closed: a cancel
        request under way could hit its next statement.
        """
        with self._ends, suppress(psycopg2.Error):
            self._connection.close()
        if not is_interrupted():
            raise UnavailableError(
                "no answer came within the database's call_timeout", DEADLINE_EXCEEDED
            )

    def look(self, seconds: float, now: float) -> float:
        """End a statement that has been under way for *seconds*; say when to look again."""
        began_at = self.began_at
        if not began_at:
            return now + seconds
        if now < began_at + seconds:
            return began_at + seconds
        with self._ends:
            is_new, self.overdue = self.overdue != began_at, began_at
            if self.began_at == began_at:
                request_cancel(self._connection) if is_new else cut(self._connection)
        return now + CANCEL_SECONDS
