"""The errors of migrations, which name the migration and never quote a row."""

from __future__ import annotations

import re
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import psycopg2

from homethrive_db.errors import HomethriveDbError, MigrationError, ValidationError, translate

# An f-string may have put a value of a row into a text; a name in quotes may hold one.
_NOT_TOLD = re.compile(
    r"(?P<name>\"[^\"]*\")|--[^\n]*|/\*.*?\*/"
    r"|(?P<text>(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|(?P<quote>\$\w*\$).*?(?P=quote))",
    re.DOTALL,
)
_LONGEST_BEGIN = 80

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
        reason = _refused(error)
    reason = "; ".join([reason, *getattr(error, "__notes__", [])])
    details = {"migration": migration, **(ours.details if ours else {})}
    return MigrationError(f"{migration} {outcome}: {reason}", details=details)


def _refused(error: Exception) -> str:
    """Tell of a refused value by all names that there are."""
    driver_error: Any = getattr(error, "orig", None) or error
    diagnostics = driver_error.diag
    names = {
        "constraint": diagnostics.constraint_name,
        "column": diagnostics.column_name,
        "table": diagnostics.table_name,
    }
    named = [f"{kind} {name}" for kind, name in names.items() if name]
    known = ", ".join([driver_error.pgcode, type(driver_error).__name__, *named])
    return f"the database refuses the value ({known})"


def begin_of(sql: str) -> str:
    """Give the beginning of a migration's SQL, without what stands between its quotes."""
    told = _NOT_TOLD.sub(lambda match: match["name"] or ("'…'" if match["text"] else " "), sql)
    return textwrap.shorten(told, _LONGEST_BEGIN, placeholder=" …")


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
