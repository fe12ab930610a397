"""New schedules as rows of a statement, for the two statements that insert schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from peewee import CTE, SQL, Cast, ColumnBase, Expression, Select, fn

from homethrive_db import models
from homethrive_db.entities import Medication, MedicationSchedule, NewSchedule
from homethrive_db.statements import array, array_bytes, input_rows, param, uncounted_rows

# Days come as text, since unnest would flatten an array of arrays.
_COLUMNS = {
    "id": "uuid",
    "recurrence": "recurrence_type_enum",
    "time_of_day": "text",
    "timezone": "text",
    "days_of_week": "text",
    "start_date": "date",
    "end_date": "date",
    "dosage_notes": "text",
}

ROWS = input_rows("input", **_COLUMNS)
ROWS_OF_MANY = uncounted_rows("input", medication_id="uuid", **_COLUMNS)
"""With the medication of each."""

_TABLE = models.MedicationSchedule

_ID_BYTES = array_bytes(UUID(int=0))


def insertion(
    rows: CTE, medication_id: ColumnBase, *others: CTE, condition: Expression | None = None
) -> Any:
    """Insert the input *rows* under *medication_id*, of *others* maybe, where *condition* holds.

    ``created_at`` grows by a microsecond a row, so that lists keep the input's order.
    """
    now = fn.statement_timestamp() + rows.c.position * SQL("interval '1 microsecond'")
    values = {
        _TABLE.id: rows.c.id,
        _TABLE.medication: medication_id,
        _TABLE.recurrence: rows.c.recurrence,
        _TABLE.time_of_day: rows.c.time_of_day,
        _TABLE.timezone: rows.c.timezone,
        _TABLE.days_of_week: Cast(rows.c.days_of_week, "smallint[]"),
        _TABLE.start_date: rows.c.start_date,
        _TABLE.end_date: rows.c.end_date,
        _TABLE.dosage_notes: rows.c.dosage_notes,
        _TABLE.created_by_user: param("user_id"),
        _TABLE.created_at: now,
        _TABLE.updated_at: now,
    }
    source = Select((*others, rows), tuple(values.values()))
    if condition is not None:
        source = source.where(condition)
    return _TABLE.insert_from(source, list(values))


def parameters(ids: Sequence[UUID], new: Sequence[NewSchedule]) -> dict[str, Any]:
    """Bind schedules as the input rows."""
    return {
        "id": array(ids),
        "recurrence": array([one.recurrence for one in new]),
        "time_of_day": array([one.time_of_day.isoformat("minutes") for one in new]),
        "timezone": array([one.timezone for one in new]),
        "days_of_week": array([days_literal(one.days_of_week) for one in new]),
        "start_date": array([one.start_date for one in new]),
        "end_date": array([one.end_date for one in new]),
        "dosage_notes": array([one.dosage_notes for one in new]),
    }


def stored(
    ids: Sequence[UUID], new: Sequence[NewSchedule], medication: Medication
) -> list[MedicationSchedule]:
    """Make what was inserted in one statement with its medication: nothing of it is read back."""
    return [
        MedicationSchedule(
            id=id,
            medication_id=medication.id,
            recurrence=one.recurrence,
            time_of_day=one.time_of_day,
            timezone=one.timezone,
            days_of_week=one.days_of_week,
            start_date=one.start_date,
            end_date=one.end_date,
            dosage_notes=one.dosage_notes,
            created_at=(at := medication.created_at + timedelta(microseconds=position)),
            updated_at=at,
        )
        for position, (id, one) in enumerate(zip(ids, new, strict=True), 1)
    ]


def weigh(schedule: tuple[UUID | None, NewSchedule]) -> int:
    """Tell how many bytes of a statement a schedule takes."""
    medication_id, new = schedule
    days = days_literal(new.days_of_week)
    return _ID_BYTES + array_bytes(medication_id, days, *astuple(replace(new, days_of_week=None)))


def days_literal(days: tuple[int, ...] | None) -> str | None:
    """Write days as PostgreSQL reads a smallint array."""
    return None if days is None else array(days)
