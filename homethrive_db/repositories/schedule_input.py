"""New schedules as rows of a statement, for the two statements that insert schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any
from uuid import UUID, uuid4

from peewee import CTE, SQL, Cast, ColumnBase, Expression, Select, fn

from homethrive_db import models
from homethrive_db.entities import MedicationSchedule, NewSchedule
from homethrive_db.statements import array, array_bytes, columns, input_rows, param

# Days come as text, since unnest would flatten an array of arrays.
ROWS = input_rows(
    "input",
    id="uuid",
    medication_id="uuid",
    recurrence="recurrence_type_enum",
    time_of_day="text",
    timezone="text",
    days_of_week="text",
    start_date="date",
    end_date="date",
    dosage_notes="text",
)

_TABLE = models.MedicationSchedule

_ID_BYTES = array_bytes(UUID(int=0))


def insertion(
    sources: Sequence[CTE], medication_id: ColumnBase, condition: Expression | None = None
) -> CTE:
    """Insert the input rows that *sources* give, under *medication_id*, where *condition* holds.

    ``created_at`` grows by a microsecond a row, so that lists keep the input's order.
    """
    now = fn.statement_timestamp() + ROWS.c.position * SQL("interval '1 microsecond'")
    values = {
        _TABLE.id: ROWS.c.id,
        _TABLE.medication: medication_id,
        _TABLE.recurrence: ROWS.c.recurrence,
        _TABLE.time_of_day: ROWS.c.time_of_day,
        _TABLE.timezone: ROWS.c.timezone,
        _TABLE.days_of_week: Cast(ROWS.c.days_of_week, "smallint[]"),
        _TABLE.start_date: ROWS.c.start_date,
        _TABLE.end_date: ROWS.c.end_date,
        _TABLE.dosage_notes: ROWS.c.dosage_notes,
        _TABLE.created_by_user: param("user_id"),
        _TABLE.created_at: now,
        _TABLE.updated_at: now,
    }
    source = Select(tuple(sources), tuple(values.values()))
    if condition is not None:
        source = source.where(condition)
    return (
        _TABLE.insert_from(source, list(values))
        .returning(*columns(_TABLE, MedicationSchedule))
        .cte("created")
    )


def parameters(schedules: Sequence[tuple[UUID | None, NewSchedule]]) -> dict[str, Any]:
    """Bind schedules, each with its medication's id, as the input rows."""
    new = [schedule for _, schedule in schedules]
    return {
        "id": array(uuid4() for _ in new),
        "medication_id": array(medication_id for medication_id, _ in schedules),
        "recurrence": array(one.recurrence for one in new),
        "time_of_day": array(f"{one.time_of_day:%H:%M}" for one in new),
        "timezone": array(one.timezone for one in new),
        "days_of_week": array(days_literal(one.days_of_week) for one in new),
        "start_date": array(one.start_date for one in new),
        "end_date": array(one.end_date for one in new),
        "dosage_notes": array(one.dosage_notes for one in new),
    }


def weigh(schedule: tuple[UUID | None, NewSchedule]) -> int:
    """Tell how many bytes of a statement a schedule takes."""
    medication_id, new = schedule
    days = days_literal(new.days_of_week)
    return _ID_BYTES + array_bytes(medication_id, days, *astuple(replace(new, days_of_week=None)))


def days_literal(days: tuple[int, ...] | None) -> str | None:
    """Write days as PostgreSQL reads a smallint array."""
    return None if days is None else array(days)
