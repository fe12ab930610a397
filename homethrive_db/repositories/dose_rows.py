"""What a row of a dose is made of, for the statements that insert one."""

from __future__ import annotations

from uuid import UUID

from peewee import ColumnBase, Expression, fn

from homethrive_db import models
from homethrive_db.entities import DoseReport, DoseTaken, NewDoseTaken
from homethrive_db.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from homethrive_db.statements import columns

DOSE = columns(models.DoseTaken, DoseTaken)

NEW = (
    models.DoseTaken.recipient,
    models.DoseTaken.medication,
    models.DoseTaken.schedule,
    models.DoseTaken.scheduled_for,
    models.DoseTaken.taken_at,
    models.DoseTaken.taken_by_user,
)

# A lost race repeats the statement; the row is there the second time, unless it was unmarked again.
ATTEMPTS = 5


def is_open(scheduled_for: ColumnBase) -> Expression:
    """Hold where the medication takes a new dose: active, or not yet inactive when it was due."""
    return models.Medication.is_active | (scheduled_for <= models.Medication.inactive_at)


def stored_as_sent(
    ids: tuple[UUID, UUID, UUID], dose: NewDoseTaken | DoseReport, user_id: str
) -> DoseTaken:
    """Make the row of a new dose: its id came back, the recipient's and the medication's."""
    id, recipient_id, medication_id = ids
    return DoseTaken(
        id,
        recipient_id,
        medication_id,
        dose.schedule_id,
        dose.scheduled_for,
        dose.taken_at,
        user_id,
    )


READ_COMMITTED = "READ COMMITTED"
"""Of a transaction that is not inside another, whatever the default is."""

ISOLATION = fn.current_setting("transaction_isolation")
"""Selected by a statement that locks, for ``check_isolation``."""


def check_isolation(isolation: str) -> None:
    """Raise ConfigurationError where what came while a lock was waited for is not to be seen."""
    if isolation in {"repeatable read", "serializable"}:
        raise ConfigurationError(
            f"the transaction is {isolation}: what is recorded while it waits for the schedule's "
            "lock would not be seen; this call needs READ COMMITTED"
        )


def no_schedule(schedule_id: UUID) -> NotFoundError:
    """Make the error for a schedule that is absent or not theirs."""
    return NotFoundError("no such schedule", "SCHEDULE_NOT_FOUND", {"schedule_id": schedule_id})


def inactive(schedule_id: UUID) -> ConflictError:
    """Make the error for a new dose that was due after the medication's ``inactive_at``."""
    return ConflictError(
        "the medication was inactive when this dose was due",
        "MEDICATION_INACTIVE",
        {"schedule_id": schedule_id},
    )


def lost_race() -> UnavailableError:
    """Make the error for a race that was lost at every attempt."""
    return UnavailableError(
        "the dose was marked and unmarked by others again and again; try again",
        "LOST_RACE",
        retryable=True,
    )
