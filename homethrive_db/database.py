"""The database: a pooled PostgreSQL whose statements run by name and whose errors are ours."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Self, TypeVar
from uuid import UUID

from peewee import DatabaseProxy

from homethrive_db import settings, validation
from homethrive_db.connector import check_keywords
from homethrive_db.errors import (
    CONNECTION_LOST,
    ConfigurationError,
    ConflictError,
    Translation,
    UnavailableError,
    sqlstate,
)
from homethrive_db.observing import Observer
from homethrive_db.options import DatabaseOptions
from homethrive_db.prepared import OUTDATED_STATES, Executable
from homethrive_db.secrecy import without_locals
from homethrive_db.slots import Slot
from homethrive_db.transactions import TransactionalPool

T = TypeVar("T")

Row = tuple[Any, ...]

_KEPT_ROWS = 100
"""A cursor keeps its rows until it is used again: with more it is made anew."""

_STARTUP_VARIABLES = ("PGOPTIONS", "PGGEQO")  # libpq sends what they say

_OPTIONS = frozenset(one.name for one in fields(DatabaseOptions))
_ISOLATION_LEVEL = "isolation_level"  # of Peewee: of every transaction
_LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Database(TransactionalPool):
    """Peewee's pooled PostgreSQL, with connections borrowed per call.

    A repository call outside any block borrows a connection for that call, from any thread, and
    returns it. ``with db.connection_context():`` and ``with db.atomic():`` keep one. Plain Peewee
    queries need such a block: nothing connects on its own.
    """

    def __init__(self, name: str, options: DatabaseOptions, /, **parameters: Any) -> None:
        super().__init__(name, options, **parameters)
        self._observer: Any = None
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

        A write without RETURNING gives an empty row for each that it wrote. Where the connection is
        lost outside of any block, a statement that is idempotent is run once more. Raises the
        errors of ``homethrive_db.errors`` in place of the driver's.
        """
        for value in parameters.values():
            if type(value) is UUID:
                parameters = {name: _as_text(value) for name, value in parameters.items()}
                break
        run = self._fetch if self._observer is None else self._fetch_observed
        if not self._state.closed:
            return run(statement, parameters)
        for may_be_repeated in (statement.is_idempotent, False):
            try:
                try:
                    self.connect()
                    return run(statement, parameters)
                finally:
                    self.close()
            except BaseException as error:
                self.close()  # that may have been interrupted
                if not (may_be_repeated and _is_loss(error)):
                    raise
        raise AssertionError("the second attempt returns or raises")

    def _fetch_observed(self, statement: Executable, values: Mapping[str, object]) -> list[Row]:
        with self._observer.watch(statement.name) as seen:
            rows = self._fetch(statement, values)
            seen.extend(rows)
            return rows

    def _fetch(self, statement: Executable, values: Mapping[str, object]) -> list[Row]:
        """Execute as psycopg2 does: no log sees the values. In one piece: that takes 4 % less."""
        sql = ""
        try:
            state = self._state
            if state.closed or state.conn.closed:
                self._live_connection()
            slot: Slot = state.slot
            prepared = slot.prepared if self.options.prepared else None
            sql = prepared.message(statement, values) if prepared else statement.compiled()
            # Taken out while it is in use: a signal handler may fetch, too.
            cursor, slot.cursor = slot.cursor or slot.connection.cursor(), None
            if self.query_hooks or self._deadlines.current is not None:
                cursor = self._execute(cursor, sql, values)
            else:
                call, began_at = slot.call, time.monotonic()  # ``with call``, written out
                try:
                    call.began_at = began_at
                    cursor.execute(sql, values)
                finally:
                    call.began_at = 0.0
                    if call.overdue == began_at:
                        call.refuse()
            if prepared:
                prepared.note_sent(statement, sql)
            try:
                rows = cursor.fetchall() if cursor.description else [()] * cursor.rowcount
            except (ValueError, OverflowError):
                rows = None  # its text has the value, so it is no cause
            if rows is None:
                raise _broken_row()
            if len(rows) <= _KEPT_ROWS:
                slot.cursor = cursor
            return rows
        except Exception as error:
            if not self._is_outdated(statement, sql, error):
                with Translation(nothing_written=statement.is_read or self.in_transaction()):
                    raise
        return self._fetch(statement, values)

    def _execute(self, cursor: Any, sql: str, values: Mapping[str, object]) -> Any:
        """Execute within a deadline, or before Peewee's hooks; gives the cursor that has rows."""
        deadline = self._deadlines.current
        if self.query_hooks or deadline is None:
            return self.execute_own(sql, values)
        with deadline.watching(cursor.connection):
            cursor.execute(sql, values)
            return cursor

    def _is_outdated(self, statement: Executable, sql: str, error: Exception) -> bool:
        """Say whether a statement is to be prepared anew, since the schema has changed.

        Raises UnavailableError (``SCHEMA_CHANGED``) inside a transaction: it is aborted, and only
        another one can prepare anew.
        """
        if not sql or not self.options.prepared:
            return False
        prepared = self._state.slot.prepared
        if sqlstate(error) not in OUTDATED_STATES or not prepared.knows(statement, sql):
            return False
        prepared.clear()
        if self.in_transaction():
            raise UnavailableError(
                "the schema has changed since the statement was prepared; nothing is written",
                "SCHEMA_CHANGED",
                retryable=True,
            ) from error
        return True


