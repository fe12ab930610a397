"""The doses of a care recipient: what is due, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from peewee import fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.doses.adherence import GRACE, Adherence, judge
from homethrive_db.doses.agenda import (
    AGENDA,
    Agenda,
    Settled,
    Skipped,
    Taken,
    agendas,
    days_around,
    records_window,
)
from homethrive_db.doses.dose_ids import decode_dose_id
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.doses.recurrence import Due
from homethrive_db.entities import DoseKey, NewDoseTaken
from homethrive_db.errors import ConflictError, ValidationError
from homethrive_db.repositories.access import reached_schedules
from homethrive_db.repositories.dose_rows import inactive, is_open, no_schedule
from homethrive_db.repositories.doses_taken import DoseTakenRepository
from homethrive_db.statements import Statement, array, param, statement

WINDOW = timedelta(days=7)
"""How far ahead ``list_upcoming`` looks unless told otherwise."""

_SCHEDULE, _SKIP, _TAKEN = models.MedicationSchedule, models.DoseSkip, models.DoseTaken
_OPTIONAL_REASON = validation.optional(validation.skip_reason)

_REACHED = reached_schedules(_SCHEDULE.select(*AGENDA), param("user_id"))
_IS_SCHEDULE = _SCHEDULE.id == param("schedule_id")

_OF_RECIPIENT = _REACHED.where(
    models.Medication.recipient == param("recipient_id"),
    _SCHEDULE.start_date <= param("last_day", "date"),
    _SCHEDULE.end_date.is_null() | (_SCHEDULE.end_date >= param("first_day", "date")),
)
_LIST = {
    True: statement(_OF_RECIPIENT),
    False: statement(_OF_RECIPIENT.where(models.Medication.is_active)),
}

_FIND = statement(_REACHED.where(_IS_SCHEDULE))

# Not FOR UPDATE, which would hold up the Node service: its new doses refer to the schedule.
_FIND_LOCKED = statement(_REACHED.where(_IS_SCHEDULE).for_update("FOR NO KEY UPDATE", of=_SCHEDULE))

_INSERT_SKIP = statement(
    _SKIP.insert_from(
        reached_schedules(
            _SCHEDULE.select(
                _SCHEDULE.id,
                param("scheduled_for", "timestamptz"),
                param("reason"),
                fn.statement_timestamp(),
                param("user_id"),
            ),
            param("user_id"),
        ).where(_IS_SCHEDULE, is_open(param("scheduled_for", "timestamptz"))),
        (
            _SKIP.schedule,
            _SKIP.scheduled_for,
            _SKIP.reason,
            _SKIP.skipped_at,
            _SKIP.skipped_by_user,
        ),
    )
    .on_conflict_ignore()
    .returning(_SKIP.id)
)


def _delete() -> Any:
    """Delete what was recorded of a dose, under whichever of its instants."""
    reached = reached_schedules(_SCHEDULE.select(_SCHEDULE.id), param("user_id")).where(
        _IS_SCHEDULE
    )

    def records(table: Any) -> Any:
        return (
            table.delete()
            .where(
                table.schedule.in_(reached),
                table.scheduled_for == fn.ANY(param("instants", "timestamptz[]")),
            )
            .returning(table.id)
        )

    return statement(records(_TAKEN).with_cte(records(_SKIP).cte("skips")))


_DELETE = _delete()


class DoseRepository:
    """Tells the doses of the care recipients that a user may reach, and settles them by their ids.

    What is due is computed, never stored. A dose id that is no dose of its schedule is refused with
    ValidationError (``NO_SUCH_DOSE``), and so is a malformed one (``INVALID_DOSE_ID``); a schedule
    that is absent or not theirs with NotFoundError (``SCHEDULE_NOT_FOUND``).
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._doses_taken = DoseTakenRepository(db)

    def list_upcoming(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        include_inactive: bool = False,
    ) -> list[DoseOccurrence]:
        """List the doses due from *start* (inclusive) to *end* (exclusive), in their order.

        Seven days from now unless told otherwise. Each says whether it was taken or skipped.
        Medications that are set inactive are left out, or with *include_inactive* listed up to
        their ``inactive_at``. Empty where *user_id* may not see the recipient. One statement.

        Raises ValidationError.
        """
        first = datetime.now(UTC) if start is None else start
        since, until = validation.window(first, first + WINDOW if end is None else end)
        listing = _LIST[bool(include_inactive)]
        found = [
            dose
            for agenda in self._agendas(listing, user_id, recipient_id, (since, until))
            for dose in agenda.occurrences(since, until)
        ]
        found.sort(key=lambda dose: (dose.scheduled_for, dose.medication_name, dose.schedule_id))
        return found

    def adherence(
        self,
        user_id: str,
        recipient_id: UUID | str,
        start: datetime,
        end: datetime,
        *,
        grace: timedelta = GRACE,
    ) -> Adherence:
        """Tell what was due from *start* (inclusive) to *end* (exclusive), and what became of it.

        Of medications that are inactive by now, too. A dose is late when it was taken more than
        *grace* after it was due, and missed when it was not taken by then. One statement. Empty
        where *user_id* may not see the recipient. Raises ValidationError.
        """
        since, until = validation.window(start, end)
        checked_grace = validation.duration(grace, "grace")
        found = self._agendas(_LIST[True], user_id, recipient_id, (since, until))
        return judge(found, since, until, grace=checked_grace, now=datetime.now(UTC))

    def _agendas(
        self,
        listing: Statement,
        user_id: str,
        recipient_id: UUID | str,
        window: tuple[datetime, datetime],
    ) -> Iterator[Agenda]:
        values = {
            "user_id": validation.user_id(user_id),
            "recipient_id": validation.uuid(recipient_id, "recipient_id"),
            **days_around(*window),
            **records_window(*window),
        }
        return agendas(self._db.rows(listing, values))

    def record(
        self, user_id: str, dose_id: str, *, taken_at: datetime | None = None
    ) -> DoseOccurrence:
        """Record a dose as taken, now unless told when, and give it as it is stored.

        Idempotent: of a dose that is recorded already the first report stays, under whichever
        of its two instants where the schedule has no zone. Two statements, one to see whose dose
        it is and one to record it. Raises ConflictError (``MEDICATION_INACTIVE``) for a new dose
        that is due after the medication's ``inactive_at``.
        """
        taken = validation.instant(taken_at or datetime.now(UTC), "taken_at")

        def insert(dose: _Dose) -> DoseOccurrence:
            if dose.taken is None:
                new = NewDoseTaken(*dose.key, taken)
                stored = self._doses_taken.mark_taken(user_id, new)
                dose.taken = Taken(stored.scheduled_for, stored.taken_at, stored.taken_by_user_id)
            return dose.occurrence()

        return self._settle(user_id, dose_id, insert)

    def skip(self, user_id: str, dose_id: str, *, reason: str | None = None) -> DoseOccurrence:
        """Record that a dose is left out on purpose, and give it as it is stored.

        It is then neither missed nor taken. Idempotent: the first *reason*, up to 255 characters,
        stays. Raises ConflictError where it is taken (``DOSE_TAKEN``) or due after the
        medication's ``inactive_at`` (``MEDICATION_INACTIVE``). The Node service knows no skips.
        """
        why = _OPTIONAL_REASON(reason, "reason")

        def insert(dose: _Dose) -> DoseOccurrence:
            if dose.taken is not None:
                raise ConflictError(
                    "the dose is taken: undo that first",
                    "DOSE_TAKEN",
                    {"schedule_id": dose.key.schedule_id},
                )
            if dose.skip is None:
                if not dose.is_open:
                    raise inactive(dose.key.schedule_id)
                values = {"user_id": user_id, "reason": why, **dose.key._asdict()}
                if not self._db.rows(_INSERT_SKIP, values):  # somebody else was first
                    return self._find(_FIND, user_id, dose.key).occurrence()
                dose.skip = Skipped(dose.key.scheduled_for, why)
            return dose.occurrence()

        return self._settle(user_id, dose_id, insert)

    def undo(self, user_id: str, dose_id: str) -> DoseOccurrence:
        """Take back that a dose was taken or skipped, and give it as it is then.

        Idempotent: what is not recorded stays so.
        """

        def delete(dose: _Dose) -> DoseOccurrence:
            if dose.taken is not None or dose.skip is not None:
                instants = array(dose.instants)
                values = {"user_id": user_id, "instants": instants, **dose.key._asdict()}
                self._db.rows(_DELETE, values)
                dose.taken = dose.skip = None
            return dose.occurrence()

        return self._settle(user_id, dose_id, delete)

    def _settle(
        self, user_id: str, dose_id: str, change: Callable[[_Dose], DoseOccurrence]
    ) -> DoseOccurrence:
        """Read a dose and change what is recorded of it.

        A dose with two instants is read under a lock of its schedule: the unique key of the table
        does not keep apart two callers who record it, each under another one.
        """
        key = decode_dose_id(dose_id)
        dose = self._find(_FIND, user_id, key)
        if len(dose.instants) == 1:
            return change(dose)
        with self._db.atomic():
            return change(self._find(_FIND_LOCKED, user_id, key))

    def _find(self, find: Any, user_id: str, key: DoseKey) -> _Dose:
        values = {
            "user_id": validation.user_id(user_id),
            "schedule_id": key.schedule_id,
            **records_window(key.scheduled_for, key.scheduled_for),
        }
        rows = self._db.rows(find, values)
        if not rows:
            raise no_schedule(key.schedule_id)
        try:
            return _Dose(Agenda(rows[0]), key)
        except ValidationError as error:
            if error.code == _NO_SUCH_DOSE:
                raise
            raise ConflictError(
                f"the stored schedule cannot be: {error.message}",
                "BROKEN_SCHEDULE",
                {"schedule_id": key.schedule_id},
            ) from error


