"""The ids of doses, as the Node service makes them.

``v1:`` and then, in base64 for URLs without padding, ``<schedule id>|<instant>``; the instant is in
UTC and whole milliseconds, like ``2025-01-01T14:00:00.000Z``. A dose has exactly one id.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from uuid import UUID

from homethrive_db import validation
from homethrive_db.entities import DoseKey
from homethrive_db.errors import ValidationError

_VERSION = "v1:"
_PADDING = "=="  # what the 61 bytes of every id leave out


def encode_dose_id(schedule_id: UUID | str, scheduled_for: datetime) -> str:
    """Make the id of the dose of a schedule that is due at *scheduled_for*.

    Raises ValidationError for an instant that is naive or finer than a millisecond: rounded, it
    would name another dose.
    """
    schedule = validation.uuid(schedule_id, "schedule_id")
    due = validation.scheduled_instant(scheduled_for).replace(tzinfo=None)
    payload = f"{schedule}|{due.isoformat(timespec='milliseconds')}Z"
    return _VERSION + urlsafe_b64encode(payload.encode()).decode().rstrip("=")


def decode_dose_id(text: str) -> DoseKey:
    """Read the schedule's id and the instant, in UTC, out of a dose id.

    Raises ValidationError with the code ``INVALID_DOSE_ID`` for everything that ``encode_dose_id``
    would have written differently, if at all. Whether there is such a dose, an id does not tell.
    """
    if isinstance(text, str):
        try:
            payload = urlsafe_b64decode(text.removeprefix(_VERSION) + _PADDING).decode("ascii")
            schedule, _, instant = payload.partition("|")
            key = DoseKey(UUID(schedule), datetime.fromisoformat(instant))
            if encode_dose_id(*key) == text:
                return key
        except (ValueError, ValidationError):
            pass
    raise ValidationError(
        "dose_id: an id expected as encode_dose_id gives it",
        "INVALID_DOSE_ID",
        {"field": "dose_id"},
    )
