"""Reminders of doses that are sent once, however many workers there are and however they end."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from homethrive_db import validation
from homethrive_db.database import Database, Row
from homethrive_db.doses.agenda import read_agenda
from homethrive_db.doses.feed_occurrence import Contact, FeedOccurrence
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.doses.reminder_statements import (
    CLAIM,
    ENQUEUE,
    FAILED,
    PURGE,
    SENT,
    WITHDRAW,
    WITHDRAW_OWN,
)
from homethrive_db.enums import ContactRole, ReminderState
from homethrive_db.errors import ValidationError
from homethrive_db.statements import array, array_bytes, portions

ENQUEUED_AT_ONCE = 1_000
"""How many reminders go into one statement."""

CLAIMED_AT_ONCE = 1_000
"""How many a claim may ask for."""

PURGED_AT_ONCE = 5_000
"""How many are deleted by one statement."""

ERROR_LENGTH = 500
"""How many characters are kept of the text of an error."""

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reminder:
    """A reminder that a worker has claimed: whom to remind, and of what.

    It is the worker's until ``lease_until``, by the server's clock; then others may claim it.
    """

    id: UUID
    kind: str
    contact: Contact
    """The user as they are now, not as they were when it was enqueued."""
    dose: DoseOccurrence
    recipient_display_name: str
    attempts: int
    """How often it was claimed, this time included."""
    lease_id: UUID
    lease_until: datetime


class ReminderLedger:
    """Keeps account of reminders, so that each dose and user has one of a kind, sent once.

    Delivery is at least once: a worker that dies, or whose lease ends, between the delivery and
    ``sent`` leaves a reminder that is delivered again. The ledger itself says ``sent`` once.

    Serves all recipients and takes no user id: it is for workers. A call is one statement a batch;
    a claim has a second one to withdraw what is of no use, and goes on while nothing else came. A
    call inside ``db.atomic()`` shares that transaction. A reminder that was claimed *max_attempts*
    times without being sent is dead.
    """

    def __init__(
        self,
        db: Database,
        *,
        max_attempts: int = 5,
        pause: timedelta = timedelta(seconds=30),
        longest_pause: timedelta = timedelta(hours=1),
    ) -> None:
        self._db = validation.made(db, Database, "db")
        self._max_attempts = validation.count(max_attempts, "max_attempts", 100)
        self._pause = validation.positive_duration(pause, "pause")
        self._longest_pause = validation.positive_duration(longest_pause, "longest_pause")
        if self._longest_pause < self._pause:
            raise ValidationError.of("longest_pause", "it must not be shorter than pause")

    def enqueue(self, occurrences: Iterable[FeedOccurrence], kind: str) -> int:
        """Add a reminder of *kind* for each dose and each of its contacts; count the new ones.

        Idempotent: one that is there already stays as it is, but for one that was withdrawn: it is
        pending again, and counts as new, since whoever enqueues found that the dose is open after
        all. Of a dose whose schedule or user is deleted there is none. One statement per 1,000
        reminders.

        *kind* is a name of your own, like ``due`` or ``missed``. Raises ValidationError; for what
        is no ``FeedOccurrence``, when the statements before it are done.
        """
        name = validation.reminder_kind(kind)
        remaining = _keys(occurrences)
        new = 0
        while batch := list(islice(remaining, ENQUEUED_AT_ONCE)):
            for portion in portions(self._db, ENQUEUE, batch, _weigh):
                schedules, dues, users = map(array, zip(*portion, strict=True))
                values = {"schedule_id": schedules, "scheduled_for": dues, "user_id": users}
                new += self._db.rows(ENQUEUE, {"kind": name, **values})[0][0]
        return new

    def claim(
        self, kind: str, *, limit: int, lease: timedelta, due_after: datetime | None = None
    ) -> list[Reminder]:
        """Lease up to *limit* reminders of *kind* for a time, those that wait longest.

        No two claims give the same one, until its lease ends. Each was checked again: one whose
        dose is taken or skipped by now, or no dose of its schedule any more, whose medication is
        inactive by now, or whose user may no longer reach the recipient, is withdrawn instead; so
        is one whose dose was due before *due_after*. Empty where nothing is to be had now. In a
        transaction of the caller's, one whose schedule is being revised, or whose schedule or user
        is being deleted, is not: it is neither given nor withdrawn until the lease ends.

        *limit* is 1,000 at most. Raises ValidationError.
        """
        name = validation.reminder_kind(kind)
        values = {
            "kind": name,
            "limit": validation.count(limit, "limit", CLAIMED_AT_ONCE),
            "lease_seconds": validation.positive_duration(lease, "lease").total_seconds(),
            "max_attempts": self._max_attempts,
        }
        oldest = None if due_after is None else validation.instant(due_after, "due_after")
        while True:
            claim = _Claim(name, uuid4(), oldest)
            rows = self._db.rows(CLAIM, {**values, "lease_id": claim.lease_id})
            reminders = self._checked(claim, rows)
            if reminders or not rows:
                return reminders

    def sent(self, reminder: Reminder) -> bool:
        """Note that a reminder was delivered; True for the one call that brought it there.

        Whoever has its lease by now: it was delivered. Idempotent; False where another call was
        first, which means that it was delivered twice, or where it is purged.
        """
        validation.made(reminder, Reminder, "reminder")
        values = {"reminder_id": reminder.id, "call_id": uuid4()}
        return bool(self._db.rows(SENT, values))

    def failed(self, reminder: Reminder, error: str | Exception) -> ReminderState | None:
        """Note that a delivery failed, and give what becomes of the reminder.

        PENDING: it may be claimed again after a pause, which doubles each time and varies by half.
        DEAD: that was the last attempt. None where the lease is another's by now, or the reminder
        is settled: nothing changes. The first 500 characters of *error*, or of its text, are kept.
        Raises ValidationError.
        """
        validation.made(reminder, Reminder, "reminder")
        values = {
            "reminder_id": reminder.id,
            "lease_id": reminder.lease_id,
            "max_attempts": self._max_attempts,
            "pause_seconds": self._pause_after(reminder.attempts),
            "error": _storable(error),
        }
        rows = self._db.rows(FAILED, values)
        return ReminderState(rows[0][0]) if rows else None

    def purge(self, before: datetime) -> int:
        """Delete the settled reminders of doses due before an instant; count them.

        Choose one that no ``enqueue`` will reach back to: what is purged would be sent again.
        One statement per 5,000 reminders. Raises ValidationError.
        """
        values = {"before": validation.instant(before, "before"), "limit": PURGED_AT_ONCE}
        purged = 0
        while count := self._db.rows(PURGE, values)[0][0]:
            purged += count
        return purged

    def _checked(self, claim: _Claim, rows: Sequence[Row]) -> list[Reminder]:
        """Withdraw what is of no use any more, and give the rest."""
        reminders, useless = [], []
        for row in rows:
            if row[1] != ReminderState.DEAD:
                reminder = claim.reminder(row)
                if reminder is not None:
                    reminders.append(reminder)
                else:
                    useless.append(row[0])
        if useless:
            withdraw = WITHDRAW_OWN if self._db.in_transaction() else WITHDRAW
            for portion in portions(self._db, withdraw, useless, array_bytes):
                values = {"reminder_ids": array(portion), "lease_id": claim.lease_id}
                self._db.rows(withdraw, values)
        return reminders

    def _pause_after(self, attempts: int) -> float:
        """Give the seconds to wait; so that those who failed together do not meet again."""
        doubled = self._pause.total_seconds() * 2.0 ** (attempts - 1)
        return min(doubled, self._longest_pause.total_seconds()) * random.uniform(0.5, 1)  # noqa: S311


class _Claim(NamedTuple):
    kind: str
    lease_id: UUID
    due_after: datetime | None

    def reminder(self, row: Row) -> Reminder | None:
        """Make the reminder of a claimed row; None where it is of no use any more."""
        reminder_id, _, is_of_use, due, attempts, until, *person = row[:10]
        is_late = self.due_after is not None and due < self.due_after
        dose = _open_dose(row[11:], due) if is_of_use and not is_late else None
        if dose is None:
            return None
        return Reminder(
            reminder_id, self.kind, _contact(*person), dose, row[10], attempts, self.lease_id, until
        )


def _open_dose(row: Sequence[Any], due: datetime) -> DoseOccurrence | None:
    """Find the dose that is due at an instant, if there is one and nothing has become of it."""
    agenda = read_agenda(row)
    doses = agenda.unsettled(due, due + _MOMENT) if agenda is not None else []
    return doses[0] if doses else None


def _contact(
    user_id: str, display_name: str | None, email: str | None, recipient_user_id: str | None
) -> Contact:
    """Make the contact of a user who may reach the recipient."""
    role = ContactRole.CAREGIVER
    if recipient_user_id is None:  # then nobody can have an access
        role = ContactRole.CREATOR
    elif recipient_user_id == user_id:
        role = ContactRole.RECIPIENT
    return Contact(user_id, role, display_name, email)


def _keys(occurrences: Iterable[FeedOccurrence]) -> Iterator[tuple[UUID, datetime, str]]:
    for one in validation.all_made(occurrences, FeedOccurrence, "occurrences"):
        dose = validation.made(one.dose, DoseOccurrence, "dose")
        due = validation.scheduled_instant(dose.scheduled_for)
        for contact in validation.all_made(one.contacts, Contact, "contacts"):
            yield dose.schedule_id, due, contact.user_id


def _weigh(key: tuple[UUID, datetime, str]) -> int:
    return array_bytes(*key)


def _storable(error: object) -> str:
    """Cut the text of an error to what the table takes; it may hold anything."""
    if not isinstance(error, str | BaseException):
        came = type(error).__name__
        raise ValidationError.of("error", f"an exception or text expected, {came} came")
    text = str(error)[:ERROR_LENGTH].replace("\0", "?")
    return text.encode("utf-8", "replace").decode("utf-8")
