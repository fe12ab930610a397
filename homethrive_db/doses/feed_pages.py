"""The pages of a feed: schedules that may have doses in a window, read by an index in its order."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from peewee import SQL, Expression, Select, Tuple, fn

from homethrive_db import models
from homethrive_db.database import Database, Row
from homethrive_db.doses.agenda import AGENDA, days_around, records_window
from homethrive_db.doses.feed_cursor import Cursor, Position, behind, start_of
from homethrive_db.doses.local_windows import Segment, segments
from homethrive_db.statements import Statement, array, array_bytes, param, statement

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication
_RECIPIENT = models.CareRecipient

_ZONES_BYTES = 4_000
"""What the zones of recipients may take of a statement; with more, their filter is left out."""


class Shard(NamedTuple):
    """Some of the recipients: those whose number, modulo *of*, is *number*."""

    number: int
    of: int


class FeedWindow(NamedTuple):
    """What a feed is asked for: doses from *since* to before *until*, of all or some recipients."""

    since: datetime
    until: datetime
    shard: Shard | None


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


def _is_wanted(*, follows: bool, is_sharded: bool) -> Any:
    """Hold for schedules of the recipients asked for, whose medication was active by the window.

    A scalar subquery and not a join, so that PostgreSQL looks it up for one schedule after the
    other: it would rather read all recipients and sort.
    """
    is_wanted = _MEDICATION.is_active | (_MEDICATION.inactive_at >= param("since", "timestamptz"))
    if follows:
        zones = param("zones", "text[]")
        is_wanted &= zones.is_null() | (_RECIPIENT.timezone == fn.ANY(zones))
    if is_sharded:
        uuid = fn.uuid_send(_RECIPIENT.id)  # a random one: its last two bytes are a fair number
        number = fn.get_byte(uuid, 14) * 256 + fn.get_byte(uuid, 15)
        is_wanted &= fn.MOD(number, param("shard_of", "int")) == param("shard_number", "int")
    found = _MEDICATION.select(is_wanted).where(_MEDICATION.id == _SCHEDULE.medication)
    if follows or is_sharded:
        found = found.join(_RECIPIENT, on=_MEDICATION.recipient == _RECIPIENT.id)
    return found


def _page(*, follows: bool, is_sharded: bool) -> Statement:
    """Select the next schedules of a segment whose dates, days and medication fit the window.

    One that cannot be passes too, to be reported.
    """
    days = _SCHEDULE.days_of_week
    fits_dates = (_SCHEDULE.start_date <= param("last_day", "date")) & (
        _SCHEDULE.end_date.is_null() | (_SCHEDULE.end_date >= param("first_day", "date"))
    )
    fits_days = days.is_null() | Expression(days, "&&", param("days", "smallint[]"))
    page = (
        _SCHEDULE.select(_SCHEDULE.id)
        .where(
            _SCHEDULE.timezone.is_null() if follows else _SCHEDULE.timezone == param("zone"),
            _SCHEDULE.time_of_day >= param("from_time"),
            _SCHEDULE.time_of_day < param("until_time"),
            Tuple(_SCHEDULE.time_of_day, _SCHEDULE.id)
            >= Tuple(param("from_time"), param("from_id", "uuid")),
            fits_dates | (_SCHEDULE.end_date < _SCHEDULE.start_date),
            fits_days | (days == SQL("'{}'")),
            _is_wanted(follows=follows, is_sharded=is_sharded),
        )
        .order_by(_SCHEDULE.time_of_day, _SCHEDULE.id)
        .limit(param("limit"))
        .alias("page")
    )
    return statement(
        Select((page,), (*AGENDA, _RECIPIENT.display_name))
        .join(_SCHEDULE, on=_SCHEDULE.id == page.c.id)
        .join(_MEDICATION, on=_SCHEDULE.medication == _MEDICATION.id)
        .join(_RECIPIENT, on=_MEDICATION.recipient == _RECIPIENT.id)
        .order_by(_SCHEDULE.time_of_day, _SCHEDULE.id)
    )


_PAGES = {
    (follows, is_sharded): _page(follows=follows, is_sharded=is_sharded)
    for follows in (False, True)
    for is_sharded in (False, True)
}

ID, TIME_OF_DAY, ZONE = (
    next(place for place, one in enumerate(AGENDA) if one is column)  # == makes an expression
    for column in (_SCHEDULE.id, _SCHEDULE.time_of_day, _SCHEDULE.timezone)
)
"""Where a row has the key of the feed's order."""


def zones_in_use(db: Database) -> tuple[list[str], list[str]]:
    """List the zones that schedules have, and those of recipients that some schedule follows."""
    own: list[str] = []
    followed: list[str] = []
    for zone, is_followed in db.rows(_ZONES, {}):
        (followed if is_followed else own).append(zone)
    return own, followed


def read_pages(
    db: Database, window: FeedWindow, after: Cursor | None, page_size: int
) -> Iterator[list[Row]]:
    """Read the schedules that may have doses in the window, behind a cursor, page by page.

    The rows are those of an agenda, and the recipient's display name.
    """
    if window.since >= window.until:
        return
    limit = max(1, page_size // ((window.until - window.since).days or 1))
    values = _values(window, limit)
    for segment in segments(*zones_in_use(db), window.since, window.until):
        position = start_of(segment, after)
        page = _PAGES[segment.zone is None, window.shard is not None]
        values |= {"zone": segment.zone, "until_time": segment.last, "zones": _filter(segment)}
        while position is not None:
            values |= {"from_time": position.time_of_day, "from_id": position.schedule_id}
            rows = db.rows(page, values)
            yield rows
            is_last = len(rows) < limit
            position = None if is_last else behind(Position(rows[-1][TIME_OF_DAY], rows[-1][ID]))


def _values(window: FeedWindow, limit: int) -> dict[str, object]:
    since, until, shard = window
    dates = days_around(since, until)
    days = (dates["last_day"] - dates["first_day"]).days + 1
    first = dates["first_day"].isoweekday()
    return {
        "since": since,
        "days": array({(first + number - 1) % 7 + 1 for number in range(min(days, 7))}),
        "limit": limit,
        "shard_number": shard and shard.number,
        "shard_of": shard and shard.of,
        **dates,
        **records_window(since, until),
    }


def _filter(segment: Segment) -> str | None:
    """Bind the zones of recipients; where there are too many for a statement, none."""
    zones = segment.recipient_zones or ()
    return array(zones) if array_bytes(*zones) <= _ZONES_BYTES else None
