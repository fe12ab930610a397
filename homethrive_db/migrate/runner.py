"""Applies migrations, takes them back, and tells where a database stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
import peewee_migrate.cli

from homethrive_db.database import Database, create_db
from homethrive_db.errors import HomethriveDbError, MigrationError, Translation
from homethrive_db.migrate.lock import Holder
from homethrive_db.migrate.router import WAIT_SECONDS, SafeRouter


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """Which migrations a database has, oldest first, and which it lacks."""

    applied: list[str]
    pending: list[str]


def migrations_folder() -> Path:
    """Give the folder of migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def migrate(
    db: Database,
    name: str | None = None,
    *,
    wait: float = WAIT_SECONDS,
    on_wait: Callable[[Holder], object] | None = None,
) -> Iterator[str]:
    """Apply the pending migrations one by one, up to *name* if given; yields each one's name.

    Each is one transaction with its row of the history. Any number of processes may do so at once:
    each migration is applied by one of them, and the others wait, up to *wait* seconds at a time;
    *on_wait* hears for whom. Raises MigrationError where one fails (those before it stay), where
    there is none of that *name*, or where the files do not fit the history.
    """
    with db.connection_context(), Translation():
        yield from _router(db, wait, on_wait).apply(name)


def rollback(
    db: Database,
    count: int = 1,
    *,
    wait: float = WAIT_SECONDS,
    on_wait: Callable[[Holder], object] | None = None,
) -> Iterator[str]:
    """Take back the last *count* migrations, newest first; yields each one's name.

    Raises MigrationError where fewer are applied, or one cannot be taken back.
    """
    with db.connection_context(), Translation():
        router = _router(db, wait, on_wait)
        applied = len(router.done)
        if not 1 <= count <= applied:
            raise MigrationError(f"{applied} migrations are applied, {count} cannot go back")
        for _ in range(count):
            yield router.take_back()


def status(db: Database) -> MigrationStatus:
    """Tell which migrations are applied and which are pending. Creates nothing."""
    with db.connection_context(), Translation():
        router = _router(db)
        applied = router.done if router.has_history() else []
        return MigrationStatus(applied, [one for one in router.todo if one not in set(applied)])


def prepare_pw_migrate() -> Database:
    """Give the stock ``pw_migrate`` the database of ``DATABASE_URL`` and the safe router.

    It looks its router up after it has read ``conf.py``, and it never connects by itself. An error
    ends it with one line on standard error.
    """
    peewee_migrate.cli.Router = _StockRouter
    try:
        db = create_db()
        db.connect()
    except HomethriveDbError as error:
        _end(error)
    return db


class _StockRouter(SafeRouter):
    """The safe router under the stock command: errors and waiting as lines for a person."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options, on_wait=_say_wait)

    def run(self, name: str | None = None, *, fake: bool = False) -> list[str]:
        try:
            return super().run(name, fake=fake)
        except HomethriveDbError as error:
            _end(error)

    def rollback(self) -> None:
        try:
            super().rollback()
        except HomethriveDbError as error:
            _end(error)


def _say_wait(holder: Holder) -> None:
    click.echo(f"waiting for another migration: {holder}", err=True)


def _end(error: HomethriveDbError) -> NoReturn:
    raise SystemExit(f"pw_migrate: {error}") from None


def _router(
    db: Database,
    wait: float = WAIT_SECONDS,
    on_wait: Callable[[Holder], object] | None = None,
) -> SafeRouter:
    return SafeRouter(db, migrations_folder(), wait=wait, on_wait=on_wait)
