"""For functions of AWS Lambda: a handler that migrates, and waits that end with the function."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, TypedDict

from homethrive_db.aws.credentials import create_db
from homethrive_db.database import Database
from homethrive_db.errors import HomethriveDbError

if TYPE_CHECKING:
    from homethrive_db.migrate.router import MigrationOptions

MARGIN_SECONDS = 5.0
"""How much of a function's time is left for the migrations when it waits for another migrator."""
_LAST_SECONDS = 0.5  # for the function to say what happened


class LambdaContext(Protocol):
    """What is needed of the context that AWS Lambda gives to a function."""

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until the function is ended."""


def lambda_deadline(db: Database, context: LambdaContext) -> AbstractContextManager[None]:
    """End all waits of the block for *db* half a second before the function is ended.

    As ``Database.deadline``, for AWS Lambda.
    """
    return db.deadline(max(0.0, _seconds_left(context) - _LAST_SECONDS))


class MigrationFailure(TypedDict):
    """One of our codes, or ``INTERNAL_ERROR`` with the name of an exception's class."""

    code: str
    message: str


class MigrationResult(TypedDict):
    """What became of a migration: ``applied`` names what was, also before a failure."""

    success: bool
    message: str
    applied: list[str]
    error: MigrationFailure | None


def migrate_handler(event: object, context: LambdaContext | None) -> MigrationResult:  # noqa: ARG001  # Lambda's signature
    """Apply the pending migrations to the database of ``connection_parameters``, for AWS Lambda.

    May be repeated, and run any number of times at once: each migration is applied by one of them,
    the others wait as long as their time allows. Raises nothing: a failure is a result. Its
    connection is closed whatever happens.
    """
    applied: list[str] = []
    try:
        _migrate(context, applied)
    except HomethriveDbError as error:
        return _failed(applied, error.code, error.message)
    except Exception as error:  # noqa: BLE001  # its text is a stranger's and may hold anything
        return _failed(applied, "INTERNAL_ERROR", type(error).__name__)
    message = f"applied {len(applied)}" if applied else "nothing to apply"
    return {"success": True, "message": message, "applied": applied, "error": None}


def _migrate(context: LambdaContext | None, applied: list[str]) -> None:
    from homethrive_db.migrate import migrate, status  # brings click: not for a worker's password

    db = create_db(max_connections=1)
    try:
        with lambda_deadline(db, context) if context is not None else nullcontext():
            names: list[str | None] = [*status(db).pending]
            # One by one: what is left of the time is asked for anew. Without any they are checked.
            for name in names or [None]:
                applied.extend(migrate(db, name, **_patience(context)))
    finally:
        db.close_all()


def _patience(context: LambdaContext | None) -> MigrationOptions:
    if context is None:  # called by hand
        return {}
    return {"wait": max(0.0, _seconds_left(context) - MARGIN_SECONDS)}


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000


def _failed(applied: list[str], code: str, message: str) -> MigrationResult:
    return {
        "success": False,
        "message": f"failed after {len(applied)} applied: {message}",
        "applied": applied,
        "error": {"code": code, "message": message},
    }
