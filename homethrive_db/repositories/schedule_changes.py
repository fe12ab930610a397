"""Changes of a stored schedule, and what the merged row and its siblings have to keep to.

The rows are locked before they are looked at, in the order of their ids: two changes cannot keep
a rule each and break it together, and do not wait for each other.

The lock is a statement of its own, in the same message: the one after it begins when the lock is
held, and sees the rows as they are then. One that locked and updated a row would come back to the
version of the row that it first saw, which somebody who waits for it may hold: a deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from peewee import CTE, SQL, Case, Cast, ColumnBase, Expression, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import MedicationSchedule
from homethrive_db.errors import ConflictError
from homethrive_db.repositories.access import reached_schedule, with_reached_recipient
from homethrive_db.statements import Statement, array, columns, param, statement

_TABLE = models.MedicationSchedule
_SCHEDULE = columns(_TABLE, MedicationSchedule)

_IS_REACHED = reached_schedule(param("user_id"), param("schedule_id"))

_RULED = {"recurrence", "days_of_week", "start_date", "end_date"}
_DAYS, _DATES, _ENDED, _LAST = "days_of_week", "end_date", "ended", "last"

_TYPES = {
    "recurrence": "recurrence_type_enum",
    "days_of_week": "smallint[]",
    "start_date": "date",
    "end_date": "date",
}


def _today(farthest: str) -> Cast:
    """Give the date of the zone that is *farthest* from UTC."""
    utc = fn.timezone(SQL("'UTC'"), fn.statement_timestamp())
    return Cast(utc + SQL(f"interval '{farthest}'"), "date")


def family() -> Any:
    """Select the schedules of a medication, of which one is asked for, where the user reaches it.

    In the order in which they are to be locked.
    """
    one = _TABLE.alias("asked_for")
    medication = one.select(one.medication).where(one.id == param("schedule_id"))
    return (
        with_reached_recipient(
            _TABLE.select(
                *_SCHEDULE,
                models.CareRecipient.timezone.alias("recipient_timezone"),
                models.Medication.is_active,
            ),
            param("user_id"),
        )
        .where(_TABLE.medication == medication)
        .order_by(_TABLE.id)
    )


def runs_out(schedules: CTE, end: ColumnBase) -> Expression:
    """Hold where an active medication would run out, were the schedule asked for to end at *end*.

    So it is where the end comes earlier than it was to, and no other schedule goes on: without an
    end, or with one that is later and not before today. SQL does not know what today is in a zone,
    so it takes the latest date on earth here, and below, for what has ended already, the earliest:
    in doubt the medication runs out.
    """
    one = schedules.c
    goes_on = one.end_date.is_null() | ((one.end_date > end) & (one.end_date >= _today("14 hours")))
    others = Select((schedules,), (one.id,)).where(one.id != param("schedule_id"), goes_on)
    is_earlier = one.end_date.is_null() | (
        (end < one.end_date) & (one.end_date >= _today("-12 hours"))
    )
    holds: Expression = one.is_active & end.is_null(False) & is_earlier & ~fn.EXISTS(others)
    return holds


def change(
    db: Database, key: Mapping[str, object], checked: Mapping[str, Any], *, is_end: bool = False
) -> MedicationSchedule | None:
    """Change fields that are checked, one at least.

    *is_end* is for ``ScheduleRepository.end``: the date is called ``on``, and moves no end later.
    One message. None where the schedule is absent or not theirs. Raises ValidationError, and
    ConflictError (``SCHEDULE_ENDED``, ``LAST_ACTIVE_SCHEDULE``).
    """
    values = {**key, **checked}
    if "time_of_day" in checked:
        values["time_of_day"] = f"{checked['time_of_day']:%H:%M}"
    if "days_of_week" in checked:
        days = checked["days_of_week"]
        values["days_of_week"] = None if days is None else array(days)
    does_end = checked.get("end_date") is not None
    rows = db.rows(_update(frozenset(checked), does_end, is_end), values)
    if not rows:
        return None
    refusal, *schedule = rows[0]
    if refusal == _DAYS:
        raise validation.wrong_days()
    if refusal == _DATES:
        raise validation.wrong_dates("on" if is_end else "end_date")
    if refusal == _ENDED:
        raise has_ended(key, "the schedule ends before that day; only an update moves an end later")
    if refusal == _LAST:
        raise last_active(key)
    return MedicationSchedule.from_row(*schedule)


def has_ended(key: Mapping[str, object], message: str) -> ConflictError:
    """Make the error for a schedule that ends too early for what is asked of it."""
    return ConflictError(message, "SCHEDULE_ENDED", {"schedule_id": key["schedule_id"]})


def last_active(key: Mapping[str, object]) -> ConflictError:
    """Make the error for an end after which an active medication has no schedule that goes on."""
    return ConflictError(
        "no other schedule of the active medication goes on after that day: deactivate it instead",
        "LAST_ACTIVE_SCHEDULE",
        {"schedule_id": key["schedule_id"]},
    )


@cache
def _update(fields: frozenset[str], does_end: bool, is_end: bool) -> Statement:
    """Update *fields*; the first column is NULL, or names the rule that would break."""
    if fields & _RULED:
        return _update_by_rules(fields, does_end, is_end)
    return statement(
        _TABLE.update(_values(fields)).where(_IS_REACHED).returning(SQL("NULL"), *_SCHEDULE)
    )


def _update_by_rules(fields: frozenset[str], does_end: bool, is_end: bool) -> Statement:
    """Update *fields*, unless the merged row or, where it *does_end*, its siblings forbid it."""
    looked_at: Any = family() if does_end else _TABLE.select(*_SCHEDULE).where(_IS_REACHED)
    schedules = looked_at.cte("schedules")
    refusal = _refusal(schedules, fields, does_end, is_end)
    target = (
        Select((schedules,), (schedules.c.id, refusal.alias("refusal")))
        .where(schedules.c.id == param("schedule_id"))
        .cte("target", materialized=True)
    )
    changed = (
        _TABLE.update(_values(fields))
        .from_(target)
        .where(_TABLE.id == target.c.id, target.c.refusal.is_null())
        .returning(*_SCHEDULE)
        .cte("changed")
    )
    query = Select((target,), (target.c.refusal, *columns(changed, MedicationSchedule)))
    return statement(
        query.left_outer_join(changed, on=changed.c.id == target.c.id).with_cte(
            schedules, target, changed
        ),
        name="update",
        # A dose can be marked meanwhile, which only FOR UPDATE would make wait.
        after=looked_at.select(_TABLE.id).for_update("FOR NO KEY UPDATE", of=_TABLE),
    )


def _refusal(schedules: CTE, fields: frozenset[str], does_end: bool, is_end: bool) -> Case:
    merged = {
        field: _cast(field) if field in fields else getattr(schedules.c, field) for field in _RULED
    }
    rules = []
    if fields & {"recurrence", "days_of_week"}:
        is_weekly = merged["recurrence"] == Cast(SQL("'weekly'"), "recurrence_type_enum")
        rules.append((is_weekly == merged["days_of_week"].is_null(), SQL(f"'{_DAYS}'")))
    if fields & {"start_date", "end_date"}:
        rules.append((merged["end_date"] < merged["start_date"], SQL(f"'{_DATES}'")))
    if is_end:
        rules.append((schedules.c.end_date < merged["end_date"], SQL(f"'{_ENDED}'")))
    if does_end:
        rules.append((runs_out(schedules, _cast("end_date")), SQL(f"'{_LAST}'")))
    return Case(None, rules)


def _values(fields: frozenset[str]) -> dict[Any, Any]:
    values = {getattr(_TABLE, field): _cast(field) for field in fields}
    return {**values, _TABLE.updated_at: fn.statement_timestamp()}


def _cast(field: str) -> ColumnBase:
    return param(field, _TYPES.get(field, "text"))
