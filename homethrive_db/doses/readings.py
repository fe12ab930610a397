"""The two readings of a schedule, and which local date a record is of.

Both services record doses in one table. The Node service reads a schedule without a zone in New
York's, whatever the recipient's: a row at the New York instant of a local date is the dose of that
date, too, so that nobody is given a second one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from homethrive_db.doses.recurrence import Recurring, Timetable
from homethrive_db.errors import ValidationError
from homethrive_db.local_days import NODE_ZONE, beginning, find_zone


def by_node(own: Timetable) -> Timetable:
    """Give the timetable that the Node service reads where the schedule has no zone."""
    return own.in_zone(find_zone(NODE_ZONE))


def day_by_node(own: Timetable, recorded: datetime) -> date | None:
    """Tell of which date's dose *recorded* is the instant in New York.

    Of none that the schedule's own zone skips: there is no such dose.
    """
    day = by_node(own).day_of(recorded)
    return None if day is None or own.on(day) is None else day


def day_settled_by(own: Timetable, recorded: datetime) -> date:
    """Tell of which local date a record is: of one only, whatever has changed since.

    Of the date that it is a dose of, be it in New York, of before the schedule got its zone; else
    of the date it was due in the schedule's zone: then the schedule had another time.
    """
    day = own.day_of(recorded) or day_by_node(own, recorded)
    return recorded.astimezone(own.rhythm.zone).date() if day is None else day


class RecordsSince(NamedTuple):
    """Which records of a schedule are of some local date or a later one."""

    begins: datetime
    """Those from then on,"""
    earlier: list[datetime]
    """but for those at these instants, which are of dates before,"""
    later: list[datetime]
    """and with those at these, which lie before."""


def records_since(day: date, schedule: Recurring, zone: str) -> RecordsSince:
    """Tell which records of a schedule are of *day* or a later date, read in *zone*.

    Where the zone is unknown, or the schedule cannot be: all that may be.
    """
    begins, own = beginning(day, zone), _timetable(schedule, zone)
    if own is None:
        return RecordsSince(min(begins, beginning(day, NODE_ZONE)), [], [])
    days = {at: day_settled_by(own, at) for at in _instants_around(day, own)}
    return RecordsSince(
        begins,
        [at for at, one in days.items() if at >= begins and one < day],
        [at for at, one in days.items() if at < begins and one >= day],
    )


def _timetable(schedule: Recurring, zone: str) -> Timetable | None:
    try:
        return Timetable.of(schedule, find_zone(zone))
    except ValidationError:
        return None


def _instants_around(day: date, own: Timetable) -> Iterator[datetime]:
    """Give when the doses of the dates next to *day* are due, in both readings."""
    first, last = max(1, day.toordinal() - 2), min(date.max.toordinal(), day.toordinal() + 2)
    for one in map(date.fromordinal, range(first, last + 1)):
        dues = (own.on(one), by_node(own).on(one))
        yield from (due.at for due in dues if due is not None)
