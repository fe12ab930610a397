"""Drafts of migrations, from the difference between the migrations and the models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from peewee import Model

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.errors import MigrationError
from homethrive_db.migrate.ddl import statements, with_new_labels
from homethrive_db.migrate.files import read_folder
from homethrive_db.migrate.scratch import catalog_of_models, catalogs_of_migrations

_NAME = re.compile(r"[a-z0-9_]+", re.ASCII)
_HIGHEST_NUMBER = 999
_INSTALLED = {"site-packages", "dist-packages"}

_TEMPLATE = '''"""{title}.

Why, and what else is to be known of it.
"""

UP = """
{up}
"""

DOWN = """
{down}
"""


def migrate(migrator, database, fake=False, **kwargs):
    """Change the schema."""
    migrator.sql(UP)


def rollback(migrator, database, fake=False, **kwargs):
    """Restore what was there before."""
    migrator.sql(DOWN)
'''


def generate(
    db: Database,
    name: str,
    folder: Path,
    *,
    made_of: Iterable[type[Model]] = models.MODELS,
    enums: Mapping[str, Sequence[str]] = models.ENUMS,
) -> Path | None:
    """Write the migration that makes of the migrations in *folder* what the models say.

    Gives the path of the file, or None where there is no difference. New labels of enums come
    alone, and what else is different in the next one. The database of *db* serves to
    try both out and stays as it is. Raises MigrationError.
    """
    _check_name(name)
    _check_folder(folder)
    check_models(folder.parent)
    before = catalogs_of_migrations(db, read_folder(folder))[-1]
    after = catalog_of_models(db, made_of, enums)
    if before == after:
        return None
    # PostgreSQL uses a new label only once it is committed: it comes first, in a file of its own.
    after = with_new_labels(before, after) or after
    return write_draft(
        folder, name, statements(before, after), statements(after, before, is_way_back=True)
    )


def write_draft(folder: Path, name: str, up: Sequence[str] = (), down: Sequence[str] = ()) -> Path:
    """Write the next numbered file; without SQL it is empty. Raises MigrationError."""
    _check_name(name)
    _check_folder(folder)
    number = max((file.number for file in read_folder(folder)), default=0) + 1
    if number > _HIGHEST_NUMBER:
        raise MigrationError("there are 999 migrations: peewee-migrate reads no more digits")
    path = folder / f"{number:03}_{name}.py"
    title = name.replace("_", " ").capitalize()
    with path.open("x", encoding="utf-8") as file:
        file.write(_TEMPLATE.format(title=title, up=_as_python(up), down=_as_python(down)))
    return path


def check_models(checkout: Path) -> None:
    """Raise MigrationError where *checkout* has models, but those that run are others."""
    own = checkout / "homethrive_db" / "models.py"
    if own.exists() and not own.samefile(models.__file__):
        raise MigrationError(
            f"the models compared would be those of {models.__file__}, not {own}: "
            "pip install --editable . in the checkout first"
        )


def _check_folder(folder: Path) -> None:
    if _INSTALLED & set(folder.parts):
        raise MigrationError(
            f"{folder} is an installed package's: draft in a checkout (pip install --editable .)"
        )


def _check_name(name: str) -> None:
    """Raise MigrationError unless *name* can be that of a file and of the history."""
    if not _NAME.fullmatch(name):
        raise MigrationError(f"a migration's name has letters a to z, digits and _, not {name!r}")


def _as_python(lines: Sequence[str]) -> str:
    """Write SQL as the inside of a Python string, ``%`` doubled as the driver wants it."""
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return text.replace("%", "%%")
