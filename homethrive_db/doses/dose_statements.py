"""The statements of ``DoseRepository``."""

from __future__ import annotations

from typing import Any

from peewee import SQL, fn

from homethrive_db import models
from homethrive_db.doses.agenda_rows import RECIPIENT_ZONE, SCHEDULE_COLUMNS, TOUCHES_DAYS
from homethrive_db.repositories.access import (
    medication_of,
    reached_schedule,
    reaches,
    recipient_of,
    with_reached_recipient,
)
from homethrive_db.repositories.dose_rows import ISOLATION, is_open
from homethrive_db.statements import Statement, param, statement

_SCHEDULE: Any = models.MedicationSchedule
_SKIP, _TAKEN = models.DoseSkip, models.DoseTaken

_REACHED = with_reached_recipient(
    _SCHEDULE.select(*SCHEDULE_COLUMNS, RECIPIENT_ZONE), param("user_id")
)
_IS_SCHEDULE = _SCHEDULE.id == param("schedule_id")

_OF_RECIPIENT = _REACHED.where(models.Medication.recipient == param("recipient_id"))
# All of them: one that has no dose in the window any more may have rows there.
HISTORY = statement(_OF_RECIPIENT)

_IN_WINDOW = _OF_RECIPIENT.where(TOUCHES_DAYS)
LIST_ALL = statement(_IN_WINDOW)

# One that becomes inactive later is still to be taken until then.
LIST = statement(
    _IN_WINDOW.where(
        models.Medication.is_active | (models.Medication.inactive_at > fn.statement_timestamp())
    )
)

_AS_IT_IS = fn.jsonb_build_array(
    _SCHEDULE.recurrence,
    _SCHEDULE.time_of_day,
    _SCHEDULE.days_of_week,
    _SCHEDULE.start_date,
    _SCHEDULE.end_date,
    _SCHEDULE.timezone,
    RECIPIENT_ZONE,
).cast("text")
"""All that says when a schedule is due."""

# With that as the last column, behind those of an agenda.
FIND = statement(_REACHED.select_extend(_AS_IT_IS).where(_IS_SCHEDULE))

# Not FOR UPDATE, which would hold up the Node service: its new doses refer to the schedule.
LOCK = statement(
    _SCHEDULE.select(ISOLATION)
    .where(reached_schedule(param("user_id"), param("schedule_id")))
    .for_update("FOR NO KEY UPDATE", of=_SCHEDULE)
)

_AT = param("scheduled_for", "timestamptz")


def _insertion(record: Any, values: dict[Any, Any], *conditions: Any) -> Statement:
    """Insert a record of a dose, unless there is one, or the schedule is no more as it was *seen*.

    The schedule is locked against changes until the record is committed: who changes it, or waits
    for a change to end, goes by what there is then. Else the date could have two doses.
    """
    source = (
        with_reached_recipient(_SCHEDULE.select(*values.values()), param("user_id"))
        .where(_IS_SCHEDULE, is_open(_AT), param("seen") == _AS_IT_IS, *conditions)
        .for_update("FOR SHARE", of=_SCHEDULE)
    )
    query = record.insert_from(source, list(values)).on_conflict_ignore().returning(record.id)
    return statement(query, is_idempotent=True)


INSERT_TAKEN = _insertion(
    _TAKEN,
    {
        _TAKEN.recipient: models.CareRecipient.id,
        _TAKEN.medication: models.Medication.id,
        _TAKEN.schedule: _SCHEDULE.id,
        _TAKEN.scheduled_for: _AT,
        _TAKEN.taken_at: param("taken_at", "timestamptz"),
        _TAKEN.taken_by_user: param("user_id"),
    },
)

INSERT_SKIP = _insertion(
    _SKIP,
    {
        _SKIP.schedule: _SCHEDULE.id,
        _SKIP.scheduled_for: _AT,
        _SKIP.reason: param("reason"),
        _SKIP.skipped_at: fn.statement_timestamp(),
        _SKIP.skipped_by_user: param("user_id"),
    },
    ~fn.EXISTS(
        _TAKEN.select(SQL("1")).where(
            _TAKEN.schedule == _SCHEDULE.id,
            _TAKEN.scheduled_for == fn.ANY(param("instants", "timestamptz[]")),
        )
    ),
)


def _delete() -> Any:
    """Delete the records of a schedule at some instants, of doses taken and skipped.

    Not idempotent: repeated, it could take back what another caregiver has recorded meanwhile.
    """
    of_schedule = param("schedule_id")
    is_reached = reaches(param("user_id"), recipient_of(medication_of(of_schedule)))

    def records(table: Any) -> Any:
        return (
            table.delete()
            .where(
                table.schedule == of_schedule,
                table.scheduled_for == fn.ANY(param("instants", "timestamptz[]")),
                is_reached,
            )
            .returning(table.id)
        )

    return statement(records(_TAKEN).with_cte(records(_SKIP).cte("skips")))


DELETE = _delete()
