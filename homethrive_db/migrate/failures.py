"""The errors of migrations, which name the migration and never quote a row."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
import psycopg2

from homethrive_db.errors import HomethriveDbError, MigrationError, ValidationError, translate

# Their text has names of the code, never a value of a row.
_OF_CODE = (SyntaxError, ImportError, NameError, AttributeError)


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have what the code of the file at *path* raises name the file and the line.

    An error of ours passes, and what the database says. The text of any other may have a value of a
    row, so the line of the code stands in its place; the error itself is the cause. Raises
    MigrationError.
    """
    try:
        yield
    except (HomethriveDbError, peewee.PeeweeException, psycopg2.Error):
        raise
    except Exception as error:
        raise wrong(path.stem, _told(error, path)) from error


def _told(error: Exception, path: Path) -> str:
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"line {error.lineno}: {kind}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((one for one in reversed(frames) if one.filename == str(path)), None)
    where = f"line {frame.lineno}: " if frame else ""
    if isinstance(error, _OF_CODE):
        return f"{where}{kind}: {error}"
    return f"{where}{kind} in {frame.line}" if frame else kind
