"""Ends waits for the database that would not end by themselves.

A stopped server still answers for its kernel, so neither keepalives nor TCP timeouts end a wait on
it: only a clock on this side does. One thread of the process watches it; it starts on first use.
"""

from __future__ import annotations

import heapq
import logging
import math
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from types import TracebackType
from typing import Any

import psycopg2

from homethrive_db import validation
from homethrive_db.cancel import request_cancel
from homethrive_db.errors import DEADLINE_EXCEEDED, UnavailableError

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 0.15
"""How long a cancelled statement may take to end before its connection is cut."""

_TIDY_AT = 1000
"""How many alarms are in the queue before those that were called off are thrown away."""


class Deadline:
    """The end of all waits inside of it, for one thread: ``with Deadline(at):``.

    At that time the server is asked to cancel what it does for us, so that no statement goes on
    unseen; where that does not help, the connection is cut. *gently* False cuts at once.
    """

    __slots__ = ("_alarms", "_connection", "_gently", "_has_rung", "_lock", "at")

    def __init__(self, at: float, *, gently: bool = True) -> None:
        self.at = at
        """By ``time.monotonic``."""
        self._gently = gently
        self._alarms: list[Alarm] = []
        self._connection: Any = None
        self._has_rung = False
        self._lock = threading.RLock()  # a handler of a signal may interrupt whoever holds it

    def __enter__(self) -> Deadline:
        """Set the alarms."""
        if self.at == math.inf:
            return self
        if self._gently:
            self._alarms.append(_clock.set(self.at, self._cancel))
        self._alarms.append(
            _clock.set(self.at + (CANCEL_SECONDS if self._gently else 0), self._cut)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Call the alarms off."""
        for alarm in self._alarms:
            alarm.action = None

    @contextmanager
    def watching(self, connection: Any) -> Iterator[None]:
        """Watch over what *connection* does in the block.

        Raises UnavailableError where it is too late, before or after; an interrupt goes on.
        """
        self.begin(connection)
        try:
            yield
        finally:
            if self.end() and not is_interrupted():
                raise exceeded(nothing_written=False)

    def begin(self, connection: Any) -> None:
        """Watch over *connection*, about to wait. Raises UnavailableError where it is too late."""
        with self._lock:
            if self._has_rung or self.seconds_left() <= 0:
                raise exceeded()
            self._connection = connection

    def end(self) -> bool:
        """Leave the connection alone again; say whether the time was up meanwhile.

        The connection is closed then: a cancel request under way could hit its next statement.
        """
        with self._lock:
            connection, self._connection = self._connection, None
        if self._has_rung:
            with suppress(psycopg2.Error):
                connection.close()
        return self._has_rung

    def seconds_left(self) -> float:
        """Tell how much time there is, not below 0."""
        return max(0.0, self.at - time.monotonic())

    def _cancel(self) -> None:
        with self._lock:
            self._has_rung = True
            if self._connection is not None:
                request_cancel(self._connection)

    def _cut(self) -> None:
        with self._lock:
            self._has_rung = True
            if self._connection is not None:
                cut(self._connection)


class Deadlines(threading.local):
    """Which deadline holds, in each thread of its own."""

    current: Deadline | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End all waits of the block in *seconds*; inside another deadline the nearer one holds."""
        outer = self.current
        at = time.monotonic() + validation.seconds(seconds, "seconds")
        if outer is not None and outer.at <= at:
            yield
            return
        with Deadline(at) as deadline:
            self.current = deadline
            try:
                yield
            finally:
                self.current = outer

    def seconds_left(self) -> float:
        """Tell how much time there is, not below 0; infinite where no deadline holds."""
        return math.inf if self.current is None else self.current.seconds_left()


def exceeded(*, nothing_written: bool = True) -> UnavailableError:
    """Make the error of a deadline that has passed."""
    return UnavailableError("the deadline has passed", DEADLINE_EXCEEDED, retryable=nothing_written)


def is_interrupted() -> bool:
    """Say whether an interrupt is being handled: no error may take its place."""
    handled = sys.exception()
    return handled is not None and not isinstance(handled, Exception)


def cut(connection: Any) -> None:
    """End a connection from any thread, at once: who waits on it gets the driver's error."""
    with suppress(OSError, psycopg2.Error):
        handle = socket.socket(fileno=socket.dup(connection.fileno()))
        with handle:
            handle.shutdown(socket.SHUT_RDWR)


class Alarm:
    """A function to be called, unless it is set to None before."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action


class _AlarmClock:
    """Rings alarms, in a thread of its own. What they call must not block."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without alarms: after a fork the thread is not there, and the lock may be held."""
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._tidy_at = _TIDY_AT
        self._is_running = False

    def set(self, at: float, action: Callable[[], object]) -> Alarm:
        """Have *action* called at *at*, by ``time.monotonic``."""
        alarm = Alarm(action)
        with self._changed:
            if len(self._queue) >= self._tidy_at:
                self._tidy()
            heapq.heappush(self._queue, (at, next(self._numbers), alarm))
            if not self._is_running:
                threading.Thread(target=self._run, name="homethrive_db", daemon=True).start()
                self._is_running = True
            elif self._queue[0][2] is alarm:
                self._changed.notify()
        return alarm

    def _tidy(self) -> None:
        """Throw away what was called off: a busy program sets more alarms than it lets ring."""
        self._queue = [entry for entry in self._queue if entry[2].action is not None]
        heapq.heapify(self._queue)
        self._tidy_at = max(_TIDY_AT, 2 * len(self._queue))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue or self._queue[0][0] > time.monotonic():
                    seconds = self._queue[0][0] - time.monotonic() if self._queue else None
                    self._changed.wait(seconds)
                action = heapq.heappop(self._queue)[2].action
            if action is not None:
                self._ring(action)
                action = None  # it may keep a pool alive

    def _ring(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # the other alarms are still to ring
            logger.exception("an alarm failed")


_clock = _AlarmClock()


def call_at(at: float, action: Callable[[], object]) -> Alarm:
    """Have *action* called at *at*, by ``time.monotonic``. It must not block."""
    return _clock.set(at, action)


def forget_all() -> None:
    """Forget every alarm, in a process that has just been forked."""
    _clock.forget()
