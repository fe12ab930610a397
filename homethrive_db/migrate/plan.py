"""What would run: the SQL of pending migrations, tried in a scratch schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homethrive_db.database import Database
from homethrive_db.errors import Translation
from homethrive_db.migrate.files import MigrationFile
from homethrive_db.migrate.router import SafeRouter
from homethrive_db.migrate.scratch import Scratch, in_scratch


@dataclass(frozen=True, slots=True)
class PlannedMigration:
    """A pending migration; ``sql`` is what it executes."""

    name: str
    path: Path
    summary: str
    is_transactional: bool
    sql: list[str]

    def script(self) -> str:
        """Write it as a script, to be read or tried: it has no row of the history."""
        lines = [_ended(one) for one in self.sql]
        if self.is_transactional:
            lines = ["BEGIN;", *lines, "COMMIT;"]
        return "\n".join([f"-- {self.name}: {self.summary}", *lines, ""])


def _ended(statement: str) -> str:
    """End a statement with a semicolon, on a line of its own where the last one has a comment."""
    last_line = statement.rpartition("\n")[2]
    return f"{statement}\n;" if "--" in last_line else f"{statement.rstrip(';')};"


def plan(db: Database, folder: Path) -> list[PlannedMigration]:
    """Tell what the pending migrations of *folder* would execute; the database stays as it is.

    They run, with those before them, on empty tables in a scratch schema. Raises MigrationError
    where one fails there, or the files do not fit the history.
    """
    with db.connection_context(), Translation():
        router = SafeRouter(db, folder)
        pending = {file.name for file in router.pending()}
        files = router.files()
    return in_scratch(db, lambda connection: list(_planned(connection, files, pending)))


def _planned(
    connection: Scratch, files: list[MigrationFile], pending: set[str]
) -> Iterator[PlannedMigration]:
    for file in files:
        connection.apply(file)
        if file.name in pending:
            yield PlannedMigration(
                file.name,
                file.path,
                file.summary,
                file.is_transactional,
                list(connection.executed),
            )
