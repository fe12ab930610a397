"""When the doses of a schedule are due: the one place where local times become instants.

Zone data and clock changes are those of Python's zoneinfo. A local time that a clock change skips
moves forward by the gap, one that happens twice means the earlier instant, and a local date that
does not exist (Pacific/Apia, 2011-12-30) has no dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from homethrive_db import validation
from homethrive_db.enums import Recurrence
from homethrive_db.errors import ValidationError
from homethrive_db.local_days import find_zone
from homethrive_db.named_tuples import make

_A_DAY = timedelta(days=1)

# The first and the last date of the calendar have no dose: in UTC it may be outside of it.
_FIRST_DAY, _LAST_DAY = date.min + _A_DAY, date.max - _A_DAY

# Of longer windows nothing is kept: it would fill the memory.
_KEPT_DAYS = 10

_LAST_OF_DAY = time.max.replace(fold=1)


class Recurring(Protocol):
    """What a schedule must have; ``MedicationSchedule`` and ``NewSchedule`` do."""

    @property
    def recurrence(self) -> Recurrence:
        """Daily or weekly."""

    @property
    def time_of_day(self) -> time:
        """The local time, in whole minutes."""

    @property
    def days_of_week(self) -> tuple[int, ...] | None:
        """The ISO days of a weekly schedule, 1 Monday to 7 Sunday; None for a daily one."""

    @property
    def start_date(self) -> date:
        """The first local date."""

    @property
    def end_date(self) -> date | None:
        """The last local date; None for no end."""


class Due(NamedTuple):
    """A dose of a schedule."""

    at: datetime
    """The instant, in UTC."""
    day: date
    """The local date it counts for."""
    local_time: time
    """What the clock shows at the instant."""


class Rhythm(NamedTuple):
    """The local times of a schedule, read in one zone, whatever its dates."""

    zone: ZoneInfo
    clock: time
    """Of a fold of 0."""
    days_of_week: tuple[int, ...] | None


class Timetable(NamedTuple):
    """When the doses of one schedule are due, its local times read in one zone.

    A dose that a clock change moves past midnight counts for the date it was set for.
    """

    rhythm: Rhythm
    first: date
    last: date

    @classmethod
    def of(cls, schedule: Recurring, zone: ZoneInfo) -> Timetable:
        """Make that of a schedule.

        Raises ValidationError for one that cannot be: weekly without days, or ending before its
        start.
        """
        # The table takes a weekly schedule with '{}', and a model has a list.
        days = tuple(schedule.days_of_week or ()) or None
        validation.schedule_days(schedule.recurrence, days)
        rhythm = Rhythm(zone, schedule.time_of_day.replace(fold=0), days)
        return cls.dated(rhythm, schedule.start_date, schedule.end_date)

    @classmethod
    def dated(cls, rhythm: Rhythm, start: date, end: date | None) -> Timetable:
        """Make one of some dates. Raises ValidationError for an end before the start."""
        validation.schedule_dates(start, end)
        last = _LAST_DAY if end is None else min(end, _LAST_DAY)
        return make(cls, (rhythm, max(start, _FIRST_DAY), last))

    def in_zone(self, zone: ZoneInfo) -> Timetable:
        """Give that of the same local times in another zone."""
        _, clock, days = self.rhythm
        return make(Timetable, (make(Rhythm, (zone, clock, days)), self.first, self.last))

    def between(self, since: datetime, until: datetime) -> Sequence[Due]:
        """List the doses from *since* (inclusive) to *until* (exclusive), both in UTC, in order.

        The cost is that of the window, however long ago the schedule began.
        """
        rhythm, first, last = self
        if until - since > _A_DAY:
            return _dues(rhythm, since, until, first, last)
        dues = _kept_dues(rhythm, since, until)
        if not dues or (first <= dues[0].day and dues[-1].day <= last):
            return dues
        return [due for due in dues if first <= due.day <= last]

    def on(self, day: date) -> Due | None:
        """Give the dose of a local date; None where that has none."""
        (zone, clock, days), first, last = self
        if not first <= day <= last or (days is not None and day.isoweekday() not in days):
            return None
        return _due(zone, clock, day)

    def day_of(self, instant: datetime) -> date | None:
        """Tell of which local date's dose *instant* is the time; None where of none."""
        try:
            day = instant.astimezone(self.rhythm.zone).date()
            days = (day, day - _A_DAY)  # a clock change may have moved it past midnight
        except OverflowError:  # at the ends of the calendar, where nothing is due
            return None
        dues = map(self.on, days)
        return next((due.day for due in dues if due is not None and due.at == instant), None)


