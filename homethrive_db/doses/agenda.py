"""The agenda of a schedule: its doses in a window, and which recorded rows are of which of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from homethrive_db import validation
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.doses.readings import by_node, day_by_node, day_settled_by
from homethrive_db.doses.records import Settled, Taken, pick, read_skips, read_taken
from homethrive_db.doses.recurrence import Due, Rhythm, Timetable
from homethrive_db.doses.stored_dates import read_date, read_instant
from homethrive_db.enums import DoseStatus, Recurrence
from homethrive_db.errors import ValidationError
from homethrive_db.local_days import find_zone
from homethrive_db.named_tuples import make

_logger = logging.getLogger(__name__)

_SCHEDULED = (DoseStatus.SCHEDULED, None, None, None)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_RECURRENCES = {str(one): one for one in Recurrence}


@lru_cache(8_192)
def _pattern(
    recurrence: str, time_of_day: str, days: tuple[int, ...] | None, zone: str
) -> tuple[Rhythm, tuple[Recurrence, time, tuple[int, ...] | None, str]]:
    """Read what many schedules have in common: their rhythm, and what their occurrences tell."""
    kind = _RECURRENCES[recurrence]
    checked = None if days is None else validation.days_of_week(days)
    validation.schedule_days(kind, checked)
    clock = time.fromisoformat(time_of_day)
    return Rhythm(find_zone(zone), clock, checked), (kind, clock, checked, zone)


class Agenda:
    """One schedule as stored, with its records around a window.

    *row* has ``SCHEDULE_COLUMNS``, then ``RECIPIENT_ZONE``. Raises ValidationError for a
    schedule that cannot be, or whose zone is unknown: the Node service may have written what we
    would refuse.
    """

    __slots__ = ("_follows_recipient", "_inactive_at", "_own", "skips", "taken", "told")

    def __init__(self, row: Sequence[Any]) -> None:
        recurrence, time_of_day, days, timezone, start, end = row[6:12]
        is_active, inactive_at, taken, skips, recipient_zone = row[12:]
        zone = recipient_zone if timezone is None else timezone
        weekdays = None if days is None else tuple(days)
        try:
            rhythm, pattern = _pattern(recurrence, time_of_day, weekdays, zone)
        except TypeError:  # an array of arrays is no key
            raise validation.wrong_days() from None
        end_date = None if end is None else read_date(end)
        self._own = Timetable.dated(rhythm, read_date(start), end_date)
        self._follows_recipient = timezone is None
        self.told: tuple[Any, ...] = (*row[:6], *pattern)
        """The first ten fields of each of its occurrences."""
        self._inactive_at: datetime | None = None
        if not is_active:
            self._inactive_at = _LONG_AGO if inactive_at is None else read_instant(inactive_at)
        self.taken = read_taken(taken) if taken else []
        """The rows of doses taken around the window."""
        self.skips = read_skips(skips) if skips else []
        """Those of doses skipped."""

    def between(self, since: datetime, until: datetime) -> Sequence[Due]:
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
            day = day_by_node(self._own, recorded)
        return day

    def due_settled_by(self, recorded: datetime) -> Due:
        """Give the dose of the date that a record is of; at its own instant where none is left."""
        day = day_settled_by(self._own, recorded)
        left = Due(recorded, day, recorded.astimezone(self._own.rhythm.zone).time())
        return self._own.on(day) or left

    def instants_of(self, day: date) -> list[datetime]:
        """List the instants under which the dose of a local date may be recorded, ours first."""
        own = self._own.on(day)
        if own is None:
            return []
        node = by_node(self._own).on(day) if self._follows_recipient else None
        return [own.at] if node is None or node.at == own.at else [own.at, node.at]

    def recorded_at(self, day: date) -> list[datetime]:
        """List the instants of the records that are of a local date."""
        recorded = {row.scheduled_for for row in self.taken}
        recorded |= {row.scheduled_for for row in self.skips}
        return sorted(at for at in recorded if day_settled_by(self._own, at) == day)

    def settle(self, dues: Sequence[Due]) -> Settled:
        """Find what was recorded of the doses of some dates."""
        settled = Settled({}, {}, {})
        others = pick(self.taken, dues, settled.taken)
        if len(settled.taken) < len(dues):
            for row in others:
                day = self.day_of(row.scheduled_for)
                if day is not None:
                    settled.taken.setdefault(day, row)
                else:
                    settled.moved.setdefault(day_settled_by(self._own, row.scheduled_for), row)
        for skip in pick(self.skips, dues, settled.skipped) if self.skips else ():
            settled.skipped.setdefault(day_settled_by(self._own, skip.scheduled_for), skip)
        return settled

    def occurrences(self, since: datetime, until: datetime) -> list[DoseOccurrence]:
        """List the doses due from *since* to before *until*, each with what became of it."""
        dues = self.between(since, until)
        return self.told_of(dues, self.settle(dues))

    def told_of(self, dues: Iterable[Due], settled: Settled) -> list[DoseOccurrence]:
        """Make the occurrences of doses."""
        told, fates = self.told, settled.fates()
        return [make(DoseOccurrence, told + due + fates.get(due[1], _SCHEDULED)) for due in dues]

    def unsettled(self, since: datetime, until: datetime) -> list[DoseOccurrence]:
        """List the doses due from *since* to before *until* that are neither taken nor skipped."""
        dues = self.between(since, until)
        recorded = self.settle(dues).days() if self.taken or self.skips else ()
        return [
            make(DoseOccurrence, self.told + due + _SCHEDULED)
            for due in dues
            if due.day not in recorded
        ]

    def unmatched(self, since: datetime, until: datetime) -> list[Taken]:
        """List the rows from *since* to before *until* that are of none of the schedule's doses.

        After ``inactive_at`` there is none.
        """
        return [
            row
            for row in self.taken
            if since <= row.scheduled_for < until and not self._is_dose(row.scheduled_for)
        ]

    def _is_dose(self, recorded: datetime) -> bool:
        due = None if (day := self.day_of(recorded)) is None else self._own.on(day)
        return due is not None and self.is_open(due.at)


def agendas(rows: Iterable[Sequence[Any]]) -> Iterator[Agenda]:
    """Read agendas; a schedule that cannot be is logged once, with its id, and left out."""
    return (agenda for row in rows if (agenda := read_agenda(row)) is not None)


def read_agenda(row: Sequence[Any]) -> Agenda | None:
    """Read an agenda; a schedule that cannot be is logged once, and gives None."""
    try:
        return Agenda(row)
    except ValidationError as error:
        _report(row[0], error.message)
        return None


@cache
def _report(schedule_id: UUID, why: str) -> None:
    """Log a schedule that cannot be; once, since it is met at each pass."""
    _logger.warning("schedule %s is left out: %s", schedule_id, why)
