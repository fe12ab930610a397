"""The one dose that a dose id names, and what is recorded of it."""

from __future__ import annotations

from datetime import datetime

from homethrive_db.doses.agenda import Agenda
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.doses.records import Settled, Skipped, Taken
from homethrive_db.entities import DoseKey
from homethrive_db.errors import ValidationError


class Dose:
    """The dose of a local date, as an id names it: the date's only one, whenever it is due.

    The id may have the instant of either service, or of a record of before the schedule was
    changed. Raises ValidationError (``NO_SUCH_DOSE``) where the schedule has no such dose.
    """

    def __init__(self, agenda: Agenda, key: DoseKey, seen: str = "") -> None:
        self.key = key
        self.seen = seen
        """What its schedule was, to be compared when it is settled."""
        self._agenda = agenda
        is_recorded = any(row[0] == key.scheduled_for for row in (*agenda.taken, *agenda.skips))
        if not is_recorded and agenda.day_of(key.scheduled_for) is None:
            raise _no_such_dose()
        self._due = agenda.due_settled_by(key.scheduled_for)
        day = self._due.day
        self.instants = agenda.instants_of(day)
        """Under which it may be recorded, ours first; none where the date has no dose any more."""
        settled = agenda.settle([self._due])
        self.taken = settled.taken_on(day)
        self.skip = settled.skipped.get(day)

    @property
    def new_record(self) -> datetime:
        """Give the instant to record it under: that of the id, which its maker will look for.

        Raises ValidationError (``NO_SUCH_DOSE``) where the date has no dose any more.
        """
        if not self.instants:
            raise _no_such_dose()
        at = self.key.scheduled_for
        return at if at in self.instants else self.instants[0]

    @property
    def scheduled_for(self) -> datetime:
        """When it is due, in UTC: our own instant, not the Node service's."""
        return self._due.at

    def is_open_at(self, instant: datetime) -> bool:
        """Say whether the medication is active at one of its instants."""
        return self._agenda.is_open(instant)

    @property
    def records(self) -> list[datetime]:
        """List the instants of all that is recorded of it, or may be by now."""
        return [*self.instants, *self._agenda.recorded_at(self._due.day)]

    @property
    def stored(self) -> DoseOccurrence:
        """Give it as it is recorded."""
        return self.occurrence(self.taken, self.skip)

    def occurrence(self, taken: Taken | None = None, skip: Skipped | None = None) -> DoseOccurrence:
        """Give it as it is with these records, and no others."""
        day = self._due.day
        settled = Settled({day: taken} if taken else {}, {}, {day: skip} if skip else {})
        (occurrence,) = self._agenda.told_of([self._due], settled)
        return occurrence


def _no_such_dose() -> ValidationError:
    """Make the error for an id that is no dose of its schedule."""
    return ValidationError(
        "dose_id: the schedule has no dose at that instant", "NO_SUCH_DOSE", {"field": "dose_id"}
    )
