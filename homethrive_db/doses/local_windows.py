"""At which local times of day the doses of a window may lie: what SQL narrows by.

Wider than the window rather than too narrow: whether a dose is due, the recurrence says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from homethrive_db.local_days import known_zone

_DAY = 24 * 60
_MINUTE = timedelta(minutes=1)
_DAY_LONG = (0, _DAY)
_CLOCK = [f"{minute // 60:02}:{minute % 60:02}" for minute in range(_DAY + 1)]

# A time that a clock change skips is read with the offset before it, and no change skips more than
# a day. No zone has ever changed its clock twice in so short a time.
_LONGEST_GAP = timedelta(hours=25)


class Span(NamedTuple):
    """A stretch of the local times of day in a zone."""

    zone: str | None
    """None for the schedules that follow their recipients', whatever those are."""
    first: str
    """Inclusive."""
    last: str
    """Exclusive, up to 24:00."""


WHOLE_DAY = Span(None, "00:00", "24:00")
"""All schedules that follow their recipients' zones."""


def local_spans(zones: Iterable[str], since: datetime, until: datetime) -> list[Span]:
    """List when doses due from *since* to before *until* may be set for, zone by zone.

    In Python's order of names, then by time. A zone that is not known has the whole day, for its
    schedules to be reported.
    """
    spans = []
    for name in sorted(zones):
        zone = known_zone(name)
        minutes = [_DAY_LONG] if zone is None else local_minutes(zone, since, until)
        spans += [Span(name, _CLOCK[first], _CLOCK[last]) for first, last in minutes]
    return spans


def minutes_of(spans: Iterable[Span]) -> list[str]:
    """List the times of day, by the minute, that are in any of the spans."""
    found = {(first, last) for _, first, last in spans}
    return [one for one in _CLOCK if any(first <= one < last for first, last in found)]


def local_minutes(zone: ZoneInfo, since: datetime, until: datetime) -> list[tuple[int, int]]:
    """List the spans of a local day that the window may touch: minutes, the last one exclusive."""
    if until - since >= _DAY * _MINUTE:
        return [_DAY_LONG]
    try:
        ends = (since - _LONGEST_GAP).astimezone(zone), until.astimezone(zone)
        offsets = {end.utcoffset() or timedelta() for end in ends}
        walls = [(since + offset, until + offset) for offset in offsets]
    except OverflowError:  # at an end of the calendar
        return [_DAY_LONG]
    return _merged(span for start, end in walls for span in _spans(start, end))


def _spans(start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
    """Give the whole minutes from *start* to before *end*, cut at midnight."""
    midnight = datetime.combine(start, time(), start.tzinfo)
    first, last = (-((midnight - one) // _MINUTE) for one in (start, end))
    yield first, min(last, _DAY)
    yield max(first - _DAY, 0), last - _DAY


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(span for span in spans if span[0] < span[1]):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
