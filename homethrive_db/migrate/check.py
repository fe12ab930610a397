"""Whether migrations, models and the live database say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homethrive_db.database import Database
from homethrive_db.errors import Translation
from homethrive_db.migrate.catalog import read_catalog
from homethrive_db.migrate.compare import Difference, compare
from homethrive_db.migrate.files import read_folder
from homethrive_db.migrate.history import History
from homethrive_db.migrate.scratch import catalog_of_models, catalogs_of_migrations


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found; empty where all is well."""

    migrations: list[Difference] = field(default_factory=list)
    """How the migrations, from zero, differ from the models."""
    database: list[Difference] = field(default_factory=list)
    """How the live database differs from the models."""
    pending: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    """Applied migrations whose file is another one since."""
    missing: list[str] = field(default_factory=list)
    """Applied migrations whose file is not there."""

    @property
    def is_clean(self) -> bool:
        """Say whether nothing was found."""
        return not any((self.migrations, self.database, self.pending, self.edited, self.missing))


def check(db: Database, folder: Path, *, ignore: Sequence[str] = ()) -> CheckResult:
    """Compare migrations, models and the live database. Changes nothing.

    *ignore* names tables that are not ours, by name or pattern (``*``); an enum type that only they
    use is passed over with them. The database user needs the right to create a schema, which is
    never kept. Raises MigrationError where a migration fails from zero.
    """
    files = read_folder(folder)
    expected = catalog_of_models(db)
    migrated = catalogs_of_migrations(db, files)[-1]
    with db.connection_context(), Translation():
        applied = {one.name: one for one in History(db).applied()}
        live = read_catalog(db, ignore)
    return CheckResult(
        migrations=compare(expected, migrated),
        database=compare(expected, live),
        pending=[file.name for file in files if file.name not in applied],
        edited=[
            file.name
            for file in files
            if file.name in applied and applied[file.name].was_edited(file)
        ],
        missing=[name for name in applied if name not in {file.name for file in files}],
    )
