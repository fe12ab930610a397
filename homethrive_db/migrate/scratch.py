"""A schema that is never kept: where models and migrations show what they make.

It lives in a transaction that is rolled back, on a connection of its own, in the database itself,
so no second one is needed and nothing of the database's own is touched. Only where a migration uses
an enum label that an earlier one has added, which PostgreSQL refuses in one transaction, each file
is committed, and the schema dropped in the end.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import psycopg2
from peewee import Model, PeeweeException, SchemaManager, sort_models  # type: ignore[attr-defined]  # unlisted

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.errors import MigrationError, Translation
from homethrive_db.migrate.catalog import Catalog, read_catalog
from homethrive_db.migrate.failures import failed
from homethrive_db.migrate.files import MigrationFile
from homethrive_db.migrate.migrator import SafeMigrator, bare, perform

T = TypeVar("T")

_PREFIX = "homethrive_scratch_"
_LOCK_TIMEOUT = "5s"
_LEFT_SECONDS = 3600
_UNSAFE_NEW_LABEL = "55P04"

# What refuses a transaction has the same result without, on tables that are empty.
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
_VACUUM = re.compile(r"\s*VACUUM\b", re.IGNORECASE)
# What Peewee sends of its own.
_OWN = re.compile(r"(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) [^;]+;|BEGIN|COMMIT")


class Scratch(Database):
    """A connection into the scratch schema, which remembers what is executed."""

    executed: list[str]
    schema: str
    commits: bool

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Work in the schema for the block."""
        with self.atomic() if self.commits else nullcontext():
            set_search_path = "SELECT set_config('search_path', %s, true)"
            super().execute_sql(set_search_path, (self.schema,))
            super().execute_sql("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            yield

    def read(self) -> Catalog:
        """Read what is in the schema."""
        with self.turn():
            return read_catalog(self)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute *sql*, made fit for a transaction; keep it as it was meant."""
        in_transaction = "SELECT" if _VACUUM.match(bare(sql)) else _CONCURRENTLY.sub("", sql)
        cursor = super().execute_sql(in_transaction, params)
        if not _OWN.fullmatch(sql):
            self.executed.append(cursor.mogrify(sql, params or ()).decode().strip())
        return cursor

    def apply(self, file: MigrationFile) -> None:
        """Run the way up of *file*. Raises MigrationError where it fails."""
        self.executed = []
        failure = None
        try:
            with self.turn():
                perform(file, file.migrate, SafeMigrator(self), self)
        except (PeeweeException, psycopg2.Error) as error:
            failure = failed(file.name, "fails on empty tables", error)
        if failure is not None:  # outside of the handler, which would tie the driver's error to it
            raise failure

    def create(self, made_of: Iterable[type[Model]], enums: Mapping[str, Sequence[str]]) -> None:
        """Create the tables of models, and the enum types they use."""
        for name, labels in enums.items():
            quoted = ", ".join("'" + label.replace("'", "''") + "'" for label in labels)
            self.execute_sql(f"CREATE TYPE {name} AS ENUM ({quoted})".replace("%", "%%"))
        for model in sort_models(made_of):
            SchemaManager(model, database=self).create_all(safe=False)


@contextmanager
def scratch(db: Database, *, commits: bool = False) -> Iterator[Scratch]:
    """Open an empty scratch schema on the server and the database of *db*.

    It is rolled back, unless it *commits* each turn; then it is dropped.
    """
    with Scratch.beside(db) as connection, Translation():
        connection.executed, connection.commits = [], commits
        connection.schema = f"{_PREFIX}{uuid.uuid4().hex}"
        if commits:
            with _committed(connection):
                yield connection
            return
        with connection.atomic() as transaction:
            connection.execute_sql(f"CREATE SCHEMA {connection.schema}")
            with connection.turn():
                yield connection
            transaction.rollback()


@contextmanager
def _committed(connection: Scratch) -> Iterator[None]:
    with connection.connection_context():
        for schema in (*_left_behind(connection), connection.schema):
            connection.execute_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute_sql(f"CREATE SCHEMA {connection.schema}")
        # So that the next one knows who is killed in between.
        connection.execute_sql(f"COMMENT ON SCHEMA {connection.schema} IS '{time.time():.0f}'")
        try:
            yield
        finally:
            connection.execute_sql(f"DROP SCHEMA {connection.schema} CASCADE")


def _left_behind(connection: Scratch) -> list[str]:
    """List the schemas of those who were killed in between, an hour ago or more."""
    query = """SELECT nspname FROM pg_namespace WHERE nspname LIKE %s
        AND obj_description(oid, 'pg_namespace')::float < %s"""
    rows = connection.execute_sql(query, (f"{_PREFIX}%", time.time() - _LEFT_SECONDS))
    return [name for (name,) in rows.fetchall()]


def in_scratch(db: Database, work: Callable[[Scratch], T]) -> T:
    """Do *work* in a scratch schema; once more, committing, where one transaction cannot do it."""
    try:
        with scratch(db) as connection:
            return work(connection)
    except MigrationError as error:
        if error.details.get("sqlstate") != _UNSAFE_NEW_LABEL:
            raise
    with scratch(db, commits=True) as connection:
        return work(connection)


def catalog_of_models(
    db: Database,
    made_of: Iterable[type[Model]] = models.MODELS,
    enums: Mapping[str, Sequence[str]] = models.ENUMS,
) -> Catalog:
    """Read what the models make."""
    with scratch(db) as connection:
        connection.create(made_of, enums)
        return connection.read()


def catalogs_of_migrations(db: Database, files: Iterable[MigrationFile]) -> list[Catalog]:
    """Read what the migrations make, from zero: before the first, and after each."""

    def work(connection: Scratch) -> list[Catalog]:
        catalogs = [connection.read()]
        for file in files:
            connection.apply(file)
            catalogs.append(connection.read())
        return catalogs

    return in_scratch(db, work)
