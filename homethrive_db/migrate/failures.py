"""The errors of migrations, which name the migration and never quote a row."""

from __future__ import annotations

from homethrive_db.errors import MigrationError, ValidationError, translate


def wrong(migration: str, what: str, code: str | None = None) -> MigrationError:
    """Say what is wrong with a migration, and what to do."""
    return MigrationError(f"{migration}: {what}", code, {"migration": migration})


def failed(migration: str, outcome: str, error: Exception) -> MigrationError:
    """Say that PostgreSQL or the driver refused a migration, what came of it, and why."""
    ours = translate(error)
    reason = str(error).strip().partition("\n")[0]
    if isinstance(ours, ValidationError):  # the one kind whose first line may quote a value
        reason = str(ours)
    details = {"migration": migration, **(ours.details if ours else {})}
    return MigrationError(f"{migration} {outcome}: {reason}", details=details)
