"""What a database remembers of its migrations.

``migratehistory`` is peewee-migrate's and stays as it has it; ``migratechecksum``, beside it, keeps
what that has no column for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from peewee import JOIN, CharField, FloatField, Model, SchemaManager, TextField
from peewee_migrate.models import MIGRATE_TABLE, MigrateHistory

from homethrive_db.migrate.files import MigrationFile

CHECKSUM_TABLE = "migratechecksum"
TABLES = frozenset({MIGRATE_TABLE, CHECKSUM_TABLE})


class MigrateChecksum(Model):
    """The text that was applied, as its SHA-256, and how many seconds that took."""

    name = CharField(primary_key=True)
    checksum = TextField()
    seconds = FloatField(null=True)

    class Meta:
        table_name = CHECKSUM_TABLE


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """One row of the history; checksum and seconds are None where another tool wrote it."""

    name: str
    applied_at: datetime
    seconds: float | None = None
    checksum: str | None = None

    def was_edited(self, file: MigrationFile) -> bool:
        """Say whether *file* is no longer what was applied."""
        return self.checksum is not None and self.checksum != file.checksum


class History:
    """Reads and writes both tables; every call needs a connection and may share a transaction."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def exists(self) -> bool:
        """Say whether peewee-migrate's table is there."""
        return bool(self._db.table_exists(MIGRATE_TABLE))

    def create(self) -> None:
        """Create what is missing of the tables; only under the migrators' lock, for it races."""
        for model in (MigrateHistory, MigrateChecksum):
            if not self._db.table_exists(model._meta.table_name):
                SchemaManager(model, database=self._db).create_table(safe=False)

    def applied(self) -> list[AppliedMigration]:
        """List what is applied, in the order in which it was."""
        if not self.exists():
            return []
        columns = [MigrateHistory.name, MigrateHistory.migrated_at]
        rows = MigrateHistory.select(*columns).order_by(MigrateHistory.id)
        if self._db.table_exists(CHECKSUM_TABLE):
            same = MigrateChecksum.name == MigrateHistory.name
            rows = rows.select_extend(MigrateChecksum.seconds, MigrateChecksum.checksum)
            rows = rows.join(MigrateChecksum, JOIN.LEFT_OUTER, on=same)
        return [
            AppliedMigration(name, at.replace(tzinfo=UTC), *rest)
            for name, at, *rest in rows.tuples().execute(self._db)
        ]

    def add(self, file: MigrationFile, seconds: float | None = None) -> None:
        """Note that *file* is applied."""
        now = datetime.now(UTC).replace(tzinfo=None)  # the column has no zone
        MigrateHistory.insert(name=file.name, migrated_at=now).execute(self._db)
        self.note(file, seconds)

    def note(self, file: MigrationFile, seconds: float | None = None) -> None:
        """Keep the checksum of *file* as the one that counts."""
        MigrateChecksum.insert(name=file.name, checksum=file.checksum, seconds=seconds).on_conflict(
            conflict_target=[MigrateChecksum.name], preserve=[MigrateChecksum.checksum]
        ).execute(self._db)

    def remove(self, name: str) -> None:
        """Forget that it was applied."""
        for model in (MigrateHistory, MigrateChecksum):
            model.delete().where(model.name == name).execute(self._db)
