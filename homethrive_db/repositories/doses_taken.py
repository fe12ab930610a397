"""Doses taken: each recorded once, known by its schedule and the instant it was due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from peewee import SQL, ColumnBase, Expression, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import (
    DoseKey,
    DoseOutcome,
    DoseReport,
    DoseTaken,
    NewDoseTaken,
    TakenInfo,
)
from homethrive_db.enums import OutcomeStatus
from homethrive_db.errors import ConflictError, NotFoundError, UnavailableError, ValidationError
from homethrive_db.repositories.access import accessible_to
from homethrive_db.statements import Statement, array, columns, input_rows, param, statement

BATCH_SIZE = 5_000
"""How many reports go into one statement."""

# A lost race repeats the statement; the row is there the second time, unless it was unmarked again.
_ATTEMPTS = 5

_TABLE = models.DoseTaken
_DOSE = columns(_TABLE, DoseTaken)
_NEW = (
    _TABLE.recipient,
    _TABLE.medication,
    _TABLE.schedule,
    _TABLE.scheduled_for,
    _TABLE.taken_at,
    _TABLE.taken_by_user,
)


def _is_open(scheduled_for: ColumnBase) -> Expression:
    """Hold where the medication takes a new dose: active, or not yet inactive when it was due."""
    return models.Medication.is_active | (scheduled_for <= models.Medication.inactive_at)


def _reached(schedules: Any, user_id: ColumnBase) -> Any:
    """Join to a query of schedules what the access rule needs."""
    return schedules.join(
        models.Medication, on=models.MedicationSchedule.medication == models.Medication.id
    ).join(
        models.CareRecipient,
        on=(models.CareRecipient.id == models.Medication.recipient) & accessible_to(user_id),
    )


_SCHEDULED_FOR = param("scheduled_for", "timestamptz")
_IS_SCHEDULE = models.MedicationSchedule.id == param("schedule_id")

_MARK = statement(
    _TABLE.insert_from(
        _reached(
            models.MedicationSchedule.select(
                models.CareRecipient.id,
                models.Medication.id,
                models.MedicationSchedule.id,
                _SCHEDULED_FOR,
                param("taken_at", "timestamptz"),
                param("user_id"),
            ),
            param("user_id"),
        ).where(_IS_SCHEDULE, _is_open(_SCHEDULED_FOR)),
        _NEW,
    )
    .on_conflict_ignore()
    .returning(*_DOSE)
)

_IS_DOSE = (_TABLE.schedule == param("schedule_id")) & (_TABLE.scheduled_for == _SCHEDULED_FOR)

# Why nothing was inserted: the stored row, and whether a new one would be let in.
_EXPLAIN_MARK = statement(
    _reached(models.MedicationSchedule.select(_is_open(_SCHEDULED_FOR), *_DOSE), param("user_id"))
    .left_outer_join(_TABLE, on=_IS_DOSE)
    .where(_IS_SCHEDULE)
)

_UNMARK = statement(
    _TABLE.delete()
    .where(
        _IS_DOSE,
        fn.EXISTS(
            _reached(
                models.MedicationSchedule.select(models.MedicationSchedule.id), param("user_id")
            ).where(_IS_SCHEDULE)
        ),
    )
    .returning(_TABLE.id)
)

_TAKEN = statement(
    _TABLE.select(_TABLE.schedule, _TABLE.scheduled_for, _TABLE.taken_at, _TABLE.taken_by_user)
    .join(
        models.CareRecipient,
        on=(_TABLE.recipient == models.CareRecipient.id) & accessible_to(param("user_id")),
    )
    .where(
        _TABLE.schedule == fn.ANY(param("schedule_ids", "uuid[]")),
        _TABLE.scheduled_for >= param("start"),
        _TABLE.scheduled_for < param("end"),
    )
    .order_by(_TABLE.schedule, _TABLE.scheduled_for)
)


def _mark_many() -> Statement:
    """Insert what may be inserted of a batch, and tell of each reached report what became of it.

    A row is (position, is it let in, is it new, the dose or NULLs); a report that is not reached
    has none, one that was stored before has two. Rows go in by key order, so that two batches
    cannot deadlock; of two reports of one dose the first is inserted.
    """
    rows = input_rows(
        "input",
        user_id="text",
        schedule_id="uuid",
        scheduled_for="timestamptz",
        taken_at="timestamptz",
    )
    reached = (
        _reached(
            Select(
                (rows,),
                (
                    rows.c.position,
                    rows.c.user_id,
                    rows.c.schedule_id,
                    rows.c.scheduled_for,
                    rows.c.taken_at,
                    models.Medication.id.alias("medication_id"),
                    models.CareRecipient.id.alias("recipient_id"),
                    _is_open(rows.c.scheduled_for).alias("is_open"),
                ),
            ).join(
                models.MedicationSchedule, on=models.MedicationSchedule.id == rows.c.schedule_id
            ),
            rows.c.user_id,
        )
    ).cte("reached", materialized=True)
    key = (reached.c.schedule_id, reached.c.scheduled_for)
    firsts = (
        Select(
            (reached,),
            (
                reached.c.recipient_id,
                reached.c.medication_id,
                *key,
                reached.c.taken_at,
                reached.c.user_id,
            ),
        )
        .where(reached.c.is_open)
        .distinct(*key)
        .order_by(*key, reached.c.position)
    )
    made = _TABLE.insert_from(firsts, _NEW).on_conflict_ignore().returning(*_DOSE).cte("made")
    new = Select(
        (reached,),
        (
            reached.c.position,
            reached.c.is_open,
            made.c.id.is_null(False),
            *columns(made, DoseTaken),
        ),
    ).left_outer_join(
        made,
        on=(made.c.schedule_id == reached.c.schedule_id)
        & (made.c.scheduled_for == reached.c.scheduled_for),
    )
    # A CTE's new rows are invisible to their table: these were there before.
    stored = Select((reached,), (reached.c.position, reached.c.is_open, SQL("false"), *_DOSE)).join(
        _TABLE,
        on=(_TABLE.schedule == reached.c.schedule_id)
        & (_TABLE.scheduled_for == reached.c.scheduled_for),
    )
    return statement(new.union_all(stored).with_cte(rows, reached, made))


_MARK_MANY = _mark_many()


class DoseTakenRepository:
    """Records the doses of the care recipients that a user may reach."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def mark_taken(self, user_id: str, dose: NewDoseTaken) -> DoseTaken:
        """Record a dose and give the stored row: the first report's, whoever repeats it.

        Idempotent. One statement for a new dose, a second only where nothing was inserted.
        Raises ValidationError, NotFoundError (``SCHEDULE_NOT_FOUND``), and for a new dose that was
        due after the medication's ``inactive_at`` ConflictError (``MEDICATION_INACTIVE``).
        """
        key = _dose_key(user_id, dose.schedule_id, dose.scheduled_for)
        for _ in range(_ATTEMPTS):
            made = self._db.first(_MARK, DoseTaken, **key, taken_at=dose.taken_at)
            if made is not None:
                return made
            stored = self._explain(key)
            if stored is not None:
                return stored
        raise _race()

    def _explain(self, key: dict[str, Any]) -> DoseTaken | None:
        """Give the stored dose, or raise why there is none; None after a lost race."""
        rows = self._db.rows(_EXPLAIN_MARK, key)
        if not rows:
            raise NotFoundError(
                "no such schedule", "SCHEDULE_NOT_FOUND", {"schedule_id": key["schedule_id"]}
            )
        is_open, *dose = rows[0]
        if dose[0] is not None:
            return DoseTaken(*dose)
        if not is_open:
            raise ConflictError(
                "the medication was inactive when this dose was due",
                "MEDICATION_INACTIVE",
                {"schedule_id": key["schedule_id"]},
            )
        return None

    def mark_taken_many(self, reports: Iterable[DoseReport]) -> list[DoseOutcome]:
        """Record the doses that many users report, and tell in input order what became of each.

        One statement per 5,000 reports, so a lost connection may leave earlier ones stored: repeat
        the call, it is idempotent. A report that is refused spoils no other and raises nothing.
        Of two reports of one dose the first is recorded.
        """
        outcomes: list[DoseOutcome] = []
        for batch in _batches(reports, BATCH_SIZE):
            outcomes.extend(self._mark_batch(batch))
        return outcomes

    def _mark_batch(self, batch: list[DoseReport]) -> list[DoseOutcome]:
        outcomes: dict[int, DoseOutcome] = {}
        open_positions = list(range(len(batch)))
        for _ in range(_ATTEMPTS):
            outcomes.update(self._mark_positions(batch, open_positions))
            open_positions = [one for one in open_positions if one not in outcomes]
            if not open_positions:
                return [outcomes[position] for position in range(len(batch))]
        raise _race()

    def _mark_positions(
        self, batch: list[DoseReport], positions: list[int]
    ) -> Iterator[tuple[int, DoseOutcome]]:
        """Run the statement for some of a batch; a lost race leaves its position out."""
        reports = [batch[position] for position in positions]
        rows = self._db.rows(
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
        for number, is_open, is_new, *dose in rows:
            reached[number] = is_open
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

    def unmark_taken(self, user_id: str, schedule_id: UUID | str, scheduled_for: datetime) -> bool:
        """Take a recorded dose back; False where there is none that *user_id* may reach.

        Raises ValidationError.
        """
        key = _dose_key(
            user_id,
            validation.uuid(schedule_id, "schedule_id"),
            validation.scheduled_instant(scheduled_for),
        )
        return bool(self._db.rows(_UNMARK, key))

    def taken_map(
        self,
        user_id: str,
        schedule_ids: Iterable[UUID | str],
        start: datetime,
        end: datetime,
    ) -> dict[DoseKey, TakenInfo]:
        """Map the doses due from *start* (inclusive) to *end* (exclusive) to how they were taken.

        Schedules that *user_id* may not see are left out. Raises ValidationError, also where
        *start* is after *end*.
        """
        first, last = validation.instant(start, "start"), validation.instant(end, "end")
        if first > last:
            raise ValidationError.of("start", "it must not be after end")
        rows = self._db.rows(
            _TAKEN,
            {
                "user_id": validation.user_id(user_id),
                "schedule_ids": array(validation.uuid(one, "schedule_ids") for one in schedule_ids),
                "start": first,
                "end": last,
            },
        )
        return {
            DoseKey(schedule_id, scheduled_for): TakenInfo(*taken)
            for schedule_id, scheduled_for, *taken in rows
        }


def _dose_key(user_id: str, schedule_id: UUID, scheduled_for: datetime) -> dict[str, Any]:
    return {
        "user_id": validation.user_id(user_id),
        "schedule_id": schedule_id,
        "scheduled_for": scheduled_for,
    }


def _batches(reports: Iterable[DoseReport], size: int) -> Iterator[list[DoseReport]]:
    remaining = iter(reports)
    while batch := list(islice(remaining, size)):
        yield batch


def _race() -> UnavailableError:
    return UnavailableError(
        "the dose was marked and unmarked by others again and again; try again",
        "LOST_RACE",
        retryable=True,
    )
