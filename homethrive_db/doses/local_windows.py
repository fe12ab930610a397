"""At which local times of day the doses of a window may lie: what SQL narrows by.

Wider than the window rather than too narrow: whether a dose is due, the recurrence says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from homethrive_db.errors import ValidationError
from homethrive_db.local_days import find_zone

_DAY = 24 * 60
_MINUTE = timedelta(minutes=1)
_WHOLE_DAY = (0, _DAY)

# A time that a clock change skips is read with the offset before it, and no change skips more than
# a day. No zone has ever changed its clock twice in so short a time.
_LONGEST_GAP = timedelta(hours=25)


class Segment(NamedTuple):
    """Schedules that a feed reads by index: those of one zone, at some local times of day."""

    zone: str | None
    """The schedules' own zone; None for those that follow their recipients'."""
    first: str
    """A time of day, inclusive."""
    last: str
    """A time of day, exclusive, up to 24:00."""
    recipient_zones: tuple[str, ...] | None = None
    """The zones of the recipients whose schedules without a zone these are."""


def segments(
    own: Iterable[str], followed: Iterable[str], since: datetime, until: datetime
) -> Iterator[Segment]:
    """Divide the schedules that may have doses from *since* to before *until*, in a fixed order.

    By zone, in Python's order of names, those without one last, then by time of day: whatever the
    window, what comes later sorts behind. *own* are the zones of schedules, *followed* those of
    recipients. A zone that is not known has any time of day, for its schedules to be reported.
    """
    for name in sorted(own):
        zone = _known(name)
        spans = [_WHOLE_DAY] if zone is None else local_minutes(zone, since, until)
        for span in spans:
            yield _segment(name, span)
    known = {name: zone for name in sorted(followed) if (zone := _known(name)) is not None}
    spans_of = {name: local_minutes(zone, since, until) for name, zone in known.items()}
    edges = sorted({edge for spans in spans_of.values() for span in spans for edge in span})
    for span in pairwise(edges):
        names = tuple(name for name, spans in spans_of.items() if _cover(spans, span))
        if names:
            yield _segment(None, span, names)
    if unknown := tuple(sorted(set(followed) - known.keys())):
        yield _segment(None, _WHOLE_DAY, unknown)


def local_minutes(zone: ZoneInfo, since: datetime, until: datetime) -> list[tuple[int, int]]:
    """List the spans of a local day that the window may touch: minutes, the last one exclusive."""
    if until - since >= _DAY * _MINUTE:
        return [_WHOLE_DAY]
    try:
        ends = (since - _LONGEST_GAP).astimezone(zone), until.astimezone(zone)
        offsets = {end.utcoffset() or timedelta() for end in ends}
        walls = [(since + offset, until + offset) for offset in offsets]
    except OverflowError:  # at an end of the calendar
        return [_WHOLE_DAY]
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


def _cover(spans: Iterable[tuple[int, int]], span: tuple[int, int]) -> bool:
    return any(first <= span[0] and span[1] <= last for first, last in spans)


def _segment(
    zone: str | None, span: tuple[int, int], recipient_zones: tuple[str, ...] | None = None
) -> Segment:
    first, last = map(_clock, span)
    return Segment(zone, first, last, recipient_zones)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _known(name: str) -> ZoneInfo | None:
    try:
        return find_zone(name)
    except ValidationError:
        return None