def _dues(
    rhythm: Rhythm,
    since: datetime,
    until: datetime,
    first: date = _FIRST_DAY,
    last: date = _LAST_DAY,
) -> tuple[Due, ...]:
    """List the doses of a window, of the dates from *first* to *last*.

    A zone is less than a day off UTC, so it is enough to read the local time as if it were UTC and
    to widen the window by a day on both sides.
    """
    zone, clock, days = rhythm
    lowest = max(since.toordinal() - (clock > since.time()), first.toordinal())
    highest = min(until.toordinal() + (clock < until.time()), last.toordinal())
    daily = _kept_daily if highest - lowest <= _KEPT_DAYS else _daily
    dues = daily(zone, clock, lowest, highest)
    begin, end = 0, len(dues)  # they are in their order: no clock change takes more than a day
    while begin < end and dues[begin][0] < since:
        begin += 1
    while begin < end and dues[end - 1][0] >= until:
        end -= 1
    inside = dues[begin:end]
    if days is not None:
        return tuple(due for due in inside if due[1].isoweekday() in days)
    return inside


_kept_dues = lru_cache(8_192)(_dues)  # a worker asks the same of many schedules


def _daily(zone: ZoneInfo, clock: time, first: int, last: int) -> tuple[Due, ...]:
    """List the doses of every date, by ordinals."""
    days = map(date.fromordinal, range(first, last + 1))
    return tuple(due for day in days if (due := _due(zone, clock, day)) is not None)


_kept_daily = lru_cache(4_096)(_daily)


def _due(zone: ZoneInfo, clock: time, day: date) -> Due | None:
    """Compute the dose of a local date; None where the zone skipped the date as a whole."""
    offset = _offset_of(zone, day)
    if offset is not None:
        return make(Due, (datetime.combine(day, clock, UTC) - offset, day, clock))
    at = datetime.combine(day, clock, zone).astimezone(UTC)
    shown = at.astimezone(zone)
    if shown.date() != day:
        # Of a date that was skipped, even the midnight moves to another.
        midnight = datetime.combine(day, time.min, zone).astimezone(UTC)
        if midnight.astimezone(zone).date() != day:
            return None
    return Due(at, day, shown.time())


@lru_cache(8_192)
def _offset_of(zone: ZoneInfo, day: date) -> timedelta | None:
    """Give the offset from UTC of a local date; None where the clock changes on it.

    No zone has ever changed its clock twice on one date. What a change skips or repeats has at its
    beginning the offset of before, and at its end, read as the later of two, that of after.
    """
    first = datetime.combine(day, time.min, zone).utcoffset()
    last = datetime.combine(day, _LAST_OF_DAY, zone).utcoffset()
    return first if first == last else None


def occurrences(
    schedule: Recurring, zone: ZoneInfo | str, start: datetime, end: datetime
) -> list[datetime]:
    """List the instants from *start* (inclusive) to *end* (exclusive) at which a dose is due.

    In UTC, in their order. *zone* is the effective one, the schedule's or else the recipient's; a
    name must be one of IANA.

    Raises ValidationError for a naive instant, for *start* after *end*, for a zone that is not
    known, and for a schedule that cannot be: weekly without days, or ending before its start.
    """
    since, until = validation.window(start, end)
    place = zone if isinstance(zone, ZoneInfo) else find_zone(validation.text(zone, "zone"))
    try:
        return [due.at for due in Timetable.of(schedule, place).between(since, until)]
    except (AttributeError, TypeError):
        came = type(schedule).__name__
        raise ValidationError.of("schedule", f"a schedule expected, {came} came") from None
