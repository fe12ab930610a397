"""Stored dates and instants as text: PostgreSQL has more of them than Python."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from homethrive_db.errors import ConfigurationError

_FIRST_INSTANT = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
_EARLY, _LATE = (
    re.compile(r"-infinity|\d+-.* BC|0001-.*"),
    re.compile(r"infinity|\d{5,}-.*|9999-.*"),
)


def read_date(text: str) -> date:
    """Read a date; the nearest of the calendar where Python has none, as for a mistyped year.

    Raises ConfigurationError for one in another style than ISO.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        return date.min if _is_early(text) else date.max


def read_instant(text: str) -> datetime:
    """Read an instant in UTC; one at an end of the calendar where Python has none.

    Raises ConfigurationError for one in another style than ISO.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return _FIRST_INSTANT if _is_early(text) else _LAST_INSTANT


def _is_early(text: str) -> bool:
    """Tell at which end of the calendar a value is that Python has not."""
    if _EARLY.fullmatch(text):
        return True
    if _LATE.fullmatch(text):
        return False
    raise ConfigurationError("dates came in another style than ISO: leave DateStyle as it is")
