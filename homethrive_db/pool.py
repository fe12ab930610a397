"""How connections are kept, checked, given out and given up.

On top of playhouse's pool, whose one lock is held while connections are made, tried and closed:
here nothing waits for the network under a lock, so that a stuck connection delays its own thread
alone.
"""

from __future__ import annotations

import logging
import os
import random
import select
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from typing import Any

import peewee
import psycopg2
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from homethrive_db import deadlines
from homethrive_db.connector import CONNECTION_DEFAULTS, Connector, Credentials
from homethrive_db.deadlines import Deadline, cut, exceeded
from homethrive_db.errors import CONNECTION_LOST, ConfigurationError, UnavailableError
from homethrive_db.slots import Slot, Slots

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """How a pool keeps its connections; every time is in seconds.

    Raises ConfigurationError for a pool without connections, or a negative time.
    """

    max_connections: int = 10
    """How many may be open at once."""
    pool_timeout: float = 30
    """How long a thread waits for a free one."""
    max_lifetime: float = 1800
    """When an idle one is replaced, however well; each is up to a tenth earlier, so that not all of
    them end at once."""
    max_idle: float = 600
    """When an idle one is closed in place of being used."""
    check_after: float = 30
    """After how long an idle one is asked whether it still answers."""
    check_timeout: float = 2
    """How long it may take to answer."""
    credentials: Credentials | None = field(default=None, repr=False)
    """Gives user and password for each physical connection, in place of those of the URL."""
    leak_after: float | None = None
    """When a connection that is still held is logged, with the stack that took it. It costs a few
    microseconds a call."""

    def __post_init__(self) -> None:
        """Check the values."""
        if self.max_connections < 1:
            raise ConfigurationError("max_connections must be 1 or more")
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, int | float) and value < 0:
                raise ConfigurationError(f"{one.name} must be 0 or more")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool did, and does."""

    size: int
    """How many connections may be open at once."""
    in_use: int
    idle: int
    waiting: int
    """How many threads wait for a connection."""
    wait_seconds: float
    """How long all waits so far took, together."""
    opened: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many connections were given up, by cause: ``dead`` and ``unresponsive`` (found so before
    use), ``expired``, ``idle``, ``lost`` (in use), ``unclean`` (returned inside a transaction),
    ``leaked`` (its thread had ended), ``closed`` (on request)."""


