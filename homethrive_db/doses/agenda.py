"""The agenda of a schedule: its doses in a window, and which recorded rows are of which of them.

Both services record doses in one table. The Node service reads a schedule without a zone in New
York's, whatever the recipient's: a row at the New York instant of a local date is the dose of that
date, too, so that nobody is given a second one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from peewee import fn

from homethrive_db import models
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.doses.recurrence import Due, Timetable, find_zone
from homethrive_db.enums import DoseStatus, Recurrence
from homethrive_db.errors import ValidationError
from homethrive_db.repositories.local_days import NODE_ZONE
from homethrive_db.statements import param

logger = logging.getLogger(__name__)

RECORDS_AROUND = timedelta(hours=26)
"""How far from a dose a row of its local date, or of its New York instant, can be."""

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECURRENCES = {str(one): one for one in Recurrence}


def agenda_columns(since: Any, until: Any) -> tuple[Any, ...]:
    """List what ``Agenda`` reads, of schedules joined with their medications and care recipients.

    The recorded rows are those from *since* to before *until*, two expressions.
    """

    def records(model: type[models.BaseModel], *values: Any) -> Any:
        table: Any = model
        return table.select(fn.json_agg(fn.json_build_array(table.scheduled_for, *values))).where(
            table.schedule == _SCHEDULE.id,
            table.scheduled_for >= since,
            table.scheduled_for < until,
        )

    taken, skip = models.DoseTaken, models.DoseSkip
    return (
        _SCHEDULE.id,
        _MEDICATION.id,
        models.CareRecipient.id,
        _MEDICATION.name,
        _MEDICATION.instructions,
        _SCHEDULE.dosage_notes,
        _SCHEDULE.recurrence,
        _SCHEDULE.time_of_day,
        _SCHEDULE.days_of_week,
        _SCHEDULE.timezone,
        models.CareRecipient.timezone,
        _SCHEDULE.start_date,
        _SCHEDULE.end_date,
        _MEDICATION.is_active,
        _MEDICATION.inactive_at,
        records(taken, taken.taken_at, taken.taken_by_user).alias("taken"),
        records(skip, skip.reason).alias("skipped"),
    )


AGENDA = agenda_columns(
    param("records_since", "timestamptz"), param("records_until", "timestamptz")
)
"""The same for a window that ``records_window`` binds."""


def records_window(since: datetime, until: datetime) -> dict[str, datetime]:
    """Bind the instants between which recorded rows may be of doses from *since* to *until*."""
    return {
        "records_since": _shifted(since, -RECORDS_AROUND),
        "records_until": _shifted(until, RECORDS_AROUND),
    }


def days_around(since: datetime, until: datetime) -> dict[str, date]:
    """Bind the local dates, of whatever zone, of doses due from *since* to *until*."""
    day = timedelta(days=1)
    return {
        "first_day": _shifted(since, -day).date(),
        "last_day": _shifted(until, day).date(),
    }


class Taken(NamedTuple):
    """A row of a dose taken."""

    scheduled_for: datetime
    taken_at: datetime
    taken_by_user_id: str


class Skipped(NamedTuple):
    """A row of a dose skipped."""

    scheduled_for: datetime
    reason: str | None


class Settled(NamedTuple):
    """What became of the doses of some local dates."""

    taken: dict[date, Taken]
    """The row of the dose itself."""
    moved: dict[date, Taken]
    """A row of the date at another time: the schedule has changed since, and the dose is taken."""
    skipped: dict[date, Skipped]

    def has(self, day: date) -> bool:
        """Say whether the dose of a local date is taken or skipped."""
        return day in self.taken or day in self.moved or day in self.skipped


_NOTHING = Settled({}, {}, {})


class _Plan(NamedTuple):
    recurrence: Recurrence
    time_of_day: time
    days_of_week: tuple[int, ...] | None
    start_date: date
    end_date: date | None


class Agenda:
    """One schedule as stored, with its records around a window.

    *row* has the columns ``AGENDA``. Raises ValidationError for a schedule that cannot be, or whose
    zone is unknown: the Node service may have written what we would refuse.
    """

    __slots__ = ("_follows_recipient", "_inactive_at", "_own", "_plan", "skips", "taken", "told")

    def __init__(self, row: Sequence[Any]) -> None:
        *told, recurrence, time_of_day, days, timezone, recipient_zone, start, end = row[:13]
        is_active, inactive_at, taken, skips = row[13:17]
        days = None if days is None else tuple(days)
        self._plan = _Plan(
            _RECURRENCES[recurrence], time.fromisoformat(time_of_day), days, start, end
        )
        zone = recipient_zone if timezone is None else timezone
        self._own = Timetable(self._plan, find_zone(zone))
        self._follows_recipient = timezone is None
        self.told: tuple[Any, ...] = (*told, *self._plan[:3], zone)
        """The first ten fields of each of its occurrences."""
        self._inactive_at = None if is_active else inactive_at or _LONG_AGO
        self.taken = [Taken(_instant(due), _instant(at), who) for due, at, who in taken or ()]
        self.skips = [Skipped(_instant(due), reason) for due, reason in skips or ()]

    def between(self, since: datetime, until: datetime) -> list[Due]:
        """List the doses due from *since* to before *until*; none after ``inactive_at``."""
        dues = self._own.between(since, until)
        if self._inactive_at is not None:
            return [due for due in dues if self.is_open(due.at)]
        return dues

    def is_open(self, instant: datetime) -> bool:
        """Say whether the medication is active, or was not yet inactive at *instant*."""
        return self._inactive_at is None or instant <= self._inactive_at

    def day_of(self, recorded: datetime) -> date | None:
        """Tell of which local date's dose *recorded* is the instant; None where of none.

        In the schedule's zone, and where it has none also in the one that the Node service takes.
        """
        day = self._own.day_of(recorded)
        if day is None and self._follows_recipient:
            day = self._by_node().day_of(recorded)
        return day

    def local_date(self, instant: datetime) -> date:
        """Give the date in the schedule's zone."""
        return instant.astimezone(self._own.zone).date()

    def instants_of(self, day: date) -> list[datetime]:
        """List the instants under which the dose of a local date may be recorded, ours first."""
        readings = [self._own, self._by_node()] if self._follows_recipient else [self._own]
        return list(dict.fromkeys(at for one in readings if (at := one.on(day)) is not None))

    def settle(self, dues: Sequence[Due]) -> Settled:
        """Find what was recorded of the doses of some dates."""
        settled = Settled({}, {}, {})
        days = {due.at: due.day for due in dues}
        others = []
        for row in self.taken:
            if (day := days.get(row.scheduled_for)) is not None:
                settled.taken[day] = row
            else:
                others.append(row)
        for skip in self.skips:
            for day in self._days_of(skip.scheduled_for):
                settled.skipped[day] = skip
        if len(settled.taken) < len(days):
            self._settle_others(settled, others)
        return settled

    def occurrences(self, since: datetime, until: datetime) -> list[DoseOccurrence]:
        """List the doses due from *since* to before *until*, each with what became of it."""
        dues = self.between(since, until)
        settled = self.settle(dues)
        return [self.occurrence(due, settled) for due in dues]

    def unsettled(self, since: datetime, until: datetime) -> list[DoseOccurrence]:
        """List the doses due from *since* to before *until* that are neither taken nor skipped."""
        dues = self.between(since, until)
        if not self.taken and not self.skips:
            return [self.occurrence(due, _NOTHING) for due in dues]
        settled = self.settle(dues)
        return [self.occurrence(due, settled) for due in dues if not settled.has(due.day)]

    def occurrence(self, due: Due, settled: Settled) -> DoseOccurrence:
        """Make the occurrence of a dose. A dose that was taken after it was skipped is taken."""
        day, at = due
        fate: tuple[Any, ...] = (DoseStatus.SCHEDULED, None, None, None)
        if taken := settled.taken.get(day) or settled.moved.get(day):
            fate = (DoseStatus.TAKEN, taken.taken_at, taken.taken_by_user_id, None)
        elif skip := settled.skipped.get(day):
            fate = (DoseStatus.SKIPPED, None, None, skip.reason)
        local_time = at.astimezone(self._own.zone).time()
        return DoseOccurrence._make((*self.told, at, day, local_time, *fate))

    def unmatched(self, since: datetime, until: datetime) -> list[Taken]:
        """List the rows from *since* to before *until* that are of none of the schedule's doses."""
        return [
            row
            for row in self.taken
            if since <= row.scheduled_for < until and self.day_of(row.scheduled_for) is None
        ]

    def _settle_others(self, settled: Settled, rows: Iterable[Taken]) -> None:
        for row in rows:
            day = self.day_of(row.scheduled_for)
            if day is not None:
                settled.taken.setdefault(day, row)
            else:
                for day in self._days_of(row.scheduled_for):
                    settled.moved[day] = row

    def _days_of(self, recorded: datetime) -> Iterator[date]:
        """Tell the local dates that a row settles: of its dose, else all that it may be of.

        One at a New York instant may be of before the schedule got its zone.
        """
        day = self.day_of(recorded)
        if day is not None:
            yield day
            return
        yield self.local_date(recorded)
        by_node = self._by_node().day_of(recorded)
        if by_node is not None:
            yield by_node

    def _by_node(self) -> Timetable:
        return Timetable(self._plan, find_zone(NODE_ZONE))


def agendas(rows: Iterable[Sequence[Any]]) -> Iterator[Agenda]:
    """Read agendas; a schedule that cannot be is logged once, with its id, and left out."""
    return (agenda for row in rows if (agenda := read_agenda(row)) is not None)


def read_agenda(row: Sequence[Any]) -> Agenda | None:
    """Read an agenda; a schedule that cannot be is logged once, and gives None."""
    try:
        return Agenda(row)
    except ValidationError as error:
        report_broken(row[0], error)
        return None


_reported: set[UUID] = set()


def report_broken(schedule_id: UUID, error: ValidationError) -> None:
    """Log a schedule that cannot be, the first time it is met."""
    if schedule_id not in _reported:
        _reported.add(schedule_id)
        logger.warning("schedule %s is left out: %s", schedule_id, error.message)


def _instant(text: str) -> datetime:
    """Read an instant of JSON; the session may have any zone."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _shifted(instant: datetime, by: timedelta) -> datetime:
    """Shift an instant, as far as the calendar goes."""
    try:
        return instant + by
    except OverflowError:
        return instant
