"""Schedules: when a medication is due."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Unpack
from uuid import UUID

from peewee import SQL, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import (
    PAGE_SIZE,
    MedicationSchedule,
    NewSchedule,
    ScheduleChanges,
    ScheduleRevision,
)
from homethrive_db.errors import NotFoundError, ValidationError
from homethrive_db.local_days import report_unknown, today
from homethrive_db.repositories import schedule_input
from homethrive_db.repositories.access import (
    reached_profile,
    reached_schedule,
    reaches,
    recipient_of,
)
from homethrive_db.repositories.pages import page, read_pages
from homethrive_db.repositories.schedule_changes import change
from homethrive_db.repositories.schedule_history import revise
from homethrive_db.statements import Statement, columns, param, portions, statement
from homethrive_db.value_types import new_ids

_TABLE = models.MedicationSchedule
_SCHEDULE = columns(_TABLE, MedicationSchedule)


_FIND = statement(
    _TABLE.select(*_SCHEDULE).where(reached_schedule(param("user_id"), param("schedule_id")))
)

_LIST_BY_MEDICATION = statement(
    _TABLE.select(*_SCHEDULE)
    .where(
        _TABLE.medication == param("medication_id"),
        reaches(param("user_id"), recipient_of(param("medication_id"))),
    )
    .order_by(_TABLE.created_at, _TABLE.id)
)

_MEDICATIONS_OF_RECIPIENT = models.Medication.select(models.Medication.id).where(
    models.Medication.recipient == param("recipient_id"),
    reaches(param("user_id"), param("recipient_id")),
)
_OF_RECIPIENT = _TABLE.select(*_SCHEDULE).where(
    _TABLE.medication == fn.ANY(fn.ARRAY(_MEDICATIONS_OF_RECIPIENT))
)
_LIST_BY_RECIPIENT = statement(_OF_RECIPIENT.order_by(_TABLE.created_at, _TABLE.id))
_PAGE_BY_RECIPIENT = statement(page(_OF_RECIPIENT, _TABLE.created_at, _TABLE.id))

_ENDS = statement(
    _TABLE.select(
        _TABLE.end_date,
        fn.COALESCE(_TABLE.timezone, models.CareRecipient.timezone),
        fn.statement_timestamp(),
        _TABLE.id,
    )
    .from_(_TABLE, models.CareRecipient)
    .where(
        _TABLE.medication == param("medication_id"),
        reached_profile(param("user_id"), recipient_of(param("medication_id"))),
    )
)


def _create_many() -> Statement:
    """Insert all schedules, or none where one of their medications is not reached."""
    rows = schedule_input.ROWS
    medication = Select((rows,), (rows.c.medication_id,)).distinct().alias("medication")
    is_reached = reaches(param("user_id"), recipient_of(medication.c.medication_id))
    unreached = Select((medication,), (SQL("true"),)).where(~fn.COALESCE(is_reached, SQL("false")))
    created = schedule_input.insertion(rows.c.medication_id, condition=~fn.EXISTS(unreached))
    return statement(created.with_cte(rows))


_CREATE_MANY = _create_many()


def create_schedules(
    db: Database, user_id: str, schedules: Sequence[tuple[UUID, NewSchedule]]
) -> list[MedicationSchedule]:
    """Create schedules, at least one, each with its medication's id: all or nothing.

    Behind a proxy many are several statements, in one transaction.
    """
    first, *others = portions(
        db, _CREATE_MANY, schedules, lambda pair: schedule_input.weigh(pair[1])
    )
    if not others:
        return _create_portion(db, user_id, first)
    with db.atomic():
        return [
            schedule
            for portion in (first, *others)
            for schedule in _create_portion(db, user_id, portion)
        ]


def _create_portion(
    db: Database, user_id: str, schedules: Sequence[tuple[UUID, NewSchedule]]
) -> list[MedicationSchedule]:
    ids = new_ids(len(schedules))
    medication_ids, new = zip(*schedules, strict=True)
    values = schedule_input.parameters(ids, new, medication_ids)
    created = db.rows(_CREATE_MANY, {"user_id": user_id, **values})
    if not created:
        raise NotFoundError("no such medication", "MEDICATION_NOT_FOUND")
    return schedule_input.stored(ids, new, medication_ids, created[0][1])


class ScheduleRepository:
    """Reads and writes the schedules of the medications that a user may reach."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find_by_id(self, user_id: str, schedule_id: UUID | str) -> MedicationSchedule | None:
        """Find a schedule that *user_id* may see; None covers absent and not theirs alike."""
        return self._db.first(_FIND, MedicationSchedule.from_row, **_key(user_id, schedule_id))

    def list_by_medication(
        self, user_id: str, medication_id: UUID | str
    ) -> list[MedicationSchedule]:
        """List a medication's schedules, ended ones included, oldest first."""
        return self._db.all(
            _LIST_BY_MEDICATION,
            MedicationSchedule.from_row,
            user_id=validation.user_id(user_id),
            medication_id=validation.uuid(medication_id, "medication_id"),
        )

    def list_by_recipient(self, user_id: str, recipient_id: UUID | str) -> list[MedicationSchedule]:
        """List the schedules of all medications of a recipient, oldest first."""
        return self._db.all(
            _LIST_BY_RECIPIENT,
            MedicationSchedule.from_row,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
        )

    def iter_by_recipient(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[MedicationSchedule]:
        """Give what ``list_by_recipient`` lists, by pages of *page_size*, one statement each.

        *after* is the key of the last one that was read, ``(created_at, id)``: from there it goes
        on. Raises ValidationError.
        """
        read = partial(
            self._db.all,
            _PAGE_BY_RECIPIENT,
            MedicationSchedule.from_row,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
        )
        return read_pages(read, after, page_size)

    def create_many(
        self, user_id: str, schedules: Mapping[UUID, Sequence[NewSchedule]]
    ) -> list[MedicationSchedule]:
        """Create schedules of several medications, in input order: all or nothing, one statement.

        Behind a proxy many schedules are several statements, in one transaction. Raises
        ValidationError (also for a medication without schedules), and NotFoundError
        (``MEDICATION_NOT_FOUND``) where one of the medications is absent or not theirs. Not
        idempotent.
        """
        checked_user_id = validation.user_id(user_id)
        if not all(validation.mapping(schedules, "schedules").values()):
            raise ValidationError.of("schedules", "at least one schedule a medication expected")
        pairs = [
            (validation.uuid(medication_id, "medication_id"), schedule)
            for medication_id, new in schedules.items()
            for schedule in validation.all_made(new, NewSchedule, "schedules")
        ]
        if not pairs:
            return []
        return create_schedules(self._db, checked_user_id, pairs)

    def update(
        self, user_id: str, schedule_id: UUID | str, **changes: Unpack[ScheduleChanges]
    ) -> MedicationSchedule | None:
        """Change what is passed, None clears what may be absent; None where it is not theirs.

        Raises ValidationError, also where the change and the stored row together would break a
        rule: weekly without days, daily with days, an end before the start. An end date that comes
        earlier than the stored one is refused as by ``end``. One that comes later is not: nothing
        tells which schedule follows which, and after ``revise`` both would be due.
        """
        checked = validation.schedule_changes(changes)
        if not checked:
            return self.find_by_id(user_id, schedule_id)
        return change(self._db, _key(user_id, schedule_id), checked)

    def revise(
        self,
        user_id: str,
        schedule_id: UUID | str,
        effective: date,
        **changes: Unpack[ScheduleRevision],
    ) -> MedicationSchedule | None:
        """Change a schedule from the local date *effective* on; gives the new one that goes on.

        The old one ends the day before and keeps its doses; what is not passed is carried over,
        its planned end too. None where it is absent or not theirs. Not idempotent.

        Raises ValidationError, also for an *effective* not after the start, and where the stored
        row has a zone of its own that is unknown and none is passed; and ConflictError:
        ``SCHEDULE_ENDED`` where the old one ends before *effective*, as after an earlier revision,
        or has ended by today in its zone; ``DOSES_RECORDED`` where a dose of that date or a later
        one is taken or skipped, be it at the instant in America/New_York under which the Node
        service records it; ``LAST_ACTIVE_SCHEDULE`` for a new end date, as ``end``. And
        ConfigurationError inside a REPEATABLE READ or SERIALIZABLE transaction.
        """
        checked = validation.schedule_revision(effective, changes)
        return revise(self._db, _key(user_id, schedule_id), effective, checked)

    def end(self, user_id: str, schedule_id: UUID | str, on: date) -> MedicationSchedule | None:
        """End a schedule; *on* is the last local date on which it is due. None where not theirs.

        An active medication must not run out of schedules: where *on* is earlier than the stored
        end, another one has to go on, without an end or with one after *on* and not before today.
        Else ConflictError (``LAST_ACTIVE_SCHEDULE``) is raised, also where two are ended at once.
        An *on* after the stored end is one, too (``SCHEDULE_ENDED``): another schedule may go on
        from there. The same date may be repeated. Raises ValidationError, also for *on* before the
        start.
        """
        last_day = {"end_date": validation.day(on, "on")}
        return change(self._db, _key(user_id, schedule_id), last_day, is_end=True)

    def count_active_by_medication(self, user_id: str, medication_id: UUID | str) -> int:
        """Count a medication's schedules without an end, or with one not before today.

        Today is the date in the schedule's effective zone (its own, else the recipient's), by the
        database's clock. Where the zone is unknown it is that of UTC, and the schedule is logged
        once with its id. 0 where the medication is absent or not theirs.
        """
        ends = self._db.rows(
            _ENDS,
            {
                "user_id": validation.user_id(user_id),
                "medication_id": validation.uuid(medication_id, "medication_id"),
            },
        )
        for end, zone, _, schedule_id in ends:
            if end is not None:
                report_unknown(zone, schedule_id)
        return sum(end is None or end >= today(zone, now) for end, zone, now, _ in ends)


def _key(user_id: str, schedule_id: UUID | str) -> dict[str, object]:
    return {
        "user_id": validation.user_id(user_id),
        "schedule_id": validation.uuid(schedule_id, "schedule_id"),
    }
