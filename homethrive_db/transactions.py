"""Blocks: one connection, or one transaction, for several statements; and what ends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from peewee import PeeweeException
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from homethrive_db import validation
from homethrive_db.backoff import attempts
from homethrive_db.errors import (
    CONNECTION_LOST,
    DEADLINE_EXCEEDED,
    READ_ONLY,
    TRANSACTION_ABORTED,
    CommitUncertainError,
    HomethriveDbError,
    PoolTimeoutError,
    Translation,
    UnavailableError,
    ValidationError,
    translate,
)
from homethrive_db.pool import Pool, transaction_lost

T = TypeVar("T")

_SETTLE_SECONDS = 10.0
_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")
_UNCERTAIN = "the connection was lost during COMMIT: all of it is written, or nothing"


class TransactionalPool(Pool):
    """A pool whose connections are borrowed per block, and whose transactions may be repeated."""

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Keep a connection for the block: the thread's own if it has one, else one of the pool."""
        if not self._state.closed:
            yield
            return
        try:
            try:
                self.connect()
                self._state.ctx.append(self)  # so that Peewee's own blocks inside leave it open
                yield
            finally:
                self.close()
        except BaseException:
            self.close()  # that may have been interrupted
            raise

    def __enter__(self) -> Self:
        """Open a transaction until ``__exit__``: ``with db:`` is ``with db.atomic():``."""
        block = self.atomic()
        block.__enter__()
        self._state.ctx.append(block)
        return self

    def session_start(self) -> Any:
        """Begin a transaction that ``session_commit`` or ``session_rollback`` ends."""
        return super().transaction().__enter__()

    @contextmanager
    def connection_context(self) -> Iterator[None]:
        """Keep a connection for the block; inside another block, that one's."""
        with self.borrowed():
            yield

    @contextmanager
    def atomic(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a transaction, or a savepoint inside one; borrow a connection if none is open."""
        block = super().atomic if self.in_transaction() else super().transaction
        with self._borrowed_whole(), block(*args, **kwargs) as transaction:
            yield transaction

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a transaction; borrow a connection if none is open."""
        with self._borrowed_whole(), super().transaction(*args, **kwargs) as transaction:
            yield transaction

    @contextmanager
    def _borrowed_whole(self) -> Iterator[None]:
        """Borrow a connection, and leave no transaction open on it: its end may be interrupted."""
        with self.borrowed():
            depth = self.transaction_depth()
            try:
                yield
            finally:
                del self._state.transactions[depth:]
                if not depth and self._is_inside_transaction():
                    self._state.conn.close()

    def _notice_an_end(self) -> None:
        """Raise UnavailableError where the server has ended the connection: nothing is written.

        It is asked only where it has sent something; a transaction that failed takes no query.
        """
        status = self._state.conn.get_transaction_status()
        if status == TRANSACTION_STATUS_INTRANS and self._liveness.has_spoken(self._state.slot):
            with Translation(nothing_written=True):
                self.execute_own("SELECT 1")

    def _is_inside_transaction(self) -> bool:
        connection = self._state.conn
        status: int = connection.get_transaction_status()
        return not connection.closed and status != TRANSACTION_STATUS_IDLE

    def begin(self, isolation_level: str | int | None = None) -> None:
        """Send BEGIN; on another connection where this thread's turns out to be lost.

        Raises UnavailableError where that is lost too.
        """
        statement = "BEGIN"
        if isolation_level or self._isolation_level:
            level = self._adapter.isolation_level_str(isolation_level or self._isolation_level)
            statement = f"BEGIN TRANSACTION ISOLATION LEVEL {level}"
        with Translation(nothing_written=True):
            try:
                self.execute_own(statement)  # and not cursor().execute(), which knows no deadline
            except UnavailableError as error:
                if error.code != CONNECTION_LOST:
                    raise
                self.execute_own(statement)

    def commit(self) -> None:
        """Send COMMIT.

        Raises CommitUncertainError where its answer does not come, unless ``settle_commits`` is
        set: then the server is asked, and UnavailableError says that it has rolled back. Raises
        HomethriveDbError (``TRANSACTION_ABORTED``) where a statement had failed before and its
        error was caught: PostgreSQL then rolls back and reports no error.
        """
        if self._state.conn.closed:  # a new one would commit nothing, and report success
            raise transaction_lost()
        self._notice_an_end()
        transaction_id = self._transaction_id() if self.options.settle_commits else None
        try:
            with Translation():
                cursor = self.execute_own("COMMIT")
        except UnavailableError as error:
            if error.retryable:
                raise
            if not self.options.settle_commits:
                raise CommitUncertainError(_UNCERTAIN) from error
            if transaction_id is not None:
                self._settle(transaction_id, error)
            return
        if cursor.statusmessage == "ROLLBACK":
            raise HomethriveDbError(TRANSACTION_ABORTED, "TRANSACTION_ABORTED")

    def _transaction_id(self) -> str | None:
        """Ask which transaction this is; None where it has written nothing."""
        with Translation(nothing_written=True):
            row = self.execute_own("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        found: str | None = row[0]
        return found

    def _settle(self, transaction_id: str, lost: UnavailableError) -> None:
        """Return if the transaction has been committed; raise whether it was rolled back."""
        outcome = None
        for _ in attempts(min(_SETTLE_SECONDS, self._deadlines.seconds_left())):
            with suppress(HomethriveDbError), Translation(nothing_written=True):
                if self._state.conn.closed:
                    self.renew()
                query = "SELECT pg_xact_status(%s::xid8)"
                outcome = self.execute_own(query, (transaction_id,)).fetchone()[0]
            if outcome == "committed":
                return
            if outcome == "aborted":
                break
        self._state.conn.close()  # what goes on in the middle of a block has no transaction
        if outcome == "aborted":
            raise UnavailableError(
                "the connection was lost during COMMIT, and the server has rolled back",
                CONNECTION_LOST,
                retryable=True,
            ) from lost
        raise CommitUncertainError(_UNCERTAIN) from lost

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute; a savepoint of a lost transaction has gone with it, and needs no rollback."""
        if not sql.startswith(_SAVEPOINTS):
            return super().execute_sql(sql, params)
        if sql.startswith("ROLLBACK") and self._state.conn.closed:
            return None
        with Translation(nothing_written=True), self.calling():
            return super().execute_sql(sql, params)

    def rollback(self) -> None:
        """Send ROLLBACK, unless the connection is gone: then the server has rolled back."""
        connection = self._state.conn
        if connection.closed:
            return
        try:
            with Translation(nothing_written=True):
                self.execute_own("ROLLBACK")
        except UnavailableError:
            connection.close()

    def run(self, function: Callable[[], T], /, *, patience: float = 30) -> T:
        """Call *function* in a transaction, and again as long as nothing of it was written.

        It is repeated, for *patience* seconds and with pauses that grow, where the server cannot
        be reached or is in recovery, the connection is lost before COMMIT was sent, another
        transaction was in the way (40001, 40P01), or the schema has changed since a statement was
        prepared: so it must do nothing that a rollback does not undo. Inside a block of the
        caller's it is called once, in a savepoint.

        Raises what *function* raises, CommitUncertainError as ``commit`` does, and ValidationError
        for what cannot be called.
        """
        if not callable(function):
            raise ValidationError.of(
                "function", f"a function expected, {type(function).__name__} came"
            )
        validation.seconds(patience, "patience")
        if self.in_transaction():
            with self.atomic():
                return function()
        for is_last in attempts(min(patience, self._deadlines.seconds_left())):
            try:
                with self.atomic():
                    return function()
            except (UnavailableError, PeeweeException) as error:
                # Plain Peewee queries raise Peewee's errors, all before COMMIT.
                ours = translate(error, nothing_written=True) or error
                if is_last or not _may_be_repeated(ours):
                    raise
                if getattr(ours, "code", None) == READ_ONLY:
                    self.close_idle()  # what takes writes by now may be another server
        raise AssertionError("the last attempt returns or raises")


def _may_be_repeated(error: Exception) -> bool:
    """Say whether a transaction that failed so wrote nothing, and may succeed the next time."""
    return (
        isinstance(error, UnavailableError)
        and error.retryable
        and not isinstance(error, PoolTimeoutError)
        and error.code != DEADLINE_EXCEEDED
    )
