"""The doses of all care recipients, for workers: what is due, what was missed, whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from homethrive_db import validation
from homethrive_db.database import Database, Row
from homethrive_db.doses.agenda import read_agenda
from homethrive_db.doses.agenda_rows import ID_AT, RECIPIENT_ID_AT
from homethrive_db.doses.feed_by_clock import clock_pages
from homethrive_db.doses.feed_by_recipient import recipient_pages
from homethrive_db.doses.feed_cursor import Cursor, feed_text, read_cursor
from homethrive_db.doses.feed_occurrence import FeedOccurrence
from homethrive_db.doses.feed_places import ClockPlace, Place, RecipientPlace
from homethrive_db.doses.feed_recipients import RecentRecipients
from homethrive_db.doses.feed_window import FeedWindow, Shard
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.errors import ValidationError
from homethrive_db.named_tuples import make

PAGE_SIZE = 2_000
"""How many doses the schedules of a page have, about."""

_LONG = timedelta(hours=12)
"""In so long a window most schedules have a dose."""


class _Order(NamedTuple):
    """How a feed goes through the schedules."""

    place: type[Place]
    pages: Callable[[Database, FeedWindow, Any, int], Iterator[list[Row]]]
    """Reads those that may have doses in a window, from a place on or from the first, in pages of
    so many."""
    scatters_recipients: bool
    """Whether doses of a recipient come on several pages."""


_BY_CLOCK = _Order(ClockPlace, clock_pages, scatters_recipients=True)
_BY_RECIPIENT = _Order(RecipientPlace, recipient_pages, scatters_recipients=False)


class DoseFeed:
    """Gives the doses of all care recipients, for workers: it checks no user.

    The order is fixed. Windows of less than twelve hours go by the schedule's own zone (those
    without one come last), then by local time of day, schedule and instant; longer ones by
    recipient, schedule and instant. Little more is held than the schedules of about *page_size*
    doses. Outside of a block each statement borrows a connection, and none is kept in between. What
    a dose holds is as of when its page was read; the recipient's zone and name, and the contacts,
    may be a minute older. A schedule that cannot be, or whose zone is unknown, is logged once with
    its id, and left out.

    *shard* is ``(i, n)``: of *n* workers that share the recipients, this is number *i*, from 0.
    *after* is the ``cursor`` of a dose of the same feed, window and shard: it goes on behind that
    one, whatever became of its schedule. One that moves meanwhile may be met at both its times, or
    at neither.

    Everything raises ValidationError at the call, before a connection is used.
    """

    def __init__(self, db: Database, *, page_size: int = PAGE_SIZE) -> None:
        self._db = validation.made(db, Database, "db")
        self._page_size = validation.count(page_size, "page_size", validation.MOST_ROWS)

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
        return self._read("due", FeedWindow(since, until, _checked(shard)), after)

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
        return self._read("missed", window, after, latest)

    def _read(
        self, kind: str, window: FeedWindow, after: str | None, latest: datetime | None = None
    ) -> Iterator[FeedOccurrence]:
        """Check the cursor, and give the doses of the window up to *latest*."""
        order = _BY_RECIPIENT if window.length >= _LONG else _BY_CLOCK
        name = feed_text(kind, window)
        cursor = None if after is None else read_cursor(after, name, order.place)
        if latest is not None:
            window = window._replace(until=min(window.until, latest))
        return self._occurrences(window, name, order, cursor)

    def _occurrences(
        self, window: FeedWindow, name: str, order: _Order, after: Cursor | None
    ) -> Iterator[FeedOccurrence]:
        """Give the doses of the window behind a cursor, their recipients a statement a page."""
        recent = RecentRecipients(self._db, kept=order.scatters_recipients)
        place_of = order.place.of
        for page in self._pages(window, order, after):
            recipients = recent.of([row[RECIPIENT_ID_AT] for row in page])
            for row in page:
                recipient = recipients.get(row[RECIPIENT_ID_AT].int)
                if recipient is not None:  # else deleted meanwhile, with all schedules
                    zone, display_name, contacts = recipient
                    for dose in _open_doses((*row, zone), window, after):
                        told = (dose, display_name, contacts, name, place_of(row))
                        yield make(FeedOccurrence, told)

    def _pages(
        self, window: FeedWindow, order: _Order, after: Cursor | None
    ) -> Iterator[list[Row]]:
        """Read the schedules of the window from a cursor on, small pages together."""
        if window.since >= window.until:
            return
        limit = max(1, self._page_size // (window.length.days or 1))
        rows: list[Row] = []
        for page in order.pages(self._db, window, after and after.place, limit):
            rows += page
            if len(rows) >= limit // 2:
                yield rows
                rows = []
        yield rows


def _open_doses(row: Row, window: FeedWindow, after: Cursor | None) -> list[DoseOccurrence]:
    """List the doses of a schedule that are neither taken nor skipped, behind the cursor."""
    agenda = read_agenda(row)
    if agenda is None:
        return []
    doses = agenda.unsettled(window.since, window.until)
    if after and row[ID_AT] == after.place.schedule_id:
        return [dose for dose in doses if dose.scheduled_for > after.scheduled_for]
    return doses


def _checked(shard: tuple[int, int] | None) -> Shard | None:
    return None if shard is None else Shard(*validation.shard(shard))
