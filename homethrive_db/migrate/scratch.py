"""A schema that is never kept: where models and migrations show what they make.

It lives in a transaction that is rolled back, on a connection of its own, in the database itself,
so no second one is needed and nothing of the database's own is touched.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from peewee import Model, PeeweeException, SchemaManager, sort_models  # type: ignore[attr-defined]  # unlisted

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.errors import Translation
from homethrive_db.migrate.catalog import Catalog, read_catalog
from homethrive_db.migrate.failures import failed
from homethrive_db.migrate.files import MigrationFile
from homethrive_db.migrate.migrator import SafeMigrator, perform

# What refuses a transaction has the same result without, on tables that are empty.
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
_VACUUM = re.compile(r"\s*VACUUM\b", re.IGNORECASE)
# What Peewee sends of its own.
_OWN = re.compile(r"(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) [^;]+;|BEGIN|COMMIT")


class Scratch(Database):
    """A connection into the scratch schema, which remembers what is executed."""

    executed: list[str]

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute *sql*, made fit for a transaction; keep it as it was meant."""
        in_transaction = "SELECT" if _VACUUM.match(sql) else _CONCURRENTLY.sub("", sql)
        cursor = super().execute_sql(in_transaction, params)
        if not _OWN.fullmatch(sql):
            self.executed.append(cursor.mogrify(sql, params or ()).decode().strip())
        return cursor

    def apply(self, file: MigrationFile) -> None:
        """Run the way up of *file*. Raises MigrationError where it fails."""
        self.executed = []
        failure = None
        try:
            perform(file, file.migrate, SafeMigrator(self), self)
        except PeeweeException as error:
            failure = failed(file.name, "fails on empty tables", error)
        if failure is not None:  # outside of the handler, which would tie the driver's error to it
            raise failure

    def create(self, made_of: Iterable[type[Model]], enums: Mapping[str, Sequence[str]]) -> None:
        """Create the tables of models, and the enum types they use."""
        for name, labels in enums.items():
            quoted = ", ".join("'" + label.replace("'", "''") + "'" for label in labels)
            self.execute_sql(f"CREATE TYPE {name} AS ENUM ({quoted})")
        for model in sort_models(made_of):
            SchemaManager(model, database=self).create_all(safe=False)


@contextmanager
def scratch(db: Database) -> Iterator[Scratch]:
    """Open an empty scratch schema on the server and the database of *db*."""
    with Scratch.beside(db) as connection, Translation():
        connection.executed = []
        with connection.atomic() as transaction:
            schema = f"homethrive_scratch_{uuid.uuid4().hex}"
            connection.execute_sql(f"CREATE SCHEMA {schema}")
            connection.execute_sql("SELECT set_config('search_path', %s, true)", (schema,))
            yield connection
            transaction.rollback()


def catalog_of_models(
    db: Database,
    made_of: Iterable[type[Model]] = models.MODELS,
    enums: Mapping[str, Sequence[str]] = models.ENUMS,
) -> Catalog:
    """Read what the models make."""
    with scratch(db) as connection:
        connection.create(made_of, enums)
        return read_catalog(connection)


def catalogs_of_migrations(db: Database, files: Iterable[MigrationFile]) -> list[Catalog]:
    """Read what the migrations make, from zero: before the first, and after each."""
    with scratch(db) as connection:
        catalogs = [read_catalog(connection)]
        for file in files:
            connection.apply(file)
            catalogs.append(read_catalog(connection))
        return catalogs
