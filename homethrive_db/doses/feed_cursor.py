"""Where a feed stands: the key of the dose it gave last, as text that a worker can store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from zlib import crc32

from homethrive_db import validation
from homethrive_db.doses.feed_places import Place
from homethrive_db.doses.feed_window import FeedWindow
from homethrive_db.errors import ValidationError


class Cursor(NamedTuple):
    """The key of a dose."""

    place: Place
    scheduled_for: datetime


def feed_text(kind: str, window: FeedWindow) -> str:
    """Name a feed of one *kind* and its window and shard; the cursors of its doses begin so."""
    since, until, shard = window
    share = f"{shard.number}:{shard.of}" if shard else "all"
    return f"{kind}/{since.isoformat()}/{until.isoformat()}/{share}"


def cursor_text(feed: str, place: Place, at: datetime) -> str:
    """Write the cursor of a dose in a feed.

    A checksum ends it: with a line end behind it, or cut short, it would be another place.
    """
    text = f"{feed}/{at.isoformat()}/{place}"
    return f"{text}/{crc32(text.encode()):08x}"


def read_cursor(text: object, feed: str, order: type[Place]) -> Cursor:
    """Read a cursor of a feed. Raises ValidationError for any other text."""
    checked = validation.text(text, "after")
    try:
        key, _, _ = checked.removeprefix(f"{feed}/").rpartition("/")
        at, place = key.split("/", 1)
        cursor = Cursor(order.read(place), datetime.fromisoformat(at).astimezone(UTC))
        is_sound = cursor_text(feed, *cursor) == checked
    except (ValueError, OverflowError, ValidationError):
        is_sound = False
    if not is_sound:
        raise ValidationError.of(
            "after",
            "the cursor of a dose of the same feed, window and shard expected, as it was given;"
            " without one the window begins anew",
        )
    return cursor
