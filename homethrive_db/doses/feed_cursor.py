"""Where a feed stands: the key of the dose it gave last, as text that a worker can store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from homethrive_db import validation
from homethrive_db.doses.local_windows import Segment
from homethrive_db.errors import ValidationError

_FIRST_ID, _LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class Position(NamedTuple):
    """A place among the schedules of a zone."""

    time_of_day: str
    schedule_id: UUID


class Cursor(NamedTuple):
    """The key of a dose, in the order of its parts."""

    zone: str | None
    """The schedule's own; None, which comes last, for one that follows its recipient's."""
    time_of_day: str
    schedule_id: UUID
    scheduled_for: datetime


def start_of(segment: Segment, after: Cursor | None) -> Position | None:
    """Tell where to begin a segment; None where all of it is past.

    That may be the schedule of the cursor's own dose, since it may have later ones.
    """
    first = Position(segment.first, _FIRST_ID)
    if after is None or _rank(segment.zone) > _rank(after.zone):
        return first
    if segment.zone != after.zone or segment.last <= after.time_of_day:
        return None
    return max(first, Position(after.time_of_day, after.schedule_id))


def behind(position: Position) -> Position:
    """Give the first place behind a schedule."""
    time_of_day, schedule_id = position
    if schedule_id == _LAST_ID:
        return Position(f"{time_of_day}:", _FIRST_ID)
    return Position(time_of_day, UUID(int=schedule_id.int + 1))


def _rank(zone: str | None) -> tuple[bool, str]:
    return zone is None, zone or ""


def window_text(since: datetime, until: datetime) -> str:
    """Name a window; the cursors of its doses begin so."""
    return f"{since.isoformat()}/{until.isoformat()}"


def write_cursor(window: str, cursor: Cursor) -> str:
    """Write the cursor of a dose. The zone comes last, since it may have slashes."""
    zone, time_of_day, schedule_id, at = cursor
    return f"{window}/{at.isoformat()}/{time_of_day}/{schedule_id.hex}/{zone or ''}"


def read_cursor(text: object, window: str) -> Cursor:
    """Read a cursor of a window. Raises ValidationError for any other text."""
    checked = validation.text(text, "after")
    try:
        at, time_of_day, schedule_id, zone = checked.removeprefix(f"{window}/").split("/", 3)
        validation.time_of_day(time_of_day)
        instant = datetime.fromisoformat(at).astimezone(UTC)
        cursor = Cursor(zone or None, time_of_day, UUID(schedule_id), instant)
        is_sound = write_cursor(window, cursor) == checked
    except (ValueError, OverflowError, ValidationError):
        is_sound = False
    if not is_sound:
        raise ValidationError.of(
            "after", "the cursor of a dose of the same feed and window expected"
        )
    return cursor
