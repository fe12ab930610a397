"""Doses marked in batches: one statement for the reports of many users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from peewee import CTE, JOIN, OP, SQL, Expression, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database, Row
from homethrive_db.entities import DoseKey, DoseOutcome, DoseReport, DoseTaken
from homethrive_db.enums import OutcomeStatus
from homethrive_db.repositories.access import medication_of, reaches
from homethrive_db.repositories.dose_rows import (
    ATTEMPTS,
    DOSE,
    NEW,
    is_open,
    lost_race,
    stored_as_sent,
)
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    portions,
    statement,
    uncounted_rows,
)
from homethrive_db.value_types import new_ids

BATCH_SIZE = 5_000
"""How many reports go into one statement."""

_ANY_ID = UUID(int=0)

_TABLE = models.DoseTaken


def _reached(rows: CTE) -> Any:
    """Keep the reports whose users may reach their schedules, with what follows from those."""
    medication = _looked_up(
        models.Medication.select(
            models.Medication.id,
            models.Medication.recipient,
            is_open(rows.c.scheduled_for).alias("is_open"),
        ).where(
            models.Medication.id == medication_of(rows.c.schedule_id),
            reaches(rows.c.user_id, models.Medication.recipient),
        )
    )
    report = (rows.c.id, rows.c.user_id, rows.c.schedule_id, rows.c.scheduled_for, rows.c.taken_at)
    return (
        Select(
            (rows,),
            (
                rows.c.position,
                *report,
                medication.c.recipient_id,
                medication.c.id.alias("medication_id"),
                medication.c.is_open,
            ),
        )
        .join(medication, JOIN.LATERAL, on=SQL("true"))
        .cte("reached", materialized=True)
    )


def _looked_up(query: Any) -> Any:
    """Have a query looked up by index for each row that it is joined to.

    PostgreSQL would rather read a table of some thousand rows as a whole than look up a hundred of
    them. It keeps OFFSET apart from what is around it.
    """
    return query.offset(0)


def _is_among(column: Any, found: CTE) -> Expression:
    """Hold where *found* has it as an id, by a hash of those; a join might be by nested loops."""
    return Expression(column.in_(Select((found,), (found.c.id,))), OP.IS, SQL("TRUE"))


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
        reached.c.id,
        reached.c.recipient_id,
        reached.c.medication_id,
        *key,
        reached.c.taken_at,
        reached.c.user_id,
    )
    firsts = (
        Select((reached,), values)
        .where(reached.c.is_open, _is_among(reached.c.schedule_id, locked))
        .distinct(*key)
        .order_by(*key, reached.c.position)
    )
    # Of any conflict, the ids among them: repeated for a lost answer, it may meet itself under way.
    return (
        _TABLE.insert_from(firsts, (_TABLE.id, *NEW))
        .on_conflict_ignore()
        .returning(_TABLE.id)
        .cte("made")
    )


def _settled(reached: CTE, made: CTE) -> CTE:
    """Tell which of the reached reports are new."""
    return Select(
        (reached,),
        (
            reached.c.position,
            reached.c.is_open,
            _is_among(reached.c.id, made).alias("is_new"),
            reached.c.schedule_id,
            reached.c.scheduled_for,
            reached.c.recipient_id,
            reached.c.medication_id,
        ),
    ).cte("settled", materialized=True)


def _told(settled: CTE) -> Any:
    """Tell of each report what became of it, with the dose where that was there before.

    A CTE's new rows are invisible to their table.
    """
    stored = _looked_up(
        _TABLE.select(*DOSE).where(
            ~settled.c.is_new,
            _TABLE.schedule == settled.c.schedule_id,
            _TABLE.scheduled_for == settled.c.scheduled_for,
        )
    )
    told = Select(
        (settled,),
        (
            settled.c.position,
            settled.c.is_open,
            settled.c.is_new,
            fn.COALESCE(stored.c.recipient_id, settled.c.recipient_id),
            fn.COALESCE(stored.c.medication_id, settled.c.medication_id),
            stored.c.id,
            stored.c.taken_at,
            stored.c.taken_by_user_id,
        ),
    )
    return told.join(stored, JOIN.LEFT_LATERAL, on=SQL("true"))


def _mark() -> Statement:
    """Insert what may be inserted of a batch, and tell of each reached report what became of it.

    A row is (position, is it let in, is it new, recipient, medication, what else is stored of the
    dose); a report that is not reached has none.
    """
    rows = uncounted_rows(
        "input",
        id="uuid",
        user_id="text",
        schedule_id="uuid",
        scheduled_for="timestamptz",
        taken_at="timestamptz",
    )
    reached = _reached(rows)
    locked = _locked(reached)
    made = _made(reached, locked)
    settled = _settled(reached, made)
    query = _told(settled).with_cte(rows, reached, locked, made, settled)
    return statement(query, is_idempotent=True)


_MARK = _mark()


def mark_many(db: Database, reports: Iterable[DoseReport]) -> Iterator[DoseOutcome]:
    """Mark the doses of any number of reports, by batches; gives the outcomes in order."""
    remaining = validation.all_made(reports, DoseReport, "reports")
    while batch := list(islice(remaining, BATCH_SIZE)):
        for portion in portions(db, _MARK, batch, _weigh):
            yield from mark_batch(db, portion)


def _weigh(report: DoseReport) -> int:
    return array_bytes(_ANY_ID, *astuple(report))


def mark_batch(db: Database, batch: Sequence[DoseReport]) -> list[DoseOutcome]:
    """Mark the doses of one batch; gives the outcomes in its order.

    Raises UnavailableError (``LOST_RACE``) where others mark and unmark one of them all the while.
    """
    outcomes = _attempt(db, batch)
    for _ in range(1, ATTEMPTS):
        lost = [place for place, one in enumerate(outcomes) if one is None]
        if not lost:
            break
        again = _attempt(db, [batch[place] for place in lost])
        for place, outcome in zip(lost, again, strict=True):
            outcomes[place] = outcome
    settled = [one for one in outcomes if one is not None]
    if len(settled) < len(batch):
        raise lost_race()
    return settled


def _attempt(db: Database, reports: Sequence[DoseReport]) -> list[DoseOutcome | None]:
    """Run the statement; None for a report that has lost a race.

    It brings ids along: the server takes longer to make them.
    """
    ids = new_ids(len(reports))
    rows = db.rows(
        _MARK,
        {
            "id": array(one.hex for one in ids),
            "user_id": array(one.user_id for one in reports),
            "schedule_id": array(one.schedule_id.hex for one in reports),
            "scheduled_for": array(_texts([one.scheduled_for for one in reports])),
            "taken_at": array(_texts([one.taken_at for one in reports])),
        },
    )
    answers = {row[0]: row for row in rows}
    outcomes = [
        _new_or_unreached(report, new_id, answers.get(number))
        for number, (report, new_id) in enumerate(zip(reports, ids, strict=True), 1)
    ]
    repeated = [row for row in rows if not row[2]]
    if repeated:
        new = {_key(one.report): one.dose for one in outcomes if one is not None and one.dose}
        for row in repeated:
            place = row[0] - 1
            outcomes[place] = _repeated(reports[place], row, new)
    return outcomes


def _texts(instants: Sequence[datetime]) -> Iterator[str]:
    """Write instants: many doses are due at one, and to write it takes longer than to find it."""
    texts = {one: one.isoformat() for one in set(instants)}
    return map(texts.__getitem__, instants)


def _key(report: DoseReport) -> DoseKey:
    return DoseKey(report.schedule_id, report.scheduled_for)


def _new_or_unreached(report: DoseReport, new_id: UUID, answer: Row | None) -> DoseOutcome | None:
    """Tell that a dose is new, or that its schedule is not reached; None where it is neither."""
    if answer is None:
        return DoseOutcome(report, OutcomeStatus.NOT_FOUND, None)
    _, _, is_new, recipient_id, medication_id, _, _, _ = answer
    if not is_new:
        return None
    dose = stored_as_sent((new_id, recipient_id, medication_id), report, report.user_id)
    return DoseOutcome(report, OutcomeStatus.RECORDED, dose)


def _repeated(
    report: DoseReport, answer: Row, new: Mapping[DoseKey, DoseTaken]
) -> DoseOutcome | None:
    """Tell what became of a report that is not new; None where it has lost a race."""
    _, is_open, _, recipient_id, medication_id, stored_id, *taken = answer
    key = _key(report)
    if key in new:  # and what it saw stored has been unmarked
        return DoseOutcome(report, OutcomeStatus.ALREADY_RECORDED, new[key])
    if stored_id is not None:
        dose = DoseTaken(stored_id, recipient_id, medication_id, *key, *taken)
        return DoseOutcome(report, OutcomeStatus.ALREADY_RECORDED, dose)
    return None if is_open else DoseOutcome(report, OutcomeStatus.MEDICATION_INACTIVE, None)
