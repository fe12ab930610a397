"""A feed by zone and local time of day: for short windows, which the index narrows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from peewee import SQL, Select, Tuple, fn

from homethrive_db import models
from homethrive_db.database import Database, Row
from homethrive_db.doses.agenda_rows import ID_AT, SCHEDULE_COLUMNS, TIME_OF_DAY_AT
from homethrive_db.doses.feed_followers import follower_places
from homethrive_db.doses.feed_places import ClockPlace, Position, behind, start_of
from homethrive_db.doses.feed_window import FeedWindow, conditions
from homethrive_db.doses.local_windows import WHOLE_DAY, Span, local_spans
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    input_rows,
    param,
    portions,
    statement,
)

_PAGE_LIMIT = 1_000
"""A larger page PostgreSQL would read with parallel workers, whose start costs more than they
save."""

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication
_RECIPIENT = models.CareRecipient


def _zones() -> Statement:
    """Select the zones of schedules, and those of recipients where some schedule follows them.

    Of the index one entry a zone is read.
    """
    own: Any = _SCHEDULE.alias("own")
    first = own.select(fn.MIN(own.timezone)).cte("zones", recursive=True, columns=("zone",))
    following = own.select(fn.MIN(own.timezone)).where(own.timezone > first.c.zone)
    zones = first.union_all(Select((first,), (following,)).where(first.c.zone.is_null(False)))
    followed = (
        _RECIPIENT.select(_RECIPIENT.timezone, SQL("true"))
        .distinct()
        .where(fn.EXISTS(_SCHEDULE.select(SQL("1")).where(_SCHEDULE.timezone.is_null())))
    )
    owned = Select((zones,), (zones.c.zone, SQL("false"))).where(zones.c.zone.is_null(False))
    return statement(owned.union_all(followed).with_cte(zones))


_ZONES = _zones()


def _page(*, is_sharded: bool) -> Statement:
    """Select the next schedules of a span."""
    place = (_SCHEDULE.time_of_day, _SCHEDULE.id)
    return statement(
        _SCHEDULE.select(*SCHEDULE_COLUMNS)
        .join(_MEDICATION, on=_SCHEDULE.medication == _MEDICATION.id)
        .where(
            _SCHEDULE.timezone == param("zone"),
            _SCHEDULE.time_of_day < param("until_time"),
            # No bound of the time by itself: it would be counted as one more, so that PostgreSQL
            # expects few rows late in a span, and sorts all that are left for each page.
            Tuple(*place) >= Tuple(param("from_time"), param("from_id", "uuid")),
            *conditions(is_sharded=is_sharded),
        )
        .order_by(*place)
        .limit(param("limit"))
    )


_PAGES = {is_sharded: _page(is_sharded=is_sharded) for is_sharded in (False, True)}


def _page_of() -> Statement:
    """Select schedules by their places; one that has moved meanwhile is not there."""
    page = input_rows("page", time_of_day="text", id="uuid")
    is_there = _SCHEDULE.timezone.is_null() & (_SCHEDULE.time_of_day == page.c.time_of_day)
    return statement(
        Select((page,), SCHEDULE_COLUMNS)
        .join(_SCHEDULE, on=_SCHEDULE.id == page.c.id)
        .join(_MEDICATION, on=_SCHEDULE.medication == _MEDICATION.id)
        .where(is_there)
        .order_by(page.c.position)
        .with_cte(page)
    )


_PAGE_OF = _page_of()


def clock_pages(
    db: Database, window: FeedWindow, after: ClockPlace | None, limit: int
) -> Iterator[list[Row]]:
    """Read the schedules that may have doses in the window, from a place on, page by page."""
    limit = min(limit, _PAGE_LIMIT)
    own, followed = _zones_in_use(db)
    for span in local_spans(own, window.since, window.until):
        yield from _span_pages(db, window, span, start_of(span, after), limit)
    start = start_of(WHOLE_DAY, after)
    if followed and start:
        places = follower_places(db, window, followed, start)
        while page := list(islice(places, limit)):
            for portion in portions(db, _PAGE_OF, page, lambda place: array_bytes(*place)):
                yield _read_places(db, window, portion)


def _zones_in_use(db: Database) -> tuple[list[str], list[str]]:
    """List the zones that schedules have, and those of recipients that some schedule follows."""
    own: list[str] = []
    followed: list[str] = []
    for zone, is_followed in db.rows(_ZONES, {}):
        (followed if is_followed else own).append(zone)
    return own, followed


def _span_pages(
    db: Database, window: FeedWindow, span: Span, start: Position | None, limit: int
) -> Iterator[list[Row]]:
    page = _PAGES[window.shard is not None]
    values = window.values() | {"zone": span.zone, "until_time": span.last, "limit": limit}
    while start is not None:
        values |= {"from_time": start.time_of_day, "from_id": start.schedule_id}
        rows = db.rows(page, values)
        yield rows
        is_last = len(rows) < limit
        start = None if is_last else behind(Position(rows[-1][TIME_OF_DAY_AT], rows[-1][ID_AT]))


def _read_places(db: Database, window: FeedWindow, places: Sequence[Position]) -> list[Row]:
    values = window.values() | {
        "time_of_day": array(one.time_of_day for one in places),
        "id": array(one.schedule_id for one in places),
    }
    return db.rows(_PAGE_OF, values)
