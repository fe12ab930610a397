"""Applies migrations, takes them back, and tells where a database stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Unpack

from homethrive_db.database import Database
from homethrive_db.errors import MigrationError, Translation
from homethrive_db.migrate.files import read_folder
from homethrive_db.migrate.history import History
from homethrive_db.migrate.router import MigrationOptions, SafeRouter


@dataclass(frozen=True, slots=True)
class Applied:
    """An applied migration; ``seconds`` is None where another tool applied it."""

    name: str
    at: datetime
    seconds: float | None
    is_edited: bool
    """Whether its file is another one since."""
    is_missing: bool
    """Whether its file is not there: a later version applied it, or the file was removed."""


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Which migrations a database has, oldest first, and which it lacks."""

    applied: list[Applied]
    pending: list[str]

    @property
    def is_current(self) -> bool:
        """Say whether nothing is pending, edited or missing."""
        return not self.pending and not any(one.is_edited or one.is_missing for one in self.applied)


def migrations_folder() -> Path:
    """Give the folder of migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def migrate(
    db: Database, name: str | None = None, **options: Unpack[MigrationOptions]
) -> Iterator[str]:
    """Apply the pending migrations one by one, up to *name* if given; yields each one's name.

    Each is applied when it is asked for: ``for name in migrate(db)``.

    Each is one transaction with its row of the history. Any number of processes may do so at once:
    each migration is applied by one of them, and the others wait. Raises MigrationError where one
    fails (those before it stay), where there is none of that *name*, where the files do not fit the
    history, and where somebody else made the tables (``NEEDS_ADOPTION``).
    """
    with db.connection_context(), Translation():
        yield from SafeRouter(db, migrations_folder(), **options).apply(name)


def rollback(db: Database, count: int = 1, **options: Unpack[MigrationOptions]) -> Iterator[str]:
    """Take back the last *count* migrations, newest first; yields each one's name.

    Raises MigrationError where fewer are applied, or one cannot be taken back.
    """
    with db.connection_context(), Translation():
        router = SafeRouter(db, migrations_folder(), **options)
        applied = len(router.done)
        if not 1 <= count <= applied:
            raise MigrationError(f"{applied} migrations are applied, {count} cannot go back")
        for _ in range(count):
            yield router.take_back()


def status(db: Database) -> MigrationStatus:
    """Tell which migrations are applied and which are pending. Creates nothing."""
    files = {file.name: file for file in read_folder(migrations_folder())}
    with db.connection_context(), Translation():
        rows = History(db).applied()
    applied = [
        Applied(
            row.name,
            row.applied_at,
            row.seconds,
            is_edited=row.name in files and row.was_edited(files[row.name]),
            is_missing=row.name not in files,
        )
        for row in rows
    ]
    done = {one.name for one in applied}
    return MigrationStatus(applied, [name for name in files if name not in done])
