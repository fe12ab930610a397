"""The database: a pooled PostgreSQL whose statements run by name and whose errors are ours."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self, TypeVar

from peewee import DatabaseProxy, PeeweeException

from homethrive_db import settings
from homethrive_db.backoff import attempts
from homethrive_db.errors import (
    CONNECTION_LOST,
    DEADLINE_EXCEEDED,
    TRANSACTION_ABORTED,
    CommitUncertainError,
    ConfigurationError,
    HomethriveDbError,
    PoolTimeoutError,
    Translation,
    UnavailableError,
    sqlstate,
    translate,
)
from homethrive_db.observing import Observer, StatementEvent
from homethrive_db.pool import Pool, PoolOptions
from homethrive_db.prepared import OUTDATED_STATES, PreparedText

T = TypeVar("T")

Row = tuple[Any, ...]

_SETTLE_SECONDS = 10.0
_UNCERTAIN = "the connection was lost during COMMIT: all of it is written, or nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseOptions(PoolOptions):
    """How a database keeps its connections, and what it does with a transaction that is lost."""

    settle_commits: bool = False
    """Whether to ask the server what became of a COMMIT whose answer did not come. It costs each
    transaction one more round trip, before COMMIT."""
    prepared: bool = False
    """Whether to prepare each statement once per connection (direct mode). Only where nothing is
    between that shares sessions, so not with *proxy*."""
    proxy: bool = False
    """Whether a proxy such as RDS Proxy is between: then nothing is sent that would pin a session
    (statements of more than 16,000 bytes are split), and TLS is ``verify-full`` unless the URL says
    otherwise. ``DATABASE_PROXY=1`` sets it, too."""
    slow_after: float | None = None
    """After how many seconds a statement is logged as slow: its name, never its values."""
    on_statement: Callable[[StatementEvent], object] | None = None
    """Is called after every repository statement, in its thread: for metrics and traces."""


_OPTIONS = frozenset(one.name for one in fields(DatabaseOptions))


class Executable(Protocol):
    """What the database can run: SQL with named placeholders, and the values it brings along."""

    @property
    def name(self) -> str:
        """Name it, for logs."""

    @property
    def is_read(self) -> bool:
        """Say whether it writes nothing and locks nothing."""

    @property
    def is_idempotent(self) -> bool:
        """Say whether it does no more when it is repeated; every read is."""

    def compiled(self) -> tuple[str, Mapping[str, object]]:
        """Give the SQL and its own values."""

    def prepared(self) -> PreparedText:
        """Give the texts that prepare and execute it."""


class Database(Pool):
    """Peewee's pooled PostgreSQL, with connections borrowed per call.

    A repository call outside any block borrows a connection for that call, from any thread, and
    returns it. ``with db.connection_context():`` and ``with db.atomic():`` keep one. Plain Peewee
    queries need such a block: nothing connects on its own.
    """

    options: DatabaseOptions

    def __init__(self, name: str, options: DatabaseOptions, /, **parameters: Any) -> None:
        super().__init__(name, options, **parameters)
        self._observer = None
        if options.on_statement is not None or options.slow_after is not None:
            self._observer = Observer(options.on_statement, options.slow_after)

    @classmethod
    @contextmanager
    def beside(cls, other: Database) -> Iterator[Self]:
        """Open the same database as *other* for the block, with one connection of its own."""
        options = replace(other.options, max_connections=1)
        db = cls(other.database, options, **other.connect_params)
        try:
            yield db
        finally:
            db.close_all()

    def first(
        self, statement: Executable, make: Callable[..., T], /, **parameters: object
    ) -> T | None:
        """Run *statement* and make its first row's value; None where no row came."""
        rows = self.rows(statement, parameters)
        return make(*rows[0]) if rows else None

    def all(
        self, statement: Executable, make: Callable[..., T], /, **parameters: object
    ) -> list[T]:
        """Run *statement* and make a value of each row."""
        return [make(*row) for row in self.rows(statement, parameters)]

    def rows(self, statement: Executable, parameters: Mapping[str, object]) -> list[Row]:
        """Run *statement* in one round trip and fetch its rows.

        Where the connection is lost outside of any block, a statement that is idempotent is run
        once more. Raises the errors of ``homethrive_db.errors`` in place of the driver's.
        """
        is_in_block = not self.is_closed()
        try:
            return self._rows(statement, parameters)
        except UnavailableError as error:
            if is_in_block or error.code != CONNECTION_LOST or not statement.is_idempotent:
                raise
        return self._rows(statement, parameters)

    def _rows(self, statement: Executable, parameters: Mapping[str, object]) -> list[Row]:
        _, constants = statement.compiled()
        values = {**constants, **parameters} if constants else parameters
        is_borrowed = self.connect(reuse_if_open=True)
        try:
            translation = Translation(nothing_written=self.in_transaction() or statement.is_read)
            if self._observer is None:
                with translation:
                    return self._fetch(statement, values)
            with self._observer.watch(statement.name) as seen, translation:
                rows = self._fetch(statement, values)
                seen.extend(rows)
                return rows
        finally:
            if is_borrowed:
                self.close()

    def _fetch(self, statement: Executable, values: Mapping[str, object]) -> list[Row]:
        if self.options.prepared:
            return self._fetch_prepared(statement.prepared(), values)
        rows: list[Row] = self.execute_sql(statement.compiled()[0], values).fetchall()
        return rows

    def _fetch_prepared(self, text: PreparedText, values: Mapping[str, object]) -> list[Row]:
        try:
            return self._execute_prepared(text, values)
        except PeeweeException as error:
            if sqlstate(error) not in OUTDATED_STATES:
                raise
            self._state.slot.prepared.clear()
            if self.in_transaction():  # it is aborted, and only another one can prepare anew
                raise UnavailableError(
                    "the schema has changed since the statement was prepared; nothing is written",
                    "SCHEMA_CHANGED",
                    retryable=True,
                ) from error
        return self._execute_prepared(text, values)

    def _execute_prepared(self, text: PreparedText, values: Mapping[str, object]) -> list[Row]:
        slot = self._state.slot
        if slot.connection.closed and not self.in_transaction():
            self.renew()
        known = slot.prepared.get(text.name)
        if known is not None:
            rows: list[Row] = self.execute_sql(known, values).fetchall()
            return rows
        # A name of its own each time: where only EXECUTE failed, the former is taken for good.
        slot.preparations += 1
        name = f"{text.name}_{slot.preparations}"
        rows = self.execute_sql(text.prepare_and_execute(name), values).fetchall()
        slot.prepared[text.name] = text.execute(name)
        return rows

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Keep a connection for the block: the thread's own if it has one, else one of the pool."""
        if not self.connect(reuse_if_open=True):
            yield
            return
        self._state.ctx.append(self)  # so that Peewee's own blocks inside leave it open
        try:
            yield
        finally:
            self._state.ctx.pop()
            self.close()

    @contextmanager
    def connection_context(self) -> Iterator[None]:
        """Keep a connection for the block; inside another block, that one's."""
        with self.borrowed():
            yield

    @contextmanager
    def atomic(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a transaction, or a savepoint inside one; borrow a connection if none is open."""
        with self.borrowed(), super().atomic(*args, **kwargs) as transaction:
            yield transaction

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Open a transaction; borrow a connection if none is open."""
        with self.borrowed(), super().transaction(*args, **kwargs) as transaction:
            yield transaction

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """Send BEGIN; on another connection where this thread's turns out to be lost.

        Raises UnavailableError where that is lost too.
        """
        with Translation(nothing_written=True):
            try:
                super().begin(*args, **kwargs)
            except PeeweeException:
                if not self._state.conn.closed:
                    raise
                self.renew()
                super().begin(*args, **kwargs)

    def commit(self) -> None:
        """Send COMMIT.

        Raises CommitUncertainError where its answer does not come, unless ``settle_commits`` is
        set: then the server is asked, and UnavailableError says that it has rolled back. Raises
        HomethriveDbError (``TRANSACTION_ABORTED``) where a statement had failed before and its
        error was caught: PostgreSQL then rolls back and reports no error.
        """
        transaction_id = self._transaction_id() if self.options.settle_commits else None
        try:
            with Translation():
                cursor = self.execute_sql("COMMIT")
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
            row = self.execute_sql("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        found: str | None = row[0]
        return found

    def _settle(self, transaction_id: str, lost: UnavailableError) -> None:
        """Return if the transaction has been committed; raise whether it was rolled back."""
        outcome = None
        for _ in attempts(_SETTLE_SECONDS):
            with suppress(UnavailableError), Translation(nothing_written=True):
                if self._state.conn.closed:
                    self.renew()
                query = "SELECT pg_xact_status(%s::xid8)"
                outcome = self.execute_sql(query, (transaction_id,)).fetchone()[0]
            if outcome == "committed":
                return
            if outcome == "aborted":
                raise UnavailableError(
                    "the connection was lost during COMMIT, and the server has rolled back",
                    CONNECTION_LOST,
                    retryable=True,
                ) from lost
        raise CommitUncertainError(_UNCERTAIN) from lost

    def rollback(self) -> None:
        """Send ROLLBACK, unless the connection is gone: then the server has rolled back."""
        connection = self._state.conn
        if connection.closed:
            return
        try:
            with Translation(nothing_written=True):
                self.execute_sql("ROLLBACK")
        except UnavailableError:
            connection.close()

    def run(self, function: Callable[[], T], /, *, patience: float = 30) -> T:
        """Call *function* in a transaction, and again as long as nothing of it was written.

        It is repeated, for *patience* seconds and with pauses that grow, where the server cannot
        be reached, the connection is lost before COMMIT was sent, or another transaction was in
        the way (40001, 40P01): so it must do nothing that a rollback does not undo. Inside a
        block of the caller's it is called once, in a savepoint.

        Raises what *function* raises, and CommitUncertainError as ``commit`` does.
        """
        if self.in_transaction():
            with self.atomic():
                return function()
        for is_last in attempts(patience):
            try:
                with self.atomic():
                    return function()
            except (UnavailableError, PeeweeException) as error:
                if is_last or not _may_be_repeated(error):
                    raise
        raise AssertionError("the last attempt returns or raises")


def _may_be_repeated(error: UnavailableError | PeeweeException) -> bool:
    """Say whether a transaction that failed so wrote nothing, and may succeed the next time.

    Plain Peewee queries of the transaction raise Peewee's errors, all before its COMMIT.
    """
    ours = translate(error, nothing_written=True) or error
    return (
        isinstance(ours, UnavailableError)
        and ours.retryable
        and not isinstance(ours, PoolTimeoutError)
        and ours.code != DEADLINE_EXCEEDED
    )


def create_db(
    url: str | None = None,
    *,
    max_connections: int = 10,
    pool_timeout: float = 30,
    **options: Any,
) -> Database:
    """Make a database for *url*, or for ``DATABASE_URL``; nothing is connected yet.

    At most *max_connections* are open at once; a thread that finds all in use waits up to
    *pool_timeout* seconds. *options* are those of ``DatabaseOptions``, and keywords of libpq
    (``connect_timeout``, ``sslmode``, ...), which win over those in the URL. ``embedded://`` starts
    the embedded server.

    Raises ConfigurationError for a URL that is missing or cannot be read, and for an option with a
    wrong value.
    """
    environment = settings.Settings.from_environment()
    url = url or environment.required_database_url()
    if settings.is_embedded(url):
        from homethrive_db import embedded  # an extra: imported where it is asked for

        url = embedded.start(settings.embedded_location(url)).url
    options.setdefault("proxy", environment.proxy)
    options |= {"max_connections": max_connections, "pool_timeout": pool_timeout}
    return database_of({**settings.connection_parameters(url), **options})


def database_of(keywords: Mapping[str, Any]) -> Database:
    """Make a database from options and libpq's keywords: no password has to go into a URL.

    Raises ConfigurationError for an option with a wrong value.
    """
    options = DatabaseOptions(**{name: keywords[name] for name in _OPTIONS & keywords.keys()})
    parameters = {name: value for name, value in keywords.items() if name not in _OPTIONS}
    if options.proxy and options.prepared:
        raise ConfigurationError("prepared: a statement that is prepared pins a proxy's session")
    if options.proxy:
        if "options" in parameters:
            raise ConfigurationError(
                "options: a proxy refuses them at startup; ALTER ROLE … SET does the same"
            )
        parameters = {**settings.verified_tls(), **parameters}
    return Database(settings.describe(parameters), options, **parameters)


# What the models are bound to: plain Peewee queries go to the process's own database.
process_database = DatabaseProxy()
_process_lock = threading.Lock()
os.register_at_fork(  # a child finds it free, and what it guards whole
    before=_process_lock.acquire,
    after_in_parent=_process_lock.release,
    after_in_child=_process_lock.release,
)


def get_db() -> Database:
    """Give the process's one database, made from ``DATABASE_URL`` at the first call.

    Raises ConfigurationError where the variable is unset or cannot be read.
    """
    with _process_lock:
        if process_database.obj is None:
            process_database.initialize(create_db())
        db: Database = process_database.obj
        return db


def reset_db() -> None:
    """Close the process's database, connections in use included; the next ``get_db`` makes anew."""
    with _process_lock:
        db, process_database.obj = process_database.obj, None
    if db is not None:
        db.close_all()


def check_connection(db: Database | None = None) -> None:
    """Send a health query to *db*, or to the process's database.

    Raises UnavailableError where no answer comes.
    """
    db = db or get_db()
    with db.borrowed(), Translation(nothing_written=True):
        db.execute_sql("SELECT 1")
