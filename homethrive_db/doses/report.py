"""The report on one care recipient: who it is about, and what is read for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.doses.adherence import Adherence, AdherenceFigures
from homethrive_db.entities import CareRecipient
from homethrive_db.errors import ConflictError, NotFoundError, ValidationError
from homethrive_db.local_days import beginning, known_zone, today
from homethrive_db.repositories import Repositories
from homethrive_db.statements import columns, param, statement

DAYS = 28
"""How many days a report has unless told otherwise: four whole weeks."""

# Whose days begin and end within Python's calendar, in whatever zone.
_EARLIEST, _LATEST = date.min + timedelta(days=1), date.max - timedelta(days=1)

_FIND = statement(
    models.CareRecipient.select(*columns(models.CareRecipient, CareRecipient)).where(
        models.CareRecipient.id == param("recipient_id")
    )
)


@dataclass(frozen=True, slots=True)
class Report:
    """How a care recipient took their medications from one local date to another, inclusive."""

    recipient: CareRecipient
    first: date
    last: date
    adherence: Adherence

    @property
    def period(self) -> str:
        """Say from when to when."""
        return f"{self.first:%-d %B %Y} to {self.last:%-d %B %Y}"


def read_report(
    db: Database, recipient_id: UUID | str, first: date | None, last: date | None, grace: timedelta
) -> Report:
    """Read what a report needs; by default of the four weeks up to today, in their zone.

    For whoever looks after the database: no user is asked for. Raises ValidationError,
    ConflictError (``UNKNOWN_ZONE``) where the recipient's stored zone is no IANA zone, and
    NotFoundError (``CARE_RECIPIENT_NOT_FOUND``) where there is no such recipient, or no user to
    whom the profile belongs.
    """
    recipient = db.first(
        _FIND, CareRecipient, recipient_id=validation.uuid(recipient_id, "recipient")
    )
    user_id = None if recipient is None else recipient.user_id or recipient.created_by_user_id
    if recipient is None or user_id is None:
        raise NotFoundError("no such care recipient", "CARE_RECIPIENT_NOT_FOUND")
    zone = recipient.timezone
    _check_zone(zone)
    last = last or today(zone, datetime.now(UTC))
    first = first or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
    _check_dates(first, last)
    since, until = (beginning(day, zone) for day in (first, last + timedelta(days=1)))
    adherence = Repositories(db).doses.adherence(user_id, recipient.id, since, until, grace=grace)
    return Report(recipient, first, last, adherence)


def _check_zone(stored: str) -> None:
    """Refuse a zone that is not known: it has no days."""
    if known_zone(stored) is None:
        raise ConflictError(
            f"the recipient's stored zone, {stored!r}, is no IANA zone: homethrive-db tz-check "
            "lists the rows that have it",
            "UNKNOWN_ZONE",
        )


def _check_dates(first: date, last: date) -> None:
    if last > _LATEST:
        raise ValidationError.of("--to", f"a date up to {_LATEST} expected")
    if first < _EARLIEST:
        told = f"a date from {_EARLIEST} on expected; {DAYS - 1} days before --to unless given"
        raise ValidationError.of("--from", told)
    if first > last:
        raise ValidationError.of("--from", "it must not be after --to")


def percent(figures: AdherenceFigures) -> str:
    """Write the rate for a person; never 100 where a dose was missed, a dash where none counts."""
    counted = figures.taken + figures.missed
    return f"{100 * figures.taken // counted} %" if counted else "—"