_NO_SUCH_DOSE = "NO_SUCH_DOSE"


class _Dose:
    """The dose that an id means, with what is recorded of it."""

    def __init__(self, agenda: Agenda, key: DoseKey) -> None:
        self.key = key
        self._agenda = agenda
        self.instants = [key.scheduled_for]
        """Under which it may be recorded."""
        self.taken = next((row for row in agenda.taken if row[0] == key.scheduled_for), None)
        self.skip = next((row for row in agenda.skips if row[0] == key.scheduled_for), None)
        day = agenda.day_of(key.scheduled_for)
        if day is not None:
            self.instants = agenda.instants_of(day)
            self._due = Due(day, self.instants[0])
            settled = agenda.settle([self._due])
            self.taken = self.taken or settled.taken.get(day)
            self.skip = self.skip or settled.skipped.get(day)
        elif self.taken is not None or self.skip is not None:  # of before the schedule changed
            self._due = Due(agenda.local_date(key.scheduled_for), key.scheduled_for)
        else:
            raise ValidationError(
                "dose_id: the schedule has no dose at that instant",
                _NO_SUCH_DOSE,
                {"field": "dose_id"},
            )

    @property
    def is_open(self) -> bool:
        return self._agenda.is_open(self.key.scheduled_for)

    def occurrence(self) -> DoseOccurrence:
        day = self._due.day
        return self._agenda.occurrence(
            self._due,
            Settled(
                {day: self.taken} if self.taken else {},
                {},
                {day: self.skip} if self.skip else {},
            ),
        )
