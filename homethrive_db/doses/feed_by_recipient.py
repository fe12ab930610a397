"""A feed recipient by recipient: for long windows, where nearly every schedule has a dose.

What schedules have in common is then read in one place, and contacts once a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from homethrive_db import models
from homethrive_db.database import Database, Row
from homethrive_db.doses.agenda_rows import SCHEDULE_COLUMNS
from homethrive_db.doses.feed_places import FIRST_ID, LAST_ID, RecipientPlace
from homethrive_db.doses.feed_window import FeedWindow, conditions
from homethrive_db.statements import Statement, param, statement

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication


def _page(*, is_sharded: bool) -> Statement:
    """Select the next schedules."""
    recipient_id = param("recipient_id", "uuid")
    is_past = (_MEDICATION.recipient == recipient_id) & (
        _SCHEDULE.id < param("schedule_id", "uuid")
    )
    return statement(
        _MEDICATION.select(*SCHEDULE_COLUMNS)
        .join(_SCHEDULE, on=_SCHEDULE.medication == _MEDICATION.id)
        .where(
            _MEDICATION.recipient >= recipient_id,
            ~is_past,
            *conditions(is_sharded=is_sharded),
        )
        .order_by(_MEDICATION.recipient, _SCHEDULE.id)
        .limit(param("limit"))
    )


_PAGES = {is_sharded: _page(is_sharded=is_sharded) for is_sharded in (False, True)}


def recipient_pages(
    db: Database, window: FeedWindow, after: RecipientPlace | None, limit: int
) -> Iterator[list[Row]]:
    """Read the schedules that may have doses in the window, from a place on, page by page."""
    page = _PAGES[window.shard is not None]
    values = window.values() | {"limit": limit}
    start: RecipientPlace | None = after or RecipientPlace(FIRST_ID, FIRST_ID)
    while start is not None:
        rows = db.rows(page, values | start._asdict())
        yield rows
        start = None if len(rows) < limit else _behind(RecipientPlace.of(rows[-1]))


def _behind(place: RecipientPlace) -> RecipientPlace | None:
    """Give the first place behind a schedule; None behind the last."""
    recipient_id, schedule_id = place
    if schedule_id != LAST_ID:
        return RecipientPlace(recipient_id, UUID(int=schedule_id.int + 1))
    if recipient_id != LAST_ID:
        return RecipientPlace(UUID(int=recipient_id.int + 1), FIRST_ID)
    return None
