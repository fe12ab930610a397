"""New schedules as rows of a statement, for those that insert schedules.

Nothing is read back but when that was: all else is stored as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any
from uuid import UUID

from peewee import CTE, SQL, ColumnBase, Expression, Select, fn

from homethrive_db import models
from homethrive_db.entities import MedicationSchedule, NewSchedule
from homethrive_db.statements import json_bytes, json_rows, json_text, param

ROWS = json_rows(
    "schedules",
    id="uuid",
    medication_id="uuid",
    recurrence="recurrence_type_enum",
    time_of_day="text",
    timezone="text",
    days_of_week="smallint[]",
    start_date="date",
    end_date="date",
    dosage_notes="text",
)

AnySchedule = NewSchedule | MedicationSchedule
"""What is inserted: a new one, or one that a stored one has become."""

_TABLE = models.MedicationSchedule

_ANY_ID = UUID(int=0)


def insertion(medication_id: ColumnBase, *others: CTE, condition: Expression | None = None) -> Any:
    """Insert the rows under *medication_id*, of *others* maybe, where *condition* holds.

    Gives of each the medication and the statement's instant. ``created_at`` grows from there by a
    microsecond a row, so that lists keep the input's order.
    """
    now = fn.statement_timestamp() + ROWS.c.position * SQL("interval '1 microsecond'")
    values = {
        _TABLE.id: ROWS.c.id,
        _TABLE.medication: medication_id,
        _TABLE.recurrence: ROWS.c.recurrence,
        _TABLE.time_of_day: ROWS.c.time_of_day,
        _TABLE.timezone: ROWS.c.timezone,
        _TABLE.days_of_week: ROWS.c.days_of_week,
        _TABLE.start_date: ROWS.c.start_date,
        _TABLE.end_date: ROWS.c.end_date,
        _TABLE.dosage_notes: ROWS.c.dosage_notes,
        _TABLE.created_by_user: param("user_id"),
        _TABLE.created_at: now,
        _TABLE.updated_at: now,
    }
    source = Select((*others, ROWS), tuple(values.values()))
    if condition is not None:
        source = source.where(condition)
    inserted = _TABLE.insert_from(source, list(values))
    return inserted.returning(_TABLE.medication, fn.statement_timestamp())


def parameters(
    ids: Sequence[UUID],
    new: Sequence[AnySchedule],
    medication_ids: Iterable[UUID | None] = repeat(None),
) -> dict[str, str]:
    """Bind schedules as the input rows."""
    return {"schedules": json_text(map(_row, ids, medication_ids, new))}


def stored(
    ids: Sequence[UUID],
    new: Sequence[AnySchedule],
    medication_ids: Sequence[UUID],
    inserted_at: datetime,
) -> list[MedicationSchedule]:
    """Make what a statement of that instant has inserted."""
    rows = zip(ids, medication_ids, new, strict=True)
    return [
        MedicationSchedule(
            id=id,
            medication_id=medication_id,
            recurrence=one.recurrence,
            time_of_day=one.time_of_day,
            timezone=one.timezone,
            days_of_week=one.days_of_week,
            start_date=one.start_date,
            end_date=one.end_date,
            dosage_notes=one.dosage_notes,
            created_at=(at := inserted_at + timedelta(microseconds=position)),
            updated_at=at,
        )
        for position, (id, medication_id, one) in enumerate(rows, 1)
    ]


def weigh(new: AnySchedule) -> int:
    """Tell how many bytes of a statement a schedule takes."""
    return json_bytes(_row(_ANY_ID, _ANY_ID, new))


def _row(id: UUID, medication_id: UUID | None, new: AnySchedule) -> dict[str, object]:
    return {
        "id": str(id),
        "medication_id": medication_id and str(medication_id),
        "recurrence": new.recurrence,
        "time_of_day": new.time_of_day.isoformat("minutes"),
        "timezone": new.timezone,
        "days_of_week": new.days_of_week,
        "start_date": str(new.start_date),
        "end_date": new.end_date and str(new.end_date),
        "dosage_notes": new.dosage_notes,
    }
