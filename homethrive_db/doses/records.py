"""What is recorded of doses: rows of doses taken and skipped, and which dates they settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from homethrive_db.doses.recurrence import Due
from homethrive_db.doses.stored_dates import read_instant
from homethrive_db.enums import DoseStatus
from homethrive_db.named_tuples import make

_TAKEN, _SKIPPED = DoseStatus.TAKEN, DoseStatus.SKIPPED


class Taken(NamedTuple):
    """A row of a dose taken."""

    scheduled_for: datetime
    taken_at: datetime
    taken_by_user_id: str


class Skipped(NamedTuple):
    """A row of a dose skipped."""

    scheduled_for: datetime
    reason: str | None


class Settled(NamedTuple):
    """What became of the doses of some local dates. A record is of exactly one date."""

    taken: dict[date, Taken]
    """A row of the dose itself, at one of its instants."""
    moved: dict[date, Taken]
    """A row of the date at another time: the schedule has changed since, and the dose is taken."""
    skipped: dict[date, Skipped]

    def days(self) -> set[date]:
        """Give the dates of which anything is recorded."""
        return {*self.taken, *self.moved, *self.skipped}

    def fates(self) -> dict[date, tuple[DoseStatus, datetime | None, str | None, str | None]]:
        """Give the last four fields of the occurrence of each date.

        A dose that was taken after it was skipped is taken.
        """
        is_taken = self.moved | self.taken if self.moved else self.taken
        return {
            **{day: (_SKIPPED, None, None, reason) for day, (_, reason) in self.skipped.items()},
            **{day: (_TAKEN, at, who, None) for day, (_, at, who) in is_taken.items()},
        }

    def taken_on(self, day: date) -> Taken | None:
        """Give the row by which the dose of a date is taken."""
        return self.taken.get(day) or self.moved.get(day)


_Record = TypeVar("_Record", Taken, Skipped)
_scheduled_for = itemgetter(0)


def pick(
    records: Iterable[_Record], dues: Iterable[Due], found: dict[date, _Record]
) -> list[_Record]:
    """Put the records at the instants of *dues* into *found*; gives the others, in their order.

    Merged, both in their order: to look an instant up takes its hash, which is slow to compute.
    """
    others = []
    coming = iter(dues)
    due = next(coming, None)
    for record in sorted(records, key=_scheduled_for):
        at = record[0]
        while due is not None and due[0] < at:
            due = next(coming, None)
        if due is not None and due[0] == at:
            found[due[1]] = record
        else:
            others.append(record)
    return others


def read_taken(rows: Sequence[Sequence[Any]]) -> list[Taken]:
    """Read doses taken out of JSON; the session may have any zone.

    PostgreSQL takes a mistyped ``taken_at`` that Python has not: the dose is taken all the same.
    """
    read = datetime.fromisoformat
    try:
        return [
            make(Taken, (read(due).astimezone(UTC), read(at).astimezone(UTC), who))
            for due, at, who in rows
        ]
    except (ValueError, OverflowError):
        return [make(Taken, (read_instant(due), read_instant(at), who)) for due, at, who in rows]


def read_skips(rows: Iterable[Sequence[Any]]) -> list[Skipped]:
    """Read doses skipped out of JSON; the session may have any zone."""
    return [Skipped(read_instant(due), reason) for due, reason in rows]
