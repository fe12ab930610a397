"""What a migration's functions get as ``migrator``: peewee-migrate's, with guards.

A transactional migration runs inside the transaction of its lock. One that says ``TRANSACTIONAL =
False`` runs statement by statement, so each must bear to be run again after a crash in between.
"""

from __future__ import annotations

import inspect
import math
import re
import time
from typing import Any

import peewee
from peewee_migrate.migrator import Migrator
from playhouse.migrate import Operation

from homethrive_db.errors import MigrationError
from homethrive_db.migrate.failures import begin_of, naming, wrong
from homethrive_db.migrate.files import MigrationFile, Step
from homethrive_db.migrate.lock import Holder, Listener

QUESTION = "-- QUESTION:"
"""How a draft marks what its author must decide."""

# What is no statement: comments, strings and the bodies of functions.
_NO_SQL = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|(?P<quote>\$\w*\$).*?(?P=quote)"
    r"|\bBEGIN\s+ATOMIC\b.*?;\s*END\b",
    re.DOTALL | re.IGNORECASE,
)
_NAMES_A_SCHEMA = re.compile(r'\bpublic"?\s*\.', re.IGNORECASE)
_ENDS_A_TRANSACTION = re.compile(
    r"(?:^|;)\s*(?:COMMIT|ROLLBACK|ABORT|END|PREPARE\s+TRANSACTION)\b(?!\s+TO\b)", re.IGNORECASE
)
_REFUSES_A_TRANSACTION = re.compile(r"\bCONCURRENTLY\b|^\s*VACUUM\b", re.IGNORECASE)
_BUILDS_INDEX = re.compile(
    r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<safe>IF\s+NOT\s+EXISTS\s+)?"
    r'(?P<index>"[^"]+"|\w+)',
    re.IGNORECASE,
)

_INVALID = "SELECT indexrelid FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"
_BUILDER = """
SELECT pid, application_name, query_start
FROM pg_stat_progress_create_index JOIN pg_stat_activity USING (pid) WHERE index_relid = %s
"""


class _Statement(Operation):
    """An operation whose failure notes which SQL it was; bound values are no part of that."""

    def __init__(self, operation: Operation, sql: str) -> None:
        super().__init__(operation.migrator, operation.fn, *operation.args)
        self._sql = sql

    def run(self) -> None:
        """Execute it."""
        try:
            super().run()
        except peewee.PeeweeException as error:
            error.add_note(f"in SQL that begins {begin_of(self._sql)}")
            raise


class SafeMigrator(Migrator):
    """Runs SQL without a replay of older files; refuses what an author has still to decide."""

    def sql(self, sql: str, *params: Any) -> None:
        """Have *sql* executed; a ``%`` that stands for itself is written ``%%`` in it."""
        executed = bare(sql)
        if not executed.strip("; \n\t") and QUESTION not in sql:
            raise MigrationError("there is no SQL in it: write some")
        if QUESTION in sql:
            line = sql[sql.index(QUESTION) :].partition("\n")[0]
            raise MigrationError(f"a question of the draft is open: {line}", "OPEN_QUESTION")
        if _NAMES_A_SCHEMA.search(executed):
            raise MigrationError(
                "the SQL names the schema public: leave it out, so that the migration can be "
                "tried in another one"
            )
        if _ENDS_A_TRANSACTION.search(executed):
            raise MigrationError(
                "the SQL ends a transaction, which is not its own: leave COMMIT and ROLLBACK out"
            )
        _check_placeholders(sql, len(params))
        super().sql(sql, *params)
        self.__ops__.append(_Statement(self.__ops__.pop(), sql))


class NonTransactionalMigrator(SafeMigrator):
    """Runs each statement in autocommit, or where that is possible in a transaction of its own."""

    def __init__(self, database: Any, *, lock_timeout: float, wait: float, on_wait: Listener):
        super().__init__(database)
        self._db = database
        self._lock_timeout = lock_timeout
        self._wait = wait
        self._on_wait = on_wait
        self.__ops__: list[Any] = []

    def __call__(self) -> None:
        """Run the operations, one by one."""
        operations, self.__ops__ = self.__ops__, []
        for operation in operations:
            operation.run() if isinstance(operation, Operation) else operation()

    def sql(self, sql: str, *params: Any) -> None:
        """Have *sql*, one statement, executed."""
        super().sql(sql, *params)
        operation = self.__ops__.pop()
        executed = bare(sql)
        build = _BUILDS_INDEX.search(executed)
        if build and not build["safe"]:
            raise MigrationError(
                f"CREATE INDEX CONCURRENTLY {build['index']} needs IF NOT EXISTS: "
                "after a crash the file runs again"
            )
        if build:
            index = build["index"]
            self.__ops__.append(lambda: self._drop_invalid(index))
        if _REFUSES_A_TRANSACTION.search(executed):
            self.__ops__.append(operation)
        else:
            self.__ops__.append(lambda: self._run_in_transaction(operation))

    def _run_in_transaction(self, operation: Operation) -> None:
        with self._db.deadline(math.inf), self._db.atomic():
            limit_locks(self._db, self._lock_timeout)
            operation.run()

    def _drop_invalid(self, index: str) -> None:
        """Drop what a crash left of *index*, unless somebody builds it right now: then wait.

        A migrator that was killed leaves a backend that may well finish the index.
        """
        deadline = time.monotonic() + self._wait
        told = None
        while found := self._db.execute_sql(_INVALID, (index,)).fetchone():
            builder = self._db.execute_sql(_BUILDER, found).fetchone()
            if builder is None:
                self._db.execute_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
                return
            holder = Holder(*builder)
            if told != holder:
                told = holder
                self._on_wait(holder)
            if time.monotonic() >= deadline:
                raise MigrationError(
                    f"{index} is still being built by {holder}", "MIGRATION_LOCKED"
                )
            time.sleep(0.1)


def bare(sql: str) -> str:
    """Leave out of *sql* what is not executed as it stands."""
    return _NO_SQL.sub(" ", sql)


def _check_placeholders(sql: str, parameters: int) -> None:
    """Raise MigrationError where psycopg2 could not fill *parameters* into *sql*."""
    try:
        sql % (("",) * parameters)
    except (TypeError, ValueError):
        raise MigrationError(
            "its SQL has one %s for each parameter, and any other % is written %%"
        ) from None


def perform(file: MigrationFile, step: Step, migrator: SafeMigrator, db: Any) -> None:
    """Let a function of *file* say what is to be done, and do it."""
    with naming(file.path):
        try:
            _check_parameters(step)
            step(migrator, db, fake=False)
            migrator()
        except MigrationError as error:
            raise wrong(file.name, error.message, error.code) from error


def _check_parameters(step: Step) -> None:
    """Raise MigrationError where *step* does not take what ``perform`` gives it."""
    try:
        inspect.signature(step).bind(None, None, fake=False)
    except TypeError:
        raise MigrationError(
            f"{step.__name__} takes other parameters than (migrator, database, fake=False, "
            "**kwargs)"
        ) from None


def limit_locks(db: Any, seconds: float) -> None:
    """Let the statements of this transaction wait for a lock no longer than *seconds*."""
    db.execute_sql("SELECT set_config('lock_timeout', %s, true)", (f"{seconds * 1000:.0f}ms",))
