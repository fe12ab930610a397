"""The database: a pooled PostgreSQL whose statements run by name and whose errors are ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar

from peewee import DatabaseProxy, InterfaceError

from homethrive_db import settings
from homethrive_db.errors import (
    TRANSACTION_ABORTED,
    ConfigurationError,
    HomethriveDbError,
    Translation,
)
from homethrive_db.pool import Pool

T = TypeVar("T")

Row = tuple[Any, ...]


class Executable(Protocol):
    """What the database can run: SQL with named placeholders, and the values it brings along."""

    def compiled(self) -> tuple[str, Mapping[str, object]]:
        """Give the SQL and its own values."""


class Database(Pool):
    """Peewee's pooled PostgreSQL, with connections borrowed per call.

    A repository call outside any block borrows a connection for that call, from any thread, and
    returns it. ``with db.connection_context():`` and ``with db.atomic():`` keep one. Plain Peewee
    queries need such a block: nothing connects on its own.
    """

    @classmethod
    @contextmanager
    def beside(cls, other: Database) -> Iterator[Self]:
        """Open the same database as *other* for the block, with one connection of its own."""
        db = cls(other.database, max_connections=1, pool_timeout=0, **other.connect_params)
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

        Raises the errors of ``homethrive_db.errors`` in place of the driver's.
        """
        sql, constants = statement.compiled()
        values = {**constants, **parameters} if constants else parameters
        with self.borrowed(), Translation(nothing_written=self.in_transaction()):
            rows: list[Row] = self.execute_sql(sql, values).fetchall()
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
        """Send BEGIN. Raises UnavailableError where the connection is lost."""
        with Translation(nothing_written=True):
            super().begin(*args, **kwargs)

    def commit(self) -> None:
        """Send COMMIT.

        Raises UnavailableError where its answer does not come, and HomethriveDbError
        (``TRANSACTION_ABORTED``) where a statement had failed before and its error was caught:
        PostgreSQL then rolls back and reports no error.
        """
        with Translation():
            cursor = self.execute_sql("COMMIT")
        if cursor.statusmessage == "ROLLBACK":
            raise HomethriveDbError(TRANSACTION_ABORTED, "TRANSACTION_ABORTED")

    def rollback(self) -> None:
        """Send ROLLBACK, unless the connection is gone: then the server has rolled back."""
        if not self._state.conn.closed:
            with Translation(nothing_written=True):
                super().rollback()

    def cursor(self, named_cursor: str | None = None) -> Any:
        """Open a cursor on this thread's connection; say how to get one where there is none."""
        if self.is_closed():
            raise InterfaceError(
                "no connection is open in this thread: put the query into "
                "`with db.connection_context():` or `with db.atomic():`"
            )
        return super().cursor(named_cursor)


def create_db(
    url: str | None = None,
    *,
    max_connections: int = 10,
    pool_timeout: float = 30,
    **parameters: Any,
) -> Database:
    """Make a database for *url*, or for ``DATABASE_URL``; nothing is connected yet.

    At most *max_connections* are open at once; a thread that finds all in use waits up to
    *pool_timeout* seconds. *parameters* are keywords of libpq (``connect_timeout``, ``sslmode``,
    ...) and win over those in the URL. ``embedded://`` starts the embedded server.

    Raises ConfigurationError for a URL that is missing or cannot be read, or a pool without
    connections.
    """
    url = url or settings.Settings.from_environment().required_database_url()
    if settings.is_embedded(url):
        from homethrive_db import embedded  # an extra: imported where it is asked for

        url = embedded.start(settings.embedded_location(url)).url
    return database_of(
        {**settings.connection_parameters(url), **parameters},
        max_connections=max_connections,
        pool_timeout=pool_timeout,
    )


def database_of(
    parameters: Mapping[str, Any], *, max_connections: int = 10, pool_timeout: float = 30
) -> Database:
    """Make a database from libpq's keywords alone: no password has to go into a URL.

    Raises ConfigurationError for a pool without connections.
    """
    if max_connections < 1 or pool_timeout < 0:
        raise ConfigurationError("max_connections must be 1 or more, pool_timeout 0 or more")
    return Database(
        settings.describe(parameters),
        max_connections=max_connections,
        pool_timeout=pool_timeout,
        **parameters,
    )


# What the models are bound to: plain Peewee queries go to the process's own database.
process_database = DatabaseProxy()
_process_lock = threading.Lock()


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
