"""The care recipients of a feed: their zones, and whom to tell of their doses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from peewee import JOIN, SQL, Case, Select, Value, fn

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.doses.feed_occurrence import Contact
from homethrive_db.enums import AccessStatus, ContactRole
from homethrive_db.named_tuples import make
from homethrive_db.statements import Statement, array, array_bytes, input_rows, portions, statement

KEPT = 10_000
"""How many recipients are kept, about."""

KEPT_SECONDS = 60.0
"""For how long: what is known of them may have changed since."""

_RECIPIENT, _ACCESS, _USER = models.CareRecipient, models.CaregiverAccess, models.User


class FeedRecipient(NamedTuple):
    """What the doses of a care recipient have in common."""

    zone: str
    display_name: str
    contacts: tuple[Contact, ...]
    """As ``FeedOccurrence`` has them."""


def _recipients() -> Statement:
    """Select care recipients, a row for each contact, in their order; one where there is none.

    Lateral, or PostgreSQL reads whole tables from a thousand recipients on.
    """
    asked = input_rows("asked", recipient_id="uuid")
    people = _people()
    # The profile of who is their own recipient is at hand, and need not be looked up.
    name = Case(
        None,
        [(people.c.role == ContactRole.RECIPIENT, _RECIPIENT.display_name)],
        default=shown_name(),
    )
    contact = (people.c.user_id, people.c.role, name, _USER.email)
    return statement(
        Select((asked,), (asked.c.position, _RECIPIENT.timezone, _RECIPIENT.display_name, *contact))
        .join(_RECIPIENT, on=_RECIPIENT.id == asked.c.recipient_id)
        .join(people, JOIN.LEFT_LATERAL, on=SQL("true"))
        .join(_USER, JOIN.LEFT_OUTER, on=_USER.clerk_user_id == people.c.user_id)
        .order_by(people.c.since.asc(nulls="first"), people.c.access_id)
        .with_cte(asked)
    )


def shown_name() -> Any:
    """Select by which name a user is shown: that of the own profile, else the user's."""
    own: Any = _RECIPIENT.alias("own")
    of_profile = own.select(own.display_name).where(own.user == _USER.clerk_user_id)
    return fn.COALESCE(of_profile, _USER.display_name)


def _people() -> Any:
    """Select who is to be told of the doses of a recipient."""
    role = Case(
        None, [(_RECIPIENT.user.is_null(), ContactRole.CREATOR)], default=ContactRole.RECIPIENT
    )
    first: Any = Select(
        (),
        (
            fn.COALESCE(_RECIPIENT.user, _RECIPIENT.created_by_user).alias("user_id"),
            role.alias("role"),
            SQL("NULL::timestamptz").alias("since"),
            SQL("NULL::uuid").alias("access_id"),
        ),
    )
    caregivers = _ACCESS.select(
        _ACCESS.caregiver_user, Value(ContactRole.CAREGIVER), _ACCESS.created_at, _ACCESS.id
    ).where(_ACCESS.recipient_user == _RECIPIENT.user, _ACCESS.status == AccessStatus.APPROVED)
    return first.union_all(caregivers).alias("people")


_RECIPIENTS = _recipients()

_ROLES = {str(role): role for role in ContactRole}


class RecentRecipients:
    """Care recipients, read once for the doses that follow each other in a feed.

    They are as old as a minute at most; where none are *kept*, of one page only. Found by the
    number of their id: to hash a UUID, and to compare it, is Python.
    """

    def __init__(self, db: Database, *, kept: bool) -> None:
        self._db = db
        self._most = KEPT if kept else 0
        self._known: dict[int, FeedRecipient] = {}
        self._since = 0.0

    def of(self, recipient_ids: Iterable[UUID]) -> dict[int, FeedRecipient]:
        """Give those that are there by the numbers of their ids, and perhaps others."""
        now = time.monotonic()
        if len(self._known) > self._most or now - self._since > KEPT_SECONDS:
            self._known, self._since = {}, now
        asked = {one.int: one for one in recipient_ids}
        if unknown := [one for number, one in asked.items() if number not in self._known]:
            self._known |= _find_recipients(self._db, unknown)
        return self._known


def _find_recipients(db: Database, recipient_ids: Sequence[UUID]) -> dict[int, FeedRecipient]:
    """Find care recipients. One statement; behind a proxy, as many as it takes."""
    found: dict[int, FeedRecipient] = {}
    for portion in portions(db, _RECIPIENTS, recipient_ids, array_bytes):
        for position, zone, name, user_id, role, *told in db.rows(
            _RECIPIENTS, {"recipient_id": array(portion)}
        ):
            number = portion[position - 1].int
            before = found[number].contacts if number in found else ()
            more = (make(Contact, (user_id, _ROLES[role], *told)),) if user_id is not None else ()
            found[number] = make(FeedRecipient, (zone, name, before + more))
    return found
