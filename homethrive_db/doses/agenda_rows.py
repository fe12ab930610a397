"""The rows that an agenda is read from, and what a statement binds to select them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from peewee import fn

from homethrive_db import models
from homethrive_db.statements import param

RECORDS_AROUND = timedelta(hours=26)
"""How far from a dose a record of its local date, or of its New York instant, can be."""

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication


def schedule_columns(since: Any, until: Any) -> tuple[Any, ...]:
    """List what ``Agenda`` reads but the recipient's zone, of schedules and their medications.

    The recorded rows are those from *since* to before *until*, two expressions.
    """

    def records(model: type[models.BaseModel], *values: Any) -> Any:
        table: Any = model
        return table.select(fn.json_agg(fn.json_build_array(table.scheduled_for, *values))).where(
            table.schedule == _SCHEDULE.id,
            table.scheduled_for >= since,
            table.scheduled_for < until,
        )

    taken, skip = models.DoseTaken, models.DoseSkip
    return (
        _SCHEDULE.id,
        _MEDICATION.id,
        _MEDICATION.recipient,
        _MEDICATION.name,
        _MEDICATION.instructions,
        _SCHEDULE.dosage_notes,
        _SCHEDULE.recurrence,
        _SCHEDULE.time_of_day,
        _SCHEDULE.days_of_week,
        _SCHEDULE.timezone,
        # As text: of a mistyped year of five digits psycopg2 makes an error, for all the rows.
        _SCHEDULE.start_date.cast("text"),
        _SCHEDULE.end_date.cast("text"),
        _MEDICATION.is_active,
        _MEDICATION.inactive_at.cast("text"),
        records(taken, taken.taken_at, taken.taken_by_user).alias("taken"),
        records(skip, skip.reason).alias("skipped"),
    )


SCHEDULE_COLUMNS = schedule_columns(
    param("records_since", "timestamptz"), param("records_until", "timestamptz")
)
"""The columns of an agenda's row up to the last; its records are those that ``records_window``
binds."""

RECIPIENT_ZONE = models.CareRecipient.timezone
"""The last column of an agenda's row."""

ID_AT, RECIPIENT_ID_AT, TIME_OF_DAY_AT, ZONE_AT = (
    next(at for at, one in enumerate(SCHEDULE_COLUMNS) if one is column)  # == makes an expression
    for column in (_SCHEDULE.id, _MEDICATION.recipient, _SCHEDULE.time_of_day, _SCHEDULE.timezone)
)
"""Where a row has what the orders of feeds go by."""


def _touches_days() -> Any:
    within = (_SCHEDULE.start_date <= param("last_day", "date")) & (
        _SCHEDULE.end_date.is_null() | (_SCHEDULE.end_date >= param("first_day", "date"))
    )
    return within | (_SCHEDULE.end_date < _SCHEDULE.start_date)


TOUCHES_DAYS = _touches_days()
"""Holds for schedules whose dates touch those that ``days_around`` binds, and for those that cannot
be, to be reported."""


def records_window(
    since: datetime, until: datetime, *, beyond: timedelta = timedelta(0)
) -> dict[str, datetime]:
    """Bind the instants between which records may be of doses from *since* to *until*.

    Of doses due up to *beyond* before or after as well.
    """
    return {
        "records_since": shifted(since, -RECORDS_AROUND - beyond),
        "records_until": shifted(until, RECORDS_AROUND + beyond),
    }


def days_around(since: datetime, until: datetime) -> dict[str, date]:
    """Bind the local dates, of whatever zone, of doses due from *since* to *until*."""
    day = timedelta(days=1)
    return {
        "first_day": shifted(since, -day).date(),
        "last_day": shifted(until, day).date(),
    }


def shifted(instant: datetime, by: timedelta) -> datetime:
    """Shift an instant, as far as the calendar goes."""
    try:
        return instant + by
    except OverflowError:
        return instant
