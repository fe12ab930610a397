"""The doses of a care recipient: what is due, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from homethrive_db import validation
from homethrive_db.database import Database
from homethrive_db.doses import dose_statements
from homethrive_db.doses.adherence import GRACE, Adherence, judge
from homethrive_db.doses.agenda import Agenda, agendas
from homethrive_db.doses.agenda_rows import days_around, records_window, shifted
from homethrive_db.doses.dose import Dose
from homethrive_db.doses.dose_ids import decode_dose_id
from homethrive_db.doses.occurrence import BY_TIME, DoseOccurrence
from homethrive_db.doses.records import Skipped, Taken
from homethrive_db.entities import DoseKey
from homethrive_db.errors import ConflictError, ValidationError
from homethrive_db.repositories.dose_rows import (
    ATTEMPTS,
    READ_COMMITTED,
    check_isolation,
    inactive,
    lost_race,
    no_schedule,
)
from homethrive_db.statements import Statement, array

WINDOW = timedelta(days=7)
"""How far ahead ``list_upcoming`` looks unless told otherwise."""

_OPTIONAL_REASON = validation.optional(validation.skip_reason)


class DoseRepository:
    """Tells the doses of the care recipients that a user may reach, and settles them by their ids.

    What is due is computed, never stored. A schedule has at most one dose a local date: whatever
    is recorded of that date is of this dose, under the instant of either service or of before the
    schedule was changed.

    A dose id that is no dose of its schedule is refused with ValidationError (``NO_SUCH_DOSE``),
    and so is a malformed one (``INVALID_DOSE_ID``); a schedule that is absent or not theirs with
    NotFoundError (``SCHEDULE_NOT_FOUND``), one that cannot be with ConflictError
    (``BROKEN_SCHEDULE``).
    """

    def __init__(self, db: Database) -> None:
        self._db = db

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
        Nothing after a medication's ``inactive_at``; those that are inactive by now are left out,
        unless *include_inactive* asks for their doses of before. A schedule that cannot be, as the
        Node service may have stored it, is logged once with its id, and left out. Empty where
        *user_id* may not see the recipient. One statement.

        Raises ValidationError.
        """
        since, until = _window(start, end)
        is_all = validation.boolean(include_inactive, "include_inactive")
        listing = dose_statements.LIST_ALL if is_all else dose_statements.LIST
        found = [
            dose
            for agenda in self._agendas(listing, user_id, recipient_id, (since, until))
            for dose in agenda.occurrences(since, until)
        ]
        found.sort(key=BY_TIME)
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
        found = self._agendas(dose_statements.HISTORY, user_id, recipient_id, (since, until))
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

        Idempotent: of a dose that is recorded already, under whichever instant of its date, the
        first report stays. Two statements, one to see whose dose it is and one to record it; where
        the dose has two instants, or somebody was first or changed the schedule meanwhile, more of
        them, in a transaction: inside one that is REPEATABLE READ or SERIALIZABLE that raises
        ConfigurationError. Raises ConflictError (``MEDICATION_INACTIVE``) for a new dose after the
        medication's ``inactive_at``.
        """
        at = datetime.now(UTC) if taken_at is None else validation.instant(taken_at, "taken_at")
        dose = self._find(user_id, decode_dose_id(dose_id))
        if dose.taken is not None or len(dose.instants) < 2:
            recorded = self._record(user_id, dose, at)
            if recorded is not None:
                return recorded
        return self._record_locked(user_id, dose.key, at)

    def skip(self, user_id: str, dose_id: str, *, reason: str | None = None) -> DoseOccurrence:
        """Record that a dose is left out on purpose, and give it as it is stored.

        It is then neither missed nor taken; the Node service knows no skips. Idempotent: the first
        *reason*, up to 255 characters, stays. Two statements. Raises ConflictError where the dose
        is taken (``DOSE_TAKEN``) or due after the medication's ``inactive_at``
        (``MEDICATION_INACTIVE``).
        """
        why = _OPTIONAL_REASON(reason, "reason")
        key = decode_dose_id(dose_id)
        for _ in range(ATTEMPTS):
            dose = self._find(user_id, key)
            if dose.taken is not None:
                raise _taken(dose.key)
            if dose.skip is not None:
                return dose.stored
            if not dose.is_open_at(dose.scheduled_for):
                raise inactive(dose.key.schedule_id)
            if self._insert_skip(user_id, dose, why):
                return dose.occurrence(skip=Skipped(dose.scheduled_for, why))
        raise lost_race()

    def undo(self, user_id: str, dose_id: str) -> DoseOccurrence:
        """Take back that a dose was taken or skipped, and give it as it is then.

        Removes whatever is recorded of its date, by either service; what is not recorded stays so.
        One statement, and a second where there is something to remove, which is not repeated where
        its answer is lost: another caregiver may have recorded the dose meanwhile.
        """
        dose = self._find(user_id, decode_dose_id(dose_id))
        if dose.taken is not None or dose.skip is not None:
            values = {
                "user_id": user_id,
                "schedule_id": dose.key.schedule_id,
                "instants": array(dose.records),
            }
            self._db.rows(dose_statements.DELETE, values)
        return dose.occurrence()

    def _find(self, user_id: str, key: DoseKey) -> Dose:
        near = timedelta(days=1)  # the dose itself may be due so far from the instant of its id
        values = {
            "user_id": validation.user_id(user_id),
            "schedule_id": key.schedule_id,
            **records_window(key.scheduled_for, key.scheduled_for, beyond=near),
        }
        rows = self._db.rows(dose_statements.FIND, values)
        if not rows:
            raise no_schedule(key.schedule_id)
        *row, seen = rows[0]
        return Dose(_agenda(row, key), key, seen)

    def _record_locked(self, user_id: str, key: DoseKey, at: datetime) -> DoseOccurrence:
        """Record a dose under a lock of its schedule, which keeps it as it is.

        Where a dose has two instants, the table's unique key does not keep apart two callers, each
        with another one. What was recorded is read anew by a statement after the one that waited:
        that saw the rows of before.
        """
        with self._db.atomic(READ_COMMITTED):
            values = {"user_id": user_id, "schedule_id": key.schedule_id}
            for (isolation,) in self._db.rows(dose_statements.LOCK, values):
                check_isolation(isolation)
            for _ in range(ATTEMPTS):
                recorded = self._record(user_id, self._find(user_id, key), at)
                if recorded is not None:
                    return recorded
        raise lost_race()

    def _record(self, user_id: str, dose: Dose, at: datetime) -> DoseOccurrence | None:
        """Record a dose as it was found; None where that is not so any more."""
        if dose.taken is not None:
            return dose.stored
        if not dose.is_open_at(dose.new_record):
            raise inactive(dose.key.schedule_id)
        if not self._insert_taken(user_id, dose, at):
            return None
        return dose.occurrence(Taken(dose.new_record, at, user_id))

    def _insert_taken(self, user_id: str, dose: Dose, at: datetime) -> bool:
        values = {"user_id": user_id, "scheduled_for": dose.new_record, "taken_at": at}
        return self._insert(dose_statements.INSERT_TAKEN, dose, values)

    def _insert_skip(self, user_id: str, dose: Dose, reason: str | None) -> bool:
        values = {
            "user_id": user_id,
            "scheduled_for": dose.scheduled_for,
            "instants": array(dose.instants),
            "reason": reason,
        }
        return self._insert(dose_statements.INSERT_SKIP, dose, values)

    def _insert(self, insertion: Statement, dose: Dose, values: dict[str, object]) -> bool:
        """Insert a record; False where somebody was first, or has changed the schedule."""
        key = {"schedule_id": dose.key.schedule_id, "seen": dose.seen}
        return bool(self._db.rows(insertion, {**values, **key}))


def _window(start: object, end: object) -> tuple[datetime, datetime]:
    """Check the window of a list; fills in what is not told."""
    since = datetime.now(UTC) if start is None else validation.instant(start, "start")
    if end is None:
        return since, shifted(since, WINDOW)
    if start is None and validation.instant(end, "end") < since:
        raise ValidationError.of("end", "it must not be before now, where no start is given")
    return validation.window(since, end)


def _agenda(row: Sequence[Any], key: DoseKey) -> Agenda:
    """Read an agenda; a schedule that cannot be has no doses to settle."""
    try:
        return Agenda(row)
    except ValidationError as error:
        raise ConflictError(
            f"the stored schedule cannot be: {error.message}",
            "BROKEN_SCHEDULE",
            {"schedule_id": key.schedule_id},
        ) from error


def _taken(key: DoseKey) -> ConflictError:
    return ConflictError(
        "the dose is taken: undo that first", "DOSE_TAKEN", {"schedule_id": key.schedule_id}
    )
