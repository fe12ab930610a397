"""How connections are kept, checked, given out and given up.

On top of playhouse's pool, whose one lock is held while connections are made, tried and closed:
here nothing waits for the network under a lock, so that a stuck connection delays its own thread
alone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import peewee
import psycopg2
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from homethrive_db.calls import Call
from homethrive_db.connector import CONNECTION_DEFAULTS, Connector
from homethrive_db.deadlines import Deadlines, cut, exceeded
from homethrive_db.errors import CONNECTION_LOST, PoolTimeoutError, Translation, UnavailableError
from homethrive_db.forks import let_go, start_anew_after_fork
from homethrive_db.liveness import Liveness
from homethrive_db.options import DatabaseOptions
from homethrive_db.prepared import PreparedStatements
from homethrive_db.slots import Slot, Slots
from homethrive_db.stats import PoolStats
from homethrive_db.watch import Watch

logger = logging.getLogger(__name__)


class Pool(PooledPostgresqlDatabase):
    """Playhouse's pool, with slots that are found again and connections that are tried first."""

    def __init__(self, name: str, options: DatabaseOptions, /, **parameters: Any) -> None:
        super().__init__(
            name,
            max_connections=options.max_connections,
            autoconnect=False,
            **{**CONNECTION_DEFAULTS, **parameters},
        )
        self.options = options
        self._connector = Connector(self.connect_params, options.credentials)
        self._liveness = Liveness(options)
        self._start_empty()
        start_anew_after_fork(self)

    def _start_empty(self) -> None:
        self._slots = Slots(self.options.max_connections)
        self._watch = Watch(self._slots, self.options)
        self._deadlines = Deadlines()
        self._opened = 0
        self._dropped: Counter[str] = Counter()

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
        # In one step: a signal's handler, which may raise or use the pool, is to find all or none.
        state.slot, state.conn, state.closed = slot, slot.connection, False
        return True

    def close(self) -> bool:
        """Return this thread's connection to the pool; False where it has none."""
        state = self._state
        if state.transactions:
            raise peewee.OperationalError("Attempting to close database while transaction is open.")
        if state.closed:
            leaked = self._slots.own()
            if leaked is not None:  # it was interrupted as it took that one, or returned it
                self._drop(leaked, "leaked")
                self._slots.give_up(leaked)
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
        since = time.monotonic() - age
        stale = [slot for slot in self._slots.held() if slot.taken_at < since]
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

    def deadline(self, seconds: float) -> AbstractContextManager[None]:
        """End all waits of the block for the database in *seconds*: for a connection, an answer.

        A statement under way is cancelled on the server; where nothing answers its connection is
        cut. Raises UnavailableError (``DEADLINE_EXCEEDED``). Inside another deadline the nearer
        one holds. It takes the place of ``call_timeout``: ``deadline(math.inf)`` ends that one.
        """
        return self._deadlines.within(seconds)

    def start_anew(self) -> None:
        """Forget everything that the parent of this process opened, and leave it alive."""
        inherited = [slot.connection or slot.leftover for slot in self._slots.everything()]
        self._lock = threading.Lock()
        self._start_empty()
        for connection in inherited:
            if connection is not None:
                let_go(connection)
        if not self.is_closed():  # forked inside a block: to it, the connection is lost
            self._state.conn.close()
            self._slots.adopt(self._state.slot)

    def cursor(self, named_cursor: str | None = None) -> Any:
        """Open a cursor on this thread's connection; where that is lost, on a new one.

        Raises UnavailableError inside a transaction that was lost with it, and InterfaceError
        where no connection is open in this thread.
        """
        self._live_connection()
        return super().cursor(named_cursor)

    def _live_connection(self) -> Any:
        state = self._state
        if state.closed:
            raise peewee.InterfaceError(
                "no connection is open in this thread: put the query into "
                "`with db.connection_context():` or `with db.atomic():`"
            )
        if state.conn.closed:
            if state.transactions:
                raise transaction_lost()
            self.renew()
        return state.conn

    def renew(self) -> None:
        """Put a new connection in the place of this thread's, which is lost."""
        slot = self._state.slot
        self._drop(slot, "lost")
        self._open(slot)
        self._state.conn = slot.connection

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute, within the deadline of the thread if it has one.

        Raises Peewee's errors, except where the connection is lost: then UnavailableError.
        """
        connection, deadline = self._live_connection(), self._deadlines.current
        try:
            with nullcontext() if deadline is None else deadline.watching(connection):
                return super().execute_sql(sql, params)
        except (peewee.PeeweeException, UnavailableError):
            if not connection.closed:
                raise
            rolled_back = self.in_transaction() and not sql.startswith("COMMIT")
            with Translation(nothing_written=rolled_back):
                raise

    def execute_own(self, sql: str, params: Any = None) -> Any:
        """Execute what the package itself sends: within ``call_timeout`` too."""
        with self.calling():
            return self.execute_sql(sql, params)

    def calling(self) -> AbstractContextManager[None]:
        """Limit the statement of the block to ``call_timeout``, unless there is a deadline."""
        self._live_connection()
        call: Call = self._state.slot.call
        return call if self._deadlines.current is None else nullcontext()

    def _check_out(self) -> Slot:
        slot = self._take()
        try:
            if slot.leftover is not None:
                self._close_connection(slot.leftover, "leaked")
                slot.leftover = None
            if slot.connection is not None:
                cause = self._liveness.unfit(slot, self._deadlines)
                if cause is not None:
                    self._drop(slot, cause)
            if slot.connection is None:
                self._open(slot)
        except BaseException:
            self._drop(slot, "closed")
            self._slots.give_up(slot)
            raise
        self._watch.note_taken(slot)
        return slot

    def _take(self) -> Slot:
        """Wait for a slot until one comes free, ``pool_timeout`` is over or the deadline passes."""
        left = self._deadlines.seconds_left()
        if left > self.options.pool_timeout:
            return self._slots.take(self.options.pool_timeout)
        if left > 0:
            with suppress(PoolTimeoutError):
                return self._slots.take(left)
        raise exceeded()

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
        self._liveness.note_return(slot)
        if not self._slots.give_back(slot):
            self._drop(slot, "closed")

    def _open(self, slot: Slot) -> None:
        """Put a new connection into a slot that this thread holds."""
        connection = self._connector.connect(self._deadlines.seconds_left())
        slot.connection = connection
        slot.call = Call(connection)
        slot.prepared = PreparedStatements()
        slot.expires_at = time.monotonic() + self.options.max_lifetime * random.uniform(0.9, 1)  # noqa: S311
        self._liveness.begin(slot)
        self._watch.begin()
        self._opened += 1
        if self.server_version is None:
            self._set_server_version(connection)

    def _drop(self, slot: Slot, cause: str) -> None:
        connection, slot.connection, slot.cursor = slot.connection, None, None
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


def transaction_lost() -> UnavailableError:
    """Make the error of a transaction whose connection is gone before COMMIT was sent."""
    return UnavailableError(
        "the connection was lost, and with it the transaction", CONNECTION_LOST, retryable=True
    )


def _cut(slot: Slot) -> None:
    connection = slot.connection
    if connection is not None:  # else its thread is about to connect
        cut(connection)
