"""Schedules without a zone of their own, by the zones of the recipients whom they follow.

The index does not know those zones. A look-up for each schedule of a time of day that is in the
window somewhere on earth costs more than reading all: PostgreSQL chooses, by how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge

from peewee import Select, Tuple, fn

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.doses.feed_places import Position, behind
from homethrive_db.doses.feed_window import FeedWindow, conditions
from homethrive_db.doses.local_windows import Span, local_spans, minutes_of
from homethrive_db.local_days import known_zone
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    input_rows,
    param,
    portions,
    statement,
)

PLACES_AT_ONCE = 20_000
"""How many places one statement reads, and are held of it."""

_MOST_MINUTES = 400
"""With more of them than that, the times of day narrow little."""

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication
_RECIPIENT = models.CareRecipient


def _places(*, is_sharded: bool) -> Statement:
    """Select where the next schedules are that are set for one of their recipient's spans."""
    spans = input_rows("spans", zone="text", first="text", last="text")
    clock, minutes = _SCHEDULE.time_of_day, param("minutes", "text[]")
    query = (
        Select((spans,), (clock, _SCHEDULE.id))
        .join(_RECIPIENT, on=_RECIPIENT.timezone == spans.c.zone)
        .join(_MEDICATION, on=_MEDICATION.recipient == _RECIPIENT.id)
        .join(_SCHEDULE, on=_SCHEDULE.medication == _MEDICATION.id)
        .where(
            _SCHEDULE.timezone.is_null(),
            clock >= spans.c.first,
            clock < spans.c.last,
            minutes.is_null() | (clock == fn.ANY(minutes)),
            Tuple(clock, _SCHEDULE.id) >= Tuple(param("from_time"), param("from_id", "uuid")),
            *conditions(is_sharded=is_sharded),
        )
    )
    return statement(query.order_by(clock, _SCHEDULE.id).limit(param("limit")).with_cte(spans))


_PLACES = {is_sharded: _places(is_sharded=is_sharded) for is_sharded in (False, True)}


def follower_places(
    db: Database, window: FeedWindow, zones: Sequence[str], start: Position
) -> Iterator[Position]:
    """Give the places of the schedules that may have doses in the window, in their order.

    *zones* are those of recipients. One statement for 20,000, and one more where a zone is not
    known; behind a proxy, as many as it takes.
    """
    # Apart: their whole day would have all times of day read for the known ones, too.
    unknown = {zone for zone in zones if known_zone(zone) is None}
    places = _PLACES[window.shard is not None]
    streams = [
        _stream(db, places, window, portion, start)
        for some in (set(zones) - unknown, unknown)
        for portion in portions(
            db,
            places,
            local_spans(some, window.since, window.until),
            lambda span: array_bytes(*span),
        )
        if portion
    ]
    return merge(*streams)


def _stream(
    db: Database, places: Statement, window: FeedWindow, spans: Sequence[Span], start: Position
) -> Iterator[Position]:
    minutes = minutes_of(spans)
    values = window.values() | {
        "zone": array(one.zone for one in spans),
        "first": array(one.first for one in spans),
        "last": array(one.last for one in spans),
        "minutes": None if len(minutes) > _MOST_MINUTES else "{" + ",".join(minutes) + "}",
        "limit": PLACES_AT_ONCE,
    }
    while True:
        values |= {"from_time": start.time_of_day, "from_id": start.schedule_id}
        rows = db.rows(places, values)
        yield from (Position(*row) for row in rows)
        if len(rows) < PLACES_AT_ONCE:
            return
        start = behind(Position(*rows[-1]))