class Pool(PooledPostgresqlDatabase):
    """Playhouse's pool, with slots that are found again and connections that are tried first."""

    def __init__(self, name: str, options: PoolOptions, /, **parameters: Any) -> None:
        super().__init__(
            name,
            max_connections=options.max_connections,
            autoconnect=False,
            **{**CONNECTION_DEFAULTS, **parameters},
        )
        self.options = options
        self._connector = Connector(self.connect_params, options.credentials)
        self._slots = Slots(options.max_connections)
        self._limits = threading.local()
        self._opened = 0
        self._dropped: Counter[str] = Counter()
        self._is_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        _pools.add(self)

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection for this thread; wait for a free one up to ``pool_timeout`` seconds.

        Raises PoolTimeoutError where none comes free in time, and UnavailableError where the
        server cannot be reached.
        """
        state = self._state
        if not state.closed:
            if reuse_if_open:
                return False
            raise peewee.OperationalError("Connection already opened.")
        slot = self._check_out()
        state.set_connection(slot.connection)
        state.slot = slot
        return True

    def close(self) -> bool:
        """Return this thread's connection to the pool; False where it has none."""
        state = self._state
        if state.transactions:
            raise peewee.OperationalError("Attempting to close database while transaction is open.")
        if state.closed:
            return False
        slot = state.slot
        state.reset()
        self._check_in(slot)
        return True

    def manual_close(self) -> bool:
        """Close this thread's connection in place of returning it; False where it has none."""
        if self.is_closed():
            return False
        self._drop(self._state.slot, "closed")
        return self.close()

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        self._close_slots(held=False)

    def close_stale(self, age: float = 600) -> int:
        """End the connections that were taken more than *age* seconds ago; give their number.

        Whoever still uses one gets UnavailableError.
        """
        stale = self._slots.held_since(time.monotonic() - age)
        for slot in stale:
            _cut(slot)
        return len(stale)

    def close_all(self) -> None:
        """Close every connection; other threads that use one get UnavailableError."""
        self.close()
        self._close_slots(held=True)

    def stats(self) -> PoolStats:
        """Count connections and waits."""
        now = self._slots.counts()
        return PoolStats(
            size=self._slots.size,
            in_use=now.in_use,
            idle=now.idle,
            waiting=now.waiting,
            wait_seconds=now.wait_seconds,
            opened=self._opened,
            dropped=dict(self._dropped),
        )

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End all waits of the block for the database in *seconds*: for a connection, an answer.

        A statement under way is cancelled on the server; where nothing answers its connection is
        cut. Raises UnavailableError (``DEADLINE_EXCEEDED``). Inside another deadline the nearer
        one holds.
        """
        outer = self._deadline()
        at = time.monotonic() + seconds
        if outer is not None and outer.at <= at:
            yield
            return
        with Deadline(at) as deadline:
            self._limits.deadline = deadline
            try:
                yield
            finally:
                self._limits.deadline = outer

    def start_anew(self) -> None:
        """Forget everything that the parent of this process opened, and leave it alive."""
        inherited = [slot.connection or slot.leftover for slot in self._slots.everything()]
        self._lock = threading.Lock()
        self._slots = Slots(self.options.max_connections)
        self._limits = threading.local()
        self._opened = 0
        self._dropped = Counter()
        for connection in inherited:
            if connection is not None:
                _let_go(connection)
        if not self.is_closed():  # forked inside a block: to it, the connection is lost
            self._state.conn.close()
            self._slots.adopt(self._state.slot)

    def _deadline(self) -> Deadline | None:
        return getattr(self._limits, "deadline", None)

    def cursor(self, named_cursor: str | None = None) -> Any:
        """Open a cursor on this thread's connection; where that is lost, on a new one.

        Raises UnavailableError inside a transaction that was lost with it, and InterfaceError
        where no connection is open in this thread.
        """
        if self.is_closed():
            raise peewee.InterfaceError(
                "no connection is open in this thread: put the query into "
                "`with db.connection_context():` or `with db.atomic():`"
            )
        if self._state.conn.closed:
            if self.in_transaction():
                raise UnavailableError(
                    "the connection was lost, and with it the transaction",
                    CONNECTION_LOST,
                    retryable=True,
                )
            self.renew()
        return super().cursor(named_cursor)

    def renew(self) -> None:
        """Put a new connection in the place of this thread's, which is lost."""
        slot = self._state.slot
        self._drop(slot, "lost")
        self._open(slot)
        self._state.conn = slot.connection

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute, within the deadline of the thread if it has one."""
        deadline = self._deadline()
        if deadline is None:
            return super().execute_sql(sql, params)
        cursor = self.cursor()
        deadline.begin(cursor.connection)
        try:
            cursor.execute(sql, params or ())
        finally:
            if deadline.end():
                raise exceeded(nothing_written=False)
        return cursor

    def _check_out(self) -> Slot:
        timeout, deadline = self.options.pool_timeout, self._deadline()
        if deadline is not None:
            timeout = min(timeout, deadline.seconds_left())
        slot = self._slots.take(timeout)
        try:
            if slot.leftover is not None:
                self._close_connection(slot.leftover, "leaked")
                slot.leftover = None
            if slot.connection is not None and (cause := self._unfit(slot)) is not None:
                self._drop(slot, cause)
            if slot.connection is None:
                self._open(slot)
        except BaseException:
            self._drop(slot, "closed")
            self._slots.give_up(slot)
            raise
        if self.options.leak_after is not None:
            self._watch(slot, self.options.leak_after)
        return slot

    def _check_in(self, slot: Slot) -> None:
        connection = slot.connection
        if connection is None:
            pass
        elif connection.closed:
            self._drop(slot, "lost")
        elif connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            self._drop(slot, "unclean")
        slot.stack = None
        if slot.connection is None:
            self._slots.give_up(slot)
            return
        slot.returned_at, slot.returned_at_clock = time.monotonic(), time.time()
        if self._is_lambda:
            slot.invocation = _invocation()
        if not self._slots.give_back(slot):
            self._drop(slot, "closed")

    def _unfit(self, slot: Slot) -> str | None:
        """Say why an idle connection is not to be used; None where it is."""
        if slot.connection.closed:
            return "dead"
        now = time.monotonic()
        if now >= slot.expires_at:
            return "expired"
        # A machine that sleeps may stop the one clock, and somebody may set the other back.
        idle = max(now - slot.returned_at, time.time() - slot.returned_at_clock)
        if idle > self.options.max_idle:
            return "idle"
        if slot.poll.poll(0):  # a server that closes a connection says so on it
            return "dead" if self._answers(slot.connection) is False else None
        if idle > self.options.check_after or (
            self._is_lambda and slot.invocation != _invocation()
        ):
            return None if self._answers(slot.connection) else "unresponsive"
        return None

    def _answers(self, connection: Any) -> bool:
        limit = Deadline(time.monotonic() + self.options.check_timeout, gently=False)
        with limit, suppress(psycopg2.Error):
            limit.begin(connection)
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
            finally:
                limit.end()
            return not connection.closed
        return False

    def _open(self, slot: Slot) -> None:
        """Put a new connection into a slot that this thread holds."""
        deadline = self._deadline()
        connection = self._connector.connect(None if deadline is None else deadline.seconds_left())
        slot.connection = connection
        slot.prepared = {}
        slot.expires_at = time.monotonic() + self.options.max_lifetime * random.uniform(0.9, 1)  # noqa: S311
        slot.poll = select.poll()
        slot.poll.register(connection.fileno(), select.POLLIN)
        self._opened += 1
        if self.server_version is None:
            self._set_server_version(connection)

    def _drop(self, slot: Slot, cause: str) -> None:
        connection, slot.connection = slot.connection, None
        if connection is not None:
            self._close_connection(connection, cause)

    def _close_connection(self, connection: Any, cause: str) -> None:
        self._dropped[cause] += 1
        logger.debug("closing a connection: %s", cause)
        with suppress(psycopg2.Error):
            connection.close()

    def _close_slots(self, *, held: bool) -> None:
        idle, taken = self._slots.clear(held=held)
        for slot in idle:
            self._drop(slot, "closed")
        for slot in taken:  # closing them here would wait for what their threads do
            _cut(slot)

    def _watch(self, slot: Slot, seconds: float) -> None:
        """Log once a connection that is held for longer than *seconds*."""
        slot.stack = stack = traceback.StackSummary.extract(
            traceback.walk_stack(None), lookup_lines=False
        )

        def tell() -> None:
            if slot.stack is stack:
                taken = "".join(reversed(stack.format()))
                logger.warning(
                    "a connection has been held for more than %g s by %s; it was taken at\n%s",
                    seconds,
                    slot.owner.name if slot.owner else "nobody",
                    taken,
                )

        deadlines.call_at(slot.taken_at + seconds, tell)


def _cut(slot: Slot) -> None:
    connection = slot.connection
    if connection is not None:  # else its thread is about to connect
        cut(connection)


def _invocation() -> str | None:
    """Name the invocation of AWS Lambda: between two of them the process may have been frozen."""
    return os.environ.get("_X_AMZN_TRACE_ID")


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _let_go(connection: Any) -> None:
    """Leave a parent's session alone: what this process still sends on it goes nowhere."""
    _inherited.append(connection)
    with suppress(OSError, psycopg2.Error):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, connection.fileno())
        os.close(nowhere)


# What a parent process opened, kept from being collected: that would close it for the parent too.
_inherited: list[Any] = []


def _start_anew() -> None:
    """Let a forked process begin with empty pools and locks of its own.

    The parent may have been forked while other threads of it held a lock, or used a connection.
    """
    deadlines.forget_all()
    for pool in list(_pools):
        pool.start_anew()


os.register_at_fork(after_in_child=_start_anew)
