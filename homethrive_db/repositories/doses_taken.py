"""Doses taken: each recorded once, known by its schedule and the instant it was due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from peewee import fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import (
    PAGE_SIZE,
    DoseKey,
    DoseOutcome,
    DoseReport,
    DoseTaken,
    NewDoseTaken,
    TakenInfo,
)
from homethrive_db.named_tuples import make
from homethrive_db.repositories.access import medication_of, reaches, recipient_of
from homethrive_db.repositories.dose_batches import mark_many
from homethrive_db.repositories.dose_rows import (
    ATTEMPTS,
    DOSE,
    NEW,
    inactive,
    is_open,
    lost_race,
    no_schedule,
    stored_as_sent,
)
from homethrive_db.repositories.pages import page, read_pages
from homethrive_db.statements import array, array_bytes, param, portions, statement

_TABLE = models.DoseTaken

_SCHEDULED_FOR = param("scheduled_for")
_SCHEDULE = param("schedule_id")
_IS_REACHED = (models.Medication.id == medication_of(_SCHEDULE)) & reaches(
    param("user_id"), models.Medication.recipient
)

_MARK = statement(
    _TABLE.insert_from(
        models.Medication.select(
            models.Medication.recipient,
            models.Medication.id,
            param("schedule_id", "uuid"),
            param("scheduled_for", "timestamptz"),
            param("taken_at", "timestamptz"),
            param("user_id"),
        ).where(_IS_REACHED, is_open(_SCHEDULED_FOR)),
        NEW,
    )
    .on_conflict_ignore()
    .returning(_TABLE.id, _TABLE.recipient, _TABLE.medication),
    is_idempotent=True,
)

_IS_DOSE = (_TABLE.schedule == _SCHEDULE) & (_TABLE.scheduled_for == _SCHEDULED_FOR)

# Why nothing was inserted: the stored row, and whether a new one would be let in.
_EXPLAIN_MARK = statement(
    models.Medication.select(is_open(_SCHEDULED_FOR), *DOSE)
    .left_outer_join(_TABLE, on=_IS_DOSE)
    .where(_IS_REACHED)
)

_UNMARK = statement(
    _TABLE.delete().where(
        _IS_DOSE, reaches(param("user_id"), recipient_of(medication_of(_SCHEDULE)))
    )
)

_REACHED_SCHEDULES = models.MedicationSchedule.select(models.MedicationSchedule.id).where(
    models.MedicationSchedule.id == fn.ANY(param("schedule_ids", "uuid[]")),
    reaches(param("user_id"), recipient_of(models.MedicationSchedule.medication)),
)

_TAKEN = statement(
    _TABLE.select(_TABLE.schedule, _TABLE.scheduled_for, _TABLE.taken_at, _TABLE.taken_by_user)
    .where(
        _TABLE.schedule == fn.ANY(fn.ARRAY(_REACHED_SCHEDULES)),
        _TABLE.scheduled_for >= param("start"),
        _TABLE.scheduled_for < param("end"),
    )
    .order_by(_TABLE.schedule, _TABLE.scheduled_for)
)


_PAGE_BY_RECIPIENT = statement(
    page(
        _TABLE.select(*DOSE).where(
            _TABLE.recipient == param("recipient_id"),
            _TABLE.scheduled_for >= param("start"),
            _TABLE.scheduled_for < param("end"),
            reaches(param("user_id"), param("recipient_id")),
        ),
        _TABLE.scheduled_for,
        _TABLE.id,
    )
)


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
        validation.made(dose, NewDoseTaken, "dose")
        key = _dose_key(user_id, dose.schedule_id, dose.scheduled_for)
        for _ in range(ATTEMPTS):
            made = self._db.rows(_MARK, {**key, "taken_at": dose.taken_at})
            if made:
                return stored_as_sent(made[0], dose, key["user_id"])
            stored = self._explain(key)
            if stored is not None:
                return stored
        raise lost_race()

    def _explain(self, key: dict[str, Any]) -> DoseTaken | None:
        """Give the stored dose, or raise why there is none; None after a lost race."""
        rows = self._db.rows(_EXPLAIN_MARK, key)
        if not rows:
            raise no_schedule(key["schedule_id"])
        is_open, *dose = rows[0]
        if dose[0] is not None:
            return DoseTaken(*dose)
        if not is_open:
            raise inactive(key["schedule_id"])
        return None

    def mark_taken_many(self, reports: Iterable[DoseReport]) -> list[DoseOutcome]:
        """Record the doses that many users report, and tell in input order what became of each.

        One statement per 5,000 reports (behind a proxy, as many as fit), so a lost connection may
        leave earlier ones stored: repeat the call, it is idempotent. A report that is refused
        spoils no other and raises nothing. Of two reports of one dose the first is recorded.
        Raises ValidationError for what is no ``DoseReport``, when those before it are stored.
        """
        return list(mark_many(self._db, reports))

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
        first, last = validation.window(start, end)
        checked_user_id = validation.user_id(user_id)
        each = validation.each(schedule_ids, "schedule_ids")
        asked_for = [validation.uuid(one, "schedule_ids") for one in each]
        return {
            make(DoseKey, (schedule_id, due)): make(TakenInfo, (taken_at, by))
            for portion in portions(self._db, _TAKEN, asked_for, array_bytes)
            for schedule_id, due, taken_at, by in self._db.rows(
                _TAKEN,
                {
                    "user_id": checked_user_id,
                    "schedule_ids": array(portion),
                    "start": first,
                    "end": last,
                },
            )
        }

    def iter_by_recipient(  # noqa: PLR0913  # a window, and where in it to go on
        self,
        user_id: str,
        recipient_id: UUID | str,
        start: datetime,
        end: datetime,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[DoseTaken]:
        """Give a recipient's doses due from *start* (inclusive) to *end* (exclusive), in order.

        By pages of *page_size*, one statement each. *after* is the key of the last one that was
        read, ``(scheduled_for, id)``: from there it goes on. Nothing where *user_id* may not see
        them. Raises ValidationError, also where *start* is after *end*.
        """
        first, last = validation.window(start, end)
        read = partial(
            self._db.all,
            _PAGE_BY_RECIPIENT,
            DoseTaken,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
            start=first,
            end=last,
        )
        return read_pages(read, after, page_size, at="scheduled_for")


def _dose_key(user_id: str, schedule_id: UUID, scheduled_for: datetime) -> dict[str, Any]:
    return {
        "user_id": validation.user_id(user_id),
        "schedule_id": schedule_id,
        "scheduled_for": scheduled_for,
    }
