"""Local days: how a zone is found, which date it is there, and when one begins.

By Python's zone data, as everywhere. Not by AT TIME ZONE: that raises for a name it does not know,
which the Node service may have stored, and one such row would fail the whole statement.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING

from homethrive_db import validation
from homethrive_db.errors import ValidationError

if TYPE_CHECKING:
    from uuid import UUID
    from zoneinfo import ZoneInfo

_logger = logging.getLogger(__name__)

NODE_ZONE = "America/New_York"
"""What the Node service takes for a schedule without a zone."""

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


@cache
def find_zone(name: str) -> ZoneInfo:
    """Find a zone by its IANA name; zoneinfo's own cache is sure of eight only.

    Raises ValidationError for a name that is not one.
    """
    from zoneinfo import ZoneInfo  # slow to import, and needed for local times only

    return ZoneInfo(validation.zone(name, "zone"))


def known_zone(name: str) -> ZoneInfo | None:
    """Find a zone; None where the name is not one."""
    try:
        return find_zone(name)
    except ValidationError:
        return None


def today(zone: str, now: datetime) -> date:
    """Tell the date at *now* in *zone*; in UTC where the zone is not known."""
    return now.astimezone(known_zone(zone) or UTC).date()


def beginning(day: date, zone: str) -> datetime:
    """Tell the first instant at which it is *day*, or later, in *zone*.

    Where the zone is not known, an instant that comes before it in all of them.
    """
    place = known_zone(zone)
    if place is None:
        return datetime.combine(day, time.min, UTC) - _DAY
    begins = datetime.combine(day, time.min, place).astimezone(UTC)
    # Where a clock change skips midnight, the day begins before the instant that stands for it.
    while (begins - _MINUTE).astimezone(place).date() >= day:
        begins -= _MINUTE
    return begins


def report_unknown(zone: str, schedule_id: UUID) -> None:
    """Log a schedule whose zone is not known, the first time it is met."""
    if known_zone(zone) is None:
        _report(schedule_id)


@cache
def _report(schedule_id: UUID) -> None:
    _logger.warning(
        "schedule %s has an unknown time zone; its days are counted in UTC, and taken to begin "
        "a day early",
        schedule_id,
    )
