"""Makes a database that the Node service made one of ours: notes which migrations it has."""

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
from homethrive_db.migrate.lock import migration_lock
from homethrive_db.migrate.scratch import catalogs_of_migrations


@dataclass(frozen=True, slots=True)
class Adoption:
    """What came of it: the migrations that were noted, or what stands against it."""

    noted: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    nearest: str | None = None
    """Where nothing was noted: the migration whose result is nearest to the database."""
    differences: list[Difference] = field(default_factory=list)
    """How the database differs from that result."""


def adopt(db: Database, folder: Path, *, ignore: Sequence[str] = (), wait: float = 60) -> Adoption:
    """Note the longest run of migrations whose result is what the database has.

    Only the history is written, under the migrators' lock; a database that has a history, or none
    of our tables, is left as it is. *ignore* names tables that are not ours. Raises MigrationError.
    """
    files = read_folder(folder)
    names = [file.name for file in files]
    results = catalogs_of_migrations(db, files)
    with db.connection_context(), Translation(), migration_lock(db, wait=wait):
        history = History(db)
        done = {one.name for one in history.applied()}
        if done:
            return Adoption(pending=[name for name in names if name not in done])
        live = read_catalog(db, ignore)
        differences = [compare(result, live) for result in results]
        fitting = next((n for n in reversed(range(len(results))) if not differences[n]), None)
        if fitting is not None:
            if fitting:
                history.create()
            for file in files[:fitting]:
                history.add(file)
            return Adoption(names[:fitting], names[fitting:])
    nearest = min(range(len(files), -1, -1), key=lambda n: len(differences[n]))
    name = names[nearest - 1] if nearest else "an empty database"
    return Adoption([], names, name, differences[nearest])