def _as_text(value: object) -> object:
    """Write an id as its digits: psycopg2 takes twice as long for one, in Python."""
    return f"{value.int:032x}" if type(value) is UUID else value


def _is_loss(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) and error.code == CONNECTION_LOST


def _broken_row() -> ConflictError:
    """Make the error for what PostgreSQL stores and Python has no value for."""
    return ConflictError(
        "a stored value has to be set right: a date outside the years 1 to 9999, or text that is"
        " not in the database's encoding",
        "BROKEN_ROW",
    )


@without_locals
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
    (``connect_timeout``, ``sslmode``, ...), which win over those in the URL; Peewee's
    ``isolation_level`` is that of every transaction. ``embedded://`` starts the embedded server.

    Raises ConfigurationError for a URL that is missing or cannot be read, for an option with a
    wrong value, and for what is neither an option nor a keyword of libpq.
    """
    if not isinstance(url, str | None):
        raise ConfigurationError(f"a database URL is text, {type(url).__name__} came")
    environment = settings.Settings.from_environment()
    url = environment.required_database_url() if url is None else url
    if settings.is_embedded(url):
        from homethrive_db import embedded  # an extra: imported where it is asked for

        url = embedded.start(settings.embedded_location(url)).url
    options.setdefault("proxy", environment.proxy)
    options |= {"max_connections": max_connections, "pool_timeout": pool_timeout}
    return database_of({**settings.connection_parameters(url), **options})


@without_locals
def database_of(keywords: Mapping[str, Any]) -> Database:
    """Make a database from options and libpq's keywords: no password has to go into a URL.

    Raises ConfigurationError as ``create_db`` does.
    """
    options = DatabaseOptions(**{name: keywords[name] for name in _OPTIONS & keywords.keys()})
    parameters = {name: value for name, value in keywords.items() if name not in _OPTIONS}
    if "database" in parameters:  # psycopg2's own name for it, and of an argument of Peewee's
        raise ConfigurationError('"database" is no option: libpq calls it dbname')
    if "dsn" in parameters:
        raise ConfigurationError('"dsn" is no option: the URL is the first argument')
    level = parameters.get(_ISOLATION_LEVEL)
    if level not in (None, *_LEVELS):
        raise ConfigurationError(f"{_ISOLATION_LEVEL} must be one of {', '.join(_LEVELS)}")
    # Else Peewee and playhouse would take others of theirs, against which the pool is not proof.
    check_keywords({name: value for name, value in parameters.items() if name != _ISOLATION_LEVEL})
    if options.proxy:
        _refuse_what_a_proxy_does(parameters)
    if options.proxy or getattr(options.credentials, "verify_tls", False):
        parameters = settings.with_verified_tls(parameters)
    return Database(settings.describe(parameters), options, **parameters)


def _refuse_what_a_proxy_does(parameters: Mapping[str, Any]) -> None:
    found = [name for name in ("options", "replication") if parameters.get(name)]
    found += [name for name in _STARTUP_VARIABLES if os.environ.get(name)]
    if found:
        raise ConfigurationError(
            f"{', '.join(found)}: a proxy refuses it at startup; ALTER ROLE … SET does the same"
        )


# What the models are bound to: plain Peewee queries go to the process's own database.
process_database = DatabaseProxy()
_process_lock = threading.RLock()  # a handler of a signal may close what is just being made
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

    Raises UnavailableError where no answer comes, and ValidationError for what is no database.
    """
    db = get_db() if db is None else validation.made(db, Database, "db")
    with db.borrowed(), Translation(nothing_written=True):
        db.execute_own("SELECT 1")
