"""The places of schedules in the orders of feeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from homethrive_db import validation
from homethrive_db.doses.agenda_rows import ID_AT, RECIPIENT_ID_AT, TIME_OF_DAY_AT, ZONE_AT
from homethrive_db.doses.local_windows import Span
from homethrive_db.named_tuples import make

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class Place(Protocol):
    """The place of a schedule in an order of feeds."""

    @property
    def schedule_id(self) -> UUID:
        """The schedule's."""

    @classmethod
    def of(cls, row: Sequence[Any]) -> Place:
        """Give the place of a row that a feed has read."""

    @classmethod
    def read(cls, text: str) -> Place:
        """Read a place. Raises ValueError or ValidationError for other text."""

    def __str__(self) -> str: ...


class ClockPlace(NamedTuple):
    """The place in the order by the schedule's own zone, then by local time of day."""

    zone: str | None
    """None, which comes last, for a schedule that follows its recipient's zone."""
    time_of_day: str
    schedule_id: UUID

    @classmethod
    def of(cls, row: Sequence[Any]) -> ClockPlace:
        """Give the place of a row that a feed has read."""
        return make(cls, (row[ZONE_AT], row[TIME_OF_DAY_AT], row[ID_AT]))

    @classmethod
    def read(cls, text: str) -> ClockPlace:
        """Read a place. Raises ValueError or ValidationError for other text."""
        time_of_day, schedule_id, zone = text.split("/", 2)
        validation.time_of_day(time_of_day)
        return cls(zone or None, time_of_day, UUID(schedule_id))

    def __str__(self) -> str:
        zone = self.zone or ""  # comes last, since it may have slashes
        return f"{self.time_of_day}/{self.schedule_id.int:032x}/{zone}"


class RecipientPlace(NamedTuple):
    """The place in the order by recipient."""

    recipient_id: UUID
    schedule_id: UUID

    @classmethod
    def of(cls, row: Sequence[Any]) -> RecipientPlace:
        """Give the place of a row that a feed has read."""
        return make(cls, (row[RECIPIENT_ID_AT], row[ID_AT]))

    @classmethod
    def read(cls, text: str) -> RecipientPlace:
        """Read a place. Raises ValueError for other text."""
        recipient_id, schedule_id = text.split("/")
        return cls(UUID(recipient_id), UUID(schedule_id))

    def __str__(self) -> str:
        return f"{self.recipient_id.int:032x}/{self.schedule_id.int:032x}"


class Position(NamedTuple):
    """A place among the schedules of a zone."""

    time_of_day: str
    schedule_id: UUID


def start_of(span: Span, after: ClockPlace | None) -> Position | None:
    """Tell where to begin a span; None where all of it is past.

    That may be the schedule of the cursor's own dose, since it may have later ones.
    """
    first = Position(span.first, FIRST_ID)
    if after is None or _rank(span.zone) > _rank(after.zone):
        return first
    if span.zone != after.zone or span.last <= after.time_of_day:
        return None
    return max(first, Position(after.time_of_day, after.schedule_id))


def behind(position: Position) -> Position:
    """Give the first place behind a schedule."""
    time_of_day, schedule_id = position
    if schedule_id == LAST_ID:
        return Position(f"{time_of_day}:", FIRST_ID)  # behind it, and before the next minute
    return Position(time_of_day, UUID(int=schedule_id.int + 1))


def _rank(zone: str | None) -> tuple[bool, str]:
    return zone is None, zone or ""
