"""A dose as workers see it: with whose it is, whom to tell, and where the feed stands."""

from __future__ import annotations

from typing import NamedTuple

from homethrive_db.doses.feed_cursor import cursor_text
from homethrive_db.doses.feed_places import Place
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.enums import ContactRole


class Contact(NamedTuple):
    """Somebody who may be told of a dose."""

    user_id: str
    role: ContactRole
    display_name: str | None
    """That of the own profile, else of the user."""
    email: str | None


class FeedOccurrence(NamedTuple):
    """A dose that a feed gives."""

    dose: DoseOccurrence
    recipient_display_name: str
    contacts: tuple[Contact, ...]
    """The recipient, where they sign in, else who created the profile; then the approved
    caregivers, by when their access was requested or offered."""
    feed: str
    """Names the feed, its window and its shard."""
    place: Place
    """That of the schedule in the feed."""

    @property
    def cursor(self) -> str:
        """Goes on behind this dose, as ``after`` of the same feed. Plain ASCII, to be stored."""
        return cursor_text(self.feed, self.place, self.dose.scheduled_for)
