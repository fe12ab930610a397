"""Applies migrations and takes them back, by the files and the history table of peewee-migrate."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import peewee
from peewee_migrate.migrator import Migrator
from peewee_migrate.router import Router

from homethrive_db.database import Database, create_db
from homethrive_db.errors import MigrationError, ValidationError, quotes_values, translate

# Peewee-migrate logs each failure with the driver's text, which may quote rows; here it is raised.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.disabled = True


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Which migrations a database has, oldest first, and which it lacks."""

    applied: list[str]
    pending: list[str]


class _Router(Router):
    """Peewee-migrate's router without its replay of applied files.

    The replay rebuilds models that a migration may use, and patches peewee for the whole process
    while it runs; migrations that are SQL need neither.
    """

    @property
    def migrator(self) -> Migrator:
        return self.migrator_class(self.database)


def migrations_folder() -> Path:
    """Give the folder of migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def migrate(db: Database, name: str | None = None) -> Iterator[str]:
    """Apply the pending migrations one by one, up to *name* if given; yields each one's name.

    Each is one transaction with its row of the history. Raises MigrationError where one fails
    (those before it stay) or there is none of that *name*.
    """
    with db.connection_context():
        router = _router(db)
        pending = _checked_pending(router, name)
        for one in pending:
            _run(router, one)
            yield one


def rollback(db: Database, count: int = 1) -> Iterator[str]:
    """Take back the last *count* migrations, newest first; yields each one's name.

    Raises MigrationError where fewer are applied, or one cannot be taken back.
    """
    with db.connection_context():
        router = _router(db)
        applied = router.done
        if count < 1 or count > len(applied):
            raise MigrationError(f"{len(applied)} migrations are applied, {count} cannot go back")
        for one in reversed(applied[-count:]):
            _run(router, one, downgrade=True)
            yield one


def status(db: Database) -> MigrationStatus:
    """Tell which migrations are applied and which are pending. Creates nothing."""
    with db.connection_context():
        router = _router(db)
        applied = router.done if db.table_exists(router.migrate_table) else []
        return MigrationStatus(applied, [one for one in router.todo if one not in set(applied)])


def database_for_pw_migrate() -> Database:
    """Open the database of ``DATABASE_URL`` for the stock ``pw_migrate``, which never connects."""
    db = create_db()
    db.connect()
    return db


def _router(db: Database) -> Router:
    return _Router(db, migrate_dir=migrations_folder(), logger=_SILENT)


def _checked_pending(router: Router, name: str | None) -> list[str]:
    pending: list[str] = router.diff
    if name is None:
        return pending
    if name not in router.todo:
        raise MigrationError(f"there is no migration {name}", details={"migration": name})
    return pending[: pending.index(name) + 1] if name in pending else []


def _run(router: Router, name: str, *, downgrade: bool = False) -> None:
    if downgrade and not _has_rollback(router, name):
        raise MigrationError(f"{name} has no rollback", details={"migration": name})
    try:
        router.run_one(name, router.migrator, fake=False, downgrade=downgrade)
        return
    except (peewee.PeeweeException, MigrationError) as error:
        failure = _failure(name, error)
        if not quotes_values(error):
            raise failure from error
    raise failure  # outside of the handler, which would tie the driver's error to it


def _has_rollback(router: Router, name: str) -> bool:
    _, rollback = router.read(name)
    return bool(rollback.__name__ == "rollback")


def _failure(name: str, error: Exception) -> MigrationError:
    ours = translate(error)
    reason = str(error).strip().partition("\n")[0]
    if isinstance(ours, ValidationError):  # the one kind whose first line may quote a value
        reason = str(ours)
    return MigrationError(
        f"{name} failed and was rolled back: {reason}",
        details={"migration": name, **(ours.details if ours else {})},
    )
