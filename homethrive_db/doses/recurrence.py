"""When the doses of a schedule are due: the one place where local times become instants.

Zone data and clock changes are those of Python's zoneinfo. A local time that a clock change skips
moves forward by the gap, one that happens twice means the earlier instant, and a local date that
does not exist (Pacific/Apia, 2011-12-30) has no dose.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import cache
from typing import Protocol
from zoneinfo import ZoneInfo

from homethrive_db import validation
from homethrive_db.enums import Recurrence

# The first and the last date of the calendar have no dose: in UTC it may be outside of it.
_FIRST_DAY = date.min.toordinal() + 1
_LAST_DAY = date.max.toordinal() - 1


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


def occurrences(
    schedule: Recurring, zone: ZoneInfo | str, start: datetime, end: datetime
) -> list[datetime]:
    """List the instants from *start* (inclusive) to *end* (exclusive) at which a dose is due.

    In UTC, in their order. *zone* is the effective one, the schedule's or else the recipient's; a
    name must be one of IANA. A dose that a clock change moves past midnight counts for the date it
    was set for. The cost is that of the window, however long ago the schedule began.

    Raises ValidationError for a naive instant, for *start* after *end*, for a zone that is not
    known, and for a schedule that cannot be: weekly without days, or ending before its start.
    """
    since, until = validation.window(start, end)
    days = schedule.days_of_week or None  # the table takes a weekly schedule with '{}'
    validation.schedule_days(schedule.recurrence, days)
    validation.schedule_dates(schedule.start_date, schedule.end_date)
    place = zone if isinstance(zone, ZoneInfo) else _find_zone(validation.text(zone, "zone"))
    clock = schedule.time_of_day.replace(tzinfo=place, fold=0)
    found = []
    for number in _days(schedule, since, until):
        day = date.fromordinal(number)
        if days is None or day.isoweekday() in days:
            due = datetime.combine(day, clock).astimezone(UTC)
            if since <= due < until and _is_on(day, due, place):
                found.append(due)
    return found


def _days(schedule: Recurring, since: datetime, until: datetime) -> range:
    """Give the ordinals of the dates whose dose may be due from *since* to *until*.

    A zone is less than a day off UTC, so it is enough to read the local time as if it were UTC and
    to widen the window by a day on both sides.
    """
    clock = schedule.time_of_day
    first = max(since.toordinal() - (clock > since.time()), schedule.start_date.toordinal())
    last = until.toordinal() + (clock < until.time())
    if schedule.end_date is not None:
        last = min(last, schedule.end_date.toordinal())
    return range(max(first, _FIRST_DAY), min(last, _LAST_DAY) + 1)


def _is_on(day: date, due: datetime, zone: ZoneInfo) -> bool:
    """Tell whether *due*, computed for *day*, is a dose of it.

    It is not where the date was skipped as a whole, so that even midnight moves to another one.
    """
    if due.astimezone(zone).date() == day:
        return True
    midnight = datetime.combine(day, time.min, zone).astimezone(UTC)
    return midnight.astimezone(zone).date() == day


@cache
def _find_zone(name: str) -> ZoneInfo:
    """Find a zone; zoneinfo's own cache is sure of eight only."""
    return ZoneInfo(validation.zone(name, "zone"))
