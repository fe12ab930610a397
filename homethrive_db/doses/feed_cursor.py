"""Where a feed stands: the key of the dose it gave last, as text that a worker can store."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from homethrive_db import validation
from homethrive_db.doses.feed_places import Place
from homethrive_db.errors import ValidationError


class Cursor(NamedTuple):
    """The key of a dose."""

    place: Place
    scheduled_for: datetime


def window_text(since: datetime, until: datetime) -> str:
    """Name a window; the cursors of its doses begin so."""
    return f"{since.isoformat()}/{until.isoformat()}"


def cursor_text(window: str, place: str, at: datetime) -> str:
    """Write the cursor of a dose in a window, *place* as text."""
    return f"{window}/{_text(at)}/{place}"


@lru_cache(256)
def _text(instant: datetime) -> str:
    """Write an instant, which many doses have in common."""
    return instant.isoformat()


def read_cursor(text: object, window: str, order: type[Place]) -> Cursor:
    """Read a cursor of a window. Raises ValidationError for any other text."""
    checked = validation.text(text, "after")
    try:
        at, place = checked.removeprefix(f"{window}/").split("/", 1)
        cursor = Cursor(order.read(place), datetime.fromisoformat(at).astimezone(UTC))
        is_sound = cursor_text(window, str(cursor.place), cursor.scheduled_for) == checked
    except (ValueError, OverflowError, ValidationError):
        is_sound = False
    if not is_sound:
        raise ValidationError.of(
            "after", "the cursor of a dose of the same feed and window expected"
        )
    return cursor
