"""Revisions of schedules: the old row ends, a new one goes on, and the past stays what it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from peewee import Expression, Select, fn

from homethrive_db import local_days, models, validation
from homethrive_db.database import Database
from homethrive_db.entities import MedicationSchedule
from homethrive_db.errors import ConflictError, ValidationError
from homethrive_db.repositories import schedule_input
from homethrive_db.repositories.dose_rows import ISOLATION, READ_COMMITTED, check_isolation
from homethrive_db.repositories.schedule_changes import family, has_ended, last_active, runs_out
from homethrive_db.statements import Statement, array, columns, param, statement
from homethrive_db.value_types import new_ids

_TABLE = models.MedicationSchedule


def _lock() -> Statement:
    """Lock the schedule and its siblings; gives it, and what its end depends on.

    FOR UPDATE, since that makes a dose wait which is marked meanwhile.
    """
    locked = family().for_update("FOR UPDATE", of=_TABLE).cte("locked", materialized=True)
    query = Select(
        (locked,),
        (
            ISOLATION,
            fn.statement_timestamp(),
            locked.c.recipient_timezone,
            runs_out(locked, param("end_date", "date")),
            *columns(locked, MedicationSchedule),
        ),
    )
    return statement(query.where(locked.c.id == param("schedule_id")).with_cte(locked))


def _revise() -> Statement:
    """End the schedule and insert its successor, unless a dose was taken or skipped since then."""

    def exists(record: Any, condition: Expression) -> Any:
        return fn.EXISTS(
            record.select(record.id).where(record.schedule == param("schedule_id"), condition)
        )

    def settled(record: Any) -> Any:
        at = record.scheduled_for
        is_of_then = (at >= param("begins", "timestamptz")) & ~_is_among(at, "earlier")
        # Two, so that each is looked up by index, whatever the values.
        return exists(record, is_of_then) | exists(record, _is_among(at, "later"))

    ended = (
        _TABLE.update(
            {
                _TABLE.end_date: param("last_day", "date"),
                _TABLE.updated_at: fn.statement_timestamp(),
            }
        )
        .where(
            _TABLE.id == param("schedule_id"),
            ~settled(models.DoseTaken),
            ~settled(models.DoseSkip),
        )
        .returning(_TABLE.medication)
        .cte("ended")
    )
    created = schedule_input.insertion(ended.c.medication_id, ended)
    return statement(created.with_cte(schedule_input.ROWS, ended))


def _is_among(at: Any, instants: str) -> Any:
    return at == fn.ANY(param(instants, "timestamptz[]"))


_LOCK = _lock()
_REVISE = _revise()


def revise(
    db: Database, key: Mapping[str, object], effective: date, changes: Mapping[str, Any]
) -> MedicationSchedule | None:
    """Revise a schedule; see ``ScheduleRepository.revise``. *changes* are checked.

    Two statements in a transaction, not one: the doses have to be looked at by a statement that
    begins when the lock is held. One that waits for its lock does not see what came meanwhile, and
    a dose that was marked then would be due again. And Python alone knows when a day begins.
    """
    with db.atomic(READ_COMMITTED):
        rows = db.rows(_LOCK, {**key, "end_date": changes.get("end_date")})
        if not rows:
            return None
        isolation, now, recipient_zone, does_run_out, *row = rows[0]
        check_isolation(isolation)
        old = MedicationSchedule.from_row(*row)
        zone = recipient_zone if old.timezone is None else old.timezone
        local_days.report_unknown(zone, old.id)
        _check(old, effective, local_days.today(zone, now))
        if does_run_out:
            raise last_active(key)
        ids, new = new_ids(1), [_successor(old, changes)]
        created = db.rows(
            _REVISE,
            {
                **schedule_input.parameters(ids, new),
                **key,
                "last_day": effective - timedelta(days=1),
                **_records_since(effective, old, zone),
            },
        )
        if not created:
            raise ConflictError(
                "a dose of that day, or of a later one, is taken or skipped already",
                "DOSES_RECORDED",
                {"schedule_id": old.id},
            )
        return schedule_input.stored(ids, new, [old.medication_id], created[0][1])[0]


def _check(old: MedicationSchedule, effective: date, today: date) -> None:
    if effective <= old.start_date:
        raise ValidationError.of("effective", "it must be after the schedule's start_date")
    if old.end_date is not None and old.end_date < max(effective, today):
        message = "the schedule has ended: revise the one that follows it"
        raise has_ended({"schedule_id": old.id}, message)


def _successor(old: MedicationSchedule, changes: Mapping[str, Any]) -> MedicationSchedule:
    """Give what goes on; of what is carried over, only what makes it impossible is refused."""
    new = replace(old, **changes)
    if new.timezone is not None:
        new = replace(new, timezone=validation.zone(new.timezone))
    validation.schedule_days(new.recurrence, new.days_of_week)
    validation.schedule_dates(new.start_date, new.end_date)
    return new


def _records_since(day: date, old: MedicationSchedule, zone: str) -> dict[str, object]:
    """Bind which records are of *day* or a later date."""
    from homethrive_db.doses.readings import records_since  # slow to import: it has zoneinfo

    begins, earlier, later = records_since(day, old, zone)
    return {"begins": begins, "earlier": array(earlier), "later": array(later)}
