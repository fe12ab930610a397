"""Doses marked in batches: one statement for the reports of many users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import islice
from typing import Any
from uuid import UUID

from peewee import CTE, SQL, Expression, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database, Row
from homethrive_db.entities import DoseOutcome, DoseReport, DoseTaken
from homethrive_db.enums import OutcomeStatus
from homethrive_db.repositories.access import reached_schedules
from homethrive_db.repositories.dose_rows import ATTEMPTS, NEW, is_open, lost_race
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    input_rows,
    portions,
    statement,
)

BATCH_SIZE = 5_000
"""How many reports go into one statement."""

_FEW = 200
"""Up to so many reports are looked up by index, whatever PostgreSQL makes of their number."""

_TABLE = models.DoseTaken
_KEY = (_TABLE.schedule, _TABLE.scheduled_for)

_STORED = (
    _TABLE.id,
    _TABLE.recipient,
    _TABLE.medication,
    _TABLE.taken_at,
    _TABLE.taken_by_user,
)


def _reached(rows: CTE) -> Any:
    """Keep the reports whose users may reach their schedules, with what follows from those."""
    report = (rows.c.user_id, rows.c.schedule_id, rows.c.scheduled_for, rows.c.taken_at)
    return reached_schedules(
        Select(
            (rows,),
            (
                rows.c.position,
                *report,
                models.Medication.id.alias("medication_id"),
                models.CareRecipient.id.alias("recipient_id"),
                is_open(rows.c.scheduled_for).alias("is_open"),
            ),
        ).join(models.MedicationSchedule, on=models.MedicationSchedule.id == rows.c.schedule_id),
        rows.c.user_id,
    ).cte("reached", materialized=True)


def _locked(reached: CTE) -> CTE:
    """Lock the schedules of the doses that are let in, as the foreign keys would.

    All before a dose goes in: a revision that has locked one of them already may be waiting for
    somebody who waits for one of the doses.
    """
    schedule: Any = models.MedicationSchedule
    open_ones = Select((reached,), (reached.c.schedule_id,)).where(reached.c.is_open).distinct()
    locked: CTE = (
        schedule.select(schedule.id)
        .where(schedule.id == fn.ANY(fn.ARRAY(open_ones)))
        .order_by(schedule.id)
        .for_update("FOR KEY SHARE")
        .cte("locked", materialized=True)
    )
    return locked


def _made(reached: CTE, locked: CTE) -> CTE:
    """Insert the doses that are let in, the first report of each.

    They go in by key order, so that two batches cannot deadlock.
    """
    key = (reached.c.schedule_id, reached.c.scheduled_for)
    values = (
        reached.c.recipient_id,
        reached.c.medication_id,
        *key,
        reached.c.taken_at,
        reached.c.user_id,
    )
    firsts = (
        Select((reached,), values)
        .where(reached.c.is_open, reached.c.schedule_id.in_(Select((locked,), (locked.c.id,))))
        .distinct(*key)
        .order_by(*key, reached.c.position)
    )
    # The key is named, so that PostgreSQL asks no other unique index.
    return (
        _TABLE.insert_from(firsts, NEW)
        .on_conflict("IGNORE", conflict_target=_KEY)
        .returning(_TABLE.id, *_KEY)
        .cte("made")
    )


def _rest(reached: CTE, made: CTE) -> CTE:
    """Keep the reached reports of which nothing is inserted.

    Materialized, so that PostgreSQL looks up those alone in the table.
    """
    key = (reached.c.schedule_id, reached.c.scheduled_for)
    is_made = Select((made,), (SQL("1"),)).where(_is_dose(made.c, reached.c))
    return (
        Select((reached,), (reached.c.position, reached.c.is_open, *key))
        .where(~fn.EXISTS(is_made))
        .cte("rest", materialized=True)
    )


def _is_dose(dose: Any, report: Any) -> Expression:
    is_dose: Expression = (dose.schedule_id == report.schedule_id) & (
        dose.scheduled_for == report.scheduled_for
    )
    return is_dose


def _mark_all(*, are_few: bool) -> Statement:
    """Insert what may be inserted of a batch, and tell of each reached report what became of it.

    A row is (position, is it let in, is it new, what of the dose does not follow from the report);
    a report that is not reached has none.
    """
    rows = input_rows(
        "input",
        are_few,
        user_id="text",
        schedule_id="uuid",
        scheduled_for="timestamptz",
        taken_at="timestamptz",
    )
    reached = _reached(rows)
    locked = _locked(reached)
    made = _made(reached, locked)
    rest = _rest(reached, made)
    new = Select(
        (reached,),
        (
            reached.c.position,
            reached.c.is_open,
            SQL("true"),
            made.c.id,
            reached.c.recipient_id,
            reached.c.medication_id,
            *[SQL("NULL")] * 2,
        ),
    ).join(made, on=_is_dose(made.c, reached.c))
    # A CTE's new rows are invisible to their table: what is there was there before.
    stored = Select((rest,), (rest.c.position, rest.c.is_open, SQL("false"), *_STORED))
    query = new.union_all(stored.left_outer_join(_TABLE, on=_is_dose(_TABLE, rest.c)))
    return statement(query.with_cte(rows, reached, locked, made, rest), is_idempotent=True)


_MARK_FEW = _mark_all(are_few=True)
_MARK_MANY = _mark_all(are_few=False)


def mark_many(db: Database, reports: Iterable[DoseReport]) -> Iterator[DoseOutcome]:
    """Mark the doses of any number of reports, by batches; gives the outcomes in order."""
    remaining = validation.all_made(reports, DoseReport, "reports")
    while batch := list(islice(remaining, BATCH_SIZE)):
        for portion in portions(db, _MARK_FEW, batch, _weigh):  # the longer one of the two
            yield from mark_batch(db, portion)


def _weigh(report: DoseReport) -> int:
    return array_bytes(*astuple(report))


def mark_batch(db: Database, batch: Sequence[DoseReport]) -> list[DoseOutcome]:
    """Mark the doses of one batch; gives the outcomes in its order.

    Raises UnavailableError (``LOST_RACE``) where others mark and unmark one of them all the while.
    """
    outcomes = _mark(db, batch)
    for _ in range(1, ATTEMPTS):
        lost = [place for place, one in enumerate(outcomes) if one is None]
        if not lost:
            break
        again = _mark(db, [batch[place] for place in lost])
        for place, outcome in zip(lost, again, strict=True):
            outcomes[place] = outcome
    settled = [one for one in outcomes if one is not None]
    if len(settled) < len(batch):
        raise lost_race()
    return settled


def _mark(db: Database, reports: Sequence[DoseReport]) -> list[DoseOutcome | None]:
    """Run the statement; None for a report that has lost a race."""
    rows = db.rows(
        _MARK_FEW if len(reports) <= _FEW else _MARK_MANY,
        {
            "user_id": array(one.user_id for one in reports),
            "schedule_id": array(one.schedule_id.hex for one in reports),
            "scheduled_for": array(one.scheduled_for for one in reports),
            "taken_at": array(one.taken_at for one in reports),
        },
    )
    answers = {row[0]: row for row in rows}
    recorded: dict[UUID, DoseTaken] = {}
    return [
        _outcome(report, answers.get(number), recorded) for number, report in enumerate(reports, 1)
    ]


def _outcome(
    report: DoseReport, answer: Row | None, recorded: dict[UUID, DoseTaken]
) -> DoseOutcome | None:
    """Tell what became of a report; *recorded* has the new doses of those before it."""
    if answer is None:
        return DoseOutcome(report, OutcomeStatus.NOT_FOUND, None)
    _, is_open, is_new, id, recipient_id, medication_id, *taken = answer
    if id is None:
        return None if is_open else DoseOutcome(report, OutcomeStatus.MEDICATION_INACTIVE, None)
    if id in recorded:
        return DoseOutcome(report, OutcomeStatus.ALREADY_RECORDED, recorded[id])
    if is_new:
        taken = [report.taken_at, report.user_id]
    dose = DoseTaken(
        id, recipient_id, medication_id, report.schedule_id, report.scheduled_for, *taken
    )
    if not is_new:
        return DoseOutcome(report, OutcomeStatus.ALREADY_RECORDED, dose)
    recorded[id] = dose
    return DoseOutcome(report, OutcomeStatus.RECORDED, dose)
