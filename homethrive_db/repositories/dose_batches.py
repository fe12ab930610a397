"""Doses marked in batches: one statement for the reports of many users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import islice
from typing import Any
from uuid import UUID

from peewee import CTE, SQL, Select

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import DoseOutcome, DoseReport, DoseTaken
from homethrive_db.enums import OutcomeStatus
from homethrive_db.repositories.access import reached_schedules
from homethrive_db.repositories.dose_rows import ATTEMPTS, DOSE, NEW, is_open, lost_race
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    columns,
    input_rows,
    portions,
    statement,
)

BATCH_SIZE = 5_000
"""How many reports go into one statement."""

_TABLE = models.DoseTaken


_ROWS = input_rows(
    "input",
    user_id="text",
    schedule_id="uuid",
    scheduled_for="timestamptz",
    taken_at="timestamptz",
)


def _reached() -> Any:
    """Keep the reports whose users may reach their schedules, with what follows from those."""
    report = (_ROWS.c.user_id, _ROWS.c.schedule_id, _ROWS.c.scheduled_for, _ROWS.c.taken_at)
    return reached_schedules(
        Select(
            (_ROWS,),
            (
                _ROWS.c.position,
                *report,
                models.Medication.id.alias("medication_id"),
                models.CareRecipient.id.alias("recipient_id"),
                is_open(_ROWS.c.scheduled_for).alias("is_open"),
            ),
        ).join(models.MedicationSchedule, on=models.MedicationSchedule.id == _ROWS.c.schedule_id),
        _ROWS.c.user_id,
    ).cte("reached", materialized=True)


def _made(reached: CTE) -> CTE:
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
        .where(reached.c.is_open)
        .distinct(*key)
        .order_by(*key, reached.c.position)
    )
    return _TABLE.insert_from(firsts, NEW).on_conflict_ignore().returning(*DOSE).cte("made")


def _mark_many() -> Statement:
    """Insert what may be inserted of a batch, and tell of each reached report what became of it.

    A row is (position, is it let in, is it new, the dose or NULLs); a report that is not reached
    has none, one that was stored before has two.
    """
    reached = _reached()
    made = _made(reached)
    report = (reached.c.position, reached.c.is_open)
    new = Select(
        (reached,), (*report, made.c.id.is_null(False), *columns(made, DoseTaken))
    ).left_outer_join(
        made,
        on=(made.c.schedule_id == reached.c.schedule_id)
        & (made.c.scheduled_for == reached.c.scheduled_for),
    )
    # A CTE's new rows are invisible to their table: these were there before.
    stored = Select((reached,), (*report, SQL("false"), *DOSE)).join(
        _TABLE,
        on=(_TABLE.schedule == reached.c.schedule_id)
        & (_TABLE.scheduled_for == reached.c.scheduled_for),
    )
    query = new.union_all(stored).with_cte(_ROWS, reached, made)
    return statement(query, is_idempotent=True)


_MARK_MANY = _mark_many()


def mark_many(db: Database, reports: Iterable[DoseReport]) -> Iterator[DoseOutcome]:
    """Mark the doses of any number of reports, by batches; gives the outcomes in order."""
    remaining = validation.all_made(reports, DoseReport, "reports")
    while batch := list(islice(remaining, BATCH_SIZE)):
        for portion in portions(db, _MARK_MANY, batch, _weigh):
            yield from mark_batch(db, portion)


def _weigh(report: DoseReport) -> int:
    return array_bytes(*astuple(report))


def mark_batch(db: Database, batch: Sequence[DoseReport]) -> list[DoseOutcome]:
    """Mark the doses of one batch; gives the outcomes in its order.

    Raises UnavailableError (``LOST_RACE``) where others mark and unmark one of them all the while.
    """
    outcomes: dict[int, DoseOutcome] = {}
    open_positions = list(range(len(batch)))
    for _ in range(ATTEMPTS):
        outcomes.update(_mark_positions(db, batch, open_positions))
        open_positions = [one for one in open_positions if one not in outcomes]
        if not open_positions:
            return [outcomes[position] for position in range(len(batch))]
    raise lost_race()


def _mark_positions(
    db: Database, batch: Sequence[DoseReport], positions: list[int]
) -> Iterator[tuple[int, DoseOutcome]]:
    """Run the statement for some of a batch; a lost race leaves its position out."""
    reports = [batch[position] for position in positions]
    rows = db.rows(
        _MARK_MANY,
        {
            "user_id": array(one.user_id for one in reports),
            "schedule_id": array(one.schedule_id for one in reports),
            "scheduled_for": array(one.scheduled_for for one in reports),
            "taken_at": array(one.taken_at for one in reports),
        },
    )
    reached: dict[int, bool] = {}
    doses: dict[int, tuple[bool, DoseTaken]] = {}
    for number, may_be_new, is_new, *dose in rows:
        reached[number] = may_be_new
        if dose[0] is not None and (is_new or number not in doses):
            doses[number] = is_new, DoseTaken(*dose)
    recorded: set[UUID] = set()
    for number, (position, report) in enumerate(zip(positions, reports, strict=True), 1):
        if number in doses:
            is_new, stored = doses[number]
            is_first = is_new and stored.id not in recorded
            recorded.add(stored.id)
            status = OutcomeStatus.RECORDED if is_first else OutcomeStatus.ALREADY_RECORDED
            yield position, DoseOutcome(report, status, stored)
        elif number not in reached:
            yield position, DoseOutcome(report, OutcomeStatus.NOT_FOUND, None)
        elif not reached[number]:
            yield position, DoseOutcome(report, OutcomeStatus.MEDICATION_INACTIVE, None)
