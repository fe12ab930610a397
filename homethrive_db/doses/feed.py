"""The doses of all care recipients, for workers: what is due, what was missed, whom to tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from homethrive_db import validation
from homethrive_db.database import Database
from homethrive_db.doses.agenda import read_agenda
from homethrive_db.doses.contacts import RecentContacts
from homethrive_db.doses.feed_cursor import Cursor, read_cursor, window_text, write_cursor
from homethrive_db.doses.feed_pages import ID, TIME_OF_DAY, ZONE, read_pages
from homethrive_db.doses.feed_window import FeedWindow, Shard
from homethrive_db.doses.occurrence import DoseOccurrence, FeedOccurrence
from homethrive_db.errors import ValidationError

PAGE_SIZE = 500
"""How many doses are read ahead, about."""

_Dose = tuple[DoseOccurrence, str, str]
"""With the recipient's display name and the cursor."""


class DoseFeed:
    """Gives the doses of all care recipients, for workers: it checks no user.

    The order is fixed: by the schedule's own zone (those without one come last), then by local
    time of day, schedule and instant. Little more is held than a page of about *page_size* doses.
    Outside of a block each statement borrows a connection, and none is kept in between. What a dose
    holds is as of when its page was read; contacts may be a minute older. A schedule that cannot
    be, or whose zone is unknown, is logged once with its id, and left out.

    *shard* is ``(i, n)``: of *n* workers that share the recipients, this is number *i*, from 0.
    *after* is the ``cursor`` of a dose of the same feed and window: it goes on behind that one,
    whatever became of its schedule. One that moves meanwhile may be met at both its times, or at
    neither.

    Everything raises ValidationError at the call, before a connection is used.
    """

    def __init__(self, db: Database, *, page_size: int = PAGE_SIZE) -> None:
        self._db = db
        self._page_size = validation.count(page_size, "page_size")

    def due(
        self,
        start: datetime,
        end: datetime,
        *,
        shard: tuple[int, int] | None = None,
        after: str | None = None,
    ) -> Iterator[FeedOccurrence]:
        """Iterate over the doses due from *start* (inclusive) to *end* (exclusive).

        Those that were taken or skipped are left out, and those after ``inactive_at``.
        """
        since, until = validation.window(start, end)
        return self._read(FeedWindow(since, until, _checked(shard)), after)

    def missed(
        self,
        since: datetime,
        until: datetime,
        *,
        grace: timedelta,
        shard: tuple[int, int] | None = None,
        after: str | None = None,
    ) -> Iterator[FeedOccurrence]:
        """Iterate over the doses that became missed from *since* (inclusive) to before *until*.

        A dose becomes missed *grace* after it was due, unless it is taken or skipped by the time it
        is read. Windows that follow each other give each dose once, so a worker stores its *until*
        and goes on from there. Nothing is missed before its time: an *until* after now is now, and
        the next window has to begin there.
        """
        first, last = validation.window(since, until, ("since", "until"))
        late = validation.duration(grace, "grace")
        try:
            window = FeedWindow(first - late, last - late, _checked(shard))
            latest = datetime.now(UTC) - late
        except OverflowError:
            raise ValidationError.of("grace", "the window is before the year 1") from None
        return self._read(window, after, latest)

    def _read(
        self, window: FeedWindow, after: str | None, latest: datetime | None = None
    ) -> Iterator[FeedOccurrence]:
        """Check the cursor, and give the doses of the window up to *latest*."""
        name = window_text(window.since, window.until)
        cursor = None if after is None else read_cursor(after, name)
        if latest is not None:
            window = window._replace(until=min(window.until, latest))
        return self._occurrences(self._doses(window, name, cursor))

    def _occurrences(self, doses: Iterator[_Dose]) -> Iterator[FeedOccurrence]:
        """Add whom to tell, with a statement for a page of doses at most."""
        recent = RecentContacts(self._db)
        while page := list(islice(doses, self._page_size)):
            contacts = recent.of({dose.recipient_id for dose, _, _ in page})
            for dose, name, cursor in page:
                yield FeedOccurrence(dose, name, contacts[dose.recipient_id], cursor)

    def _doses(self, window: FeedWindow, name: str, after: Cursor | None) -> Iterator[_Dose]:
        """Give the doses of the window behind a cursor, each with its recipient's name."""
        since, until, _ = window
        for rows in read_pages(self._db, window, after, self._page_size):
            for row in rows:
                agenda = read_agenda(row)
                if agenda is None:
                    continue
                key = row[ZONE], row[TIME_OF_DAY], row[ID]
                for dose in agenda.unsettled(since, until):
                    at = dose.scheduled_for
                    if after is None or key != after[:3] or at > after.scheduled_for:
                        yield dose, row[-1], write_cursor(name, Cursor(*key, at))


def _checked(shard: tuple[int, int] | None) -> Shard | None:
    return None if shard is None else Shard(*validation.shard(shard))
