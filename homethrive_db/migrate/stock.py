"""The stock command ``pw_migrate`` on the safe way: ``migrations/conf.py`` puts it there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar, Unpack

import click
import peewee_migrate.cli

from homethrive_db.database import Database, create_db
from homethrive_db.errors import HomethriveDbError, MigrationError, Translation
from homethrive_db.migrate.draft import generate, write_draft
from homethrive_db.migrate.router import MigrationOptions, SafeRouter

P = ParamSpec("P")
T = TypeVar("T")


def prepare_pw_migrate(**options: Unpack[MigrationOptions]) -> Database:
    """Give the stock ``pw_migrate`` the database of ``DATABASE_URL`` and the safe router.

    It looks its router up after it has read ``conf.py``, and it never connects by itself. An error
    ends it with one line on standard error.
    """
    options.setdefault("on_wait", _say)

    def router(database: Database, migrate_dir: Path, **_: object) -> SafeRouter:
        return _StockRouter(database, migrate_dir, **options)

    peewee_migrate.cli.Router = router
    return _connected()


def _in_a_line(method: Callable[P, T]) -> Callable[P, T]:
    """Let an error of ours end the program with one line for a person."""

    @wraps(method)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with Translation():
                return method(*args, **kwargs)
        except HomethriveDbError as error:
            _end(error)

    return told


class _StockRouter(SafeRouter):
    """The safe router as the stock command calls it."""

    @property
    @_in_a_line
    def done(self) -> list[str]:
        return [one.name for one in self.history.applied()]

    @property
    @_in_a_line
    def diff(self) -> list[str]:
        return [file.name for file in self.pending()]

    @_in_a_line
    def run(self, name: str | None = None, *, fake: bool = False) -> list[str]:
        return list(self.apply(name, fake=fake))

    @_in_a_line
    def rollback(self) -> None:
        self.take_back()

    @_in_a_line
    def create(self, name: str = "auto", *, auto: Any = False) -> str:
        """Write a draft: from the difference to the models if *auto*, else an empty one."""
        if auto not in (True, False, "homethrive_db.models"):
            raise MigrationError("drafts are made from homethrive_db.models alone")
        folder = self.folder
        path = generate(self.database, name, folder) if auto else write_draft(folder, name)
        click.echo(f"wrote {path}" if path else "no difference: nothing to write")
        return path.stem if path else ""

    @_in_a_line
    def merge(self, name: str = "initial") -> None:  # noqa: ARG002  # as the stock router has it
        """Refuse: it would delete files that databases have applied, and lose their CHECKs."""
        raise MigrationError("merging would delete files that are applied, and lose constraints")


@_in_a_line
def _connected() -> Database:
    db = create_db()
    db.connect()
    return db


def _say(event: object) -> None:
    click.echo(f"waiting: {event}", err=True)


def _end(error: HomethriveDbError) -> NoReturn:
    raise SystemExit(f"pw_migrate: {error}") from None
