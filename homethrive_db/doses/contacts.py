"""Whom to tell of the doses of a care recipient: themselves or their creator, and caregivers."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any
from uuid import UUID

from peewee import SQL, Case, Select, Value, fn

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.doses.occurrence import Contact
from homethrive_db.enums import AccessStatus, ContactRole
from homethrive_db.statements import Statement, array, array_bytes, input_rows, portions, statement

KEPT = 10_000
"""Of how many recipients contacts are kept, about."""

KEPT_SECONDS = 60.0

_RECIPIENT, _ACCESS = models.CareRecipient, models.CaregiverAccess
_NO_INSTANT, _NO_ID = SQL("NULL::timestamptz"), SQL("NULL::uuid")


def _contacts() -> Statement:
    """Select the contacts of some recipients, each one's in their order."""
    asked = input_rows("asked", recipient_id="uuid")
    role = Case(
        None, [(_RECIPIENT.user.is_null(), ContactRole.CREATOR)], default=ContactRole.RECIPIENT
    )
    first = (asked.c.position, fn.COALESCE(_RECIPIENT.user, _RECIPIENT.created_by_user), role)
    caregiver = (asked.c.position, _ACCESS.caregiver_user, Value(ContactRole.CAREGIVER))
    recipients = Select((asked,), (*first, _NO_INSTANT, _NO_ID)).join(
        _RECIPIENT, on=_RECIPIENT.id == asked.c.recipient_id
    )
    caregivers = (
        Select((asked,), (*caregiver, _ACCESS.created_at, _ACCESS.id))
        .join(_RECIPIENT, on=_RECIPIENT.id == asked.c.recipient_id)
        .join(_ACCESS, on=_ACCESS.recipient_user == _RECIPIENT.user)
        .where(_ACCESS.status == AccessStatus.APPROVED)
    )
    people = recipients.union_all(caregivers).cte(
        "people", columns=("position", "user_id", "role", "since", "access_id")
    )
    own: Any = models.CareRecipient.alias("own")
    shown = (fn.COALESCE(own.display_name, models.User.display_name), models.User.email)
    return statement(
        Select((people,), (people.c.position, people.c.user_id, people.c.role, *shown))
        .join(models.User, on=models.User.clerk_user_id == people.c.user_id)
        .left_outer_join(own, on=own.user == models.User.clerk_user_id)
        .order_by(people.c.since.asc(nulls="first"), people.c.access_id)
        .with_cte(asked, people)
    )


_CONTACTS = _contacts()

_ROLES = {str(role): role for role in ContactRole}


def list_contacts(db: Database, recipient_ids: Collection[UUID]) -> dict[UUID, tuple[Contact, ...]]:
    """Give the contacts of each care recipient.

    First the recipient, where they sign in, else who created the profile; then the approved
    caregivers, by when they got their access. One statement; behind a proxy, as many as it takes.
    """
    found: dict[UUID, list[Contact]] = {one: [] for one in recipient_ids}
    for portion in portions(db, _CONTACTS, list(found), array_bytes):
        for position, user_id, role, name, email in db.rows(
            _CONTACTS, {"recipient_id": array(portion)}
        ):
            found[portion[position - 1]].append(Contact(user_id, _ROLES[role], name, email))
    return {one: tuple(contacts) for one, contacts in found.items()}


class RecentContacts:
    """Contacts, read once for the doses of a recipient that follow each other in a feed.

    They are as old as a minute at most.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[UUID, tuple[Contact, ...]] = {}
        self._since = 0.0

    def of(self, recipient_ids: set[UUID]) -> dict[UUID, tuple[Contact, ...]]:
        """Give the contacts of each care recipient, and perhaps of others."""
        now = time.monotonic()
        if len(self._known) > KEPT or now - self._since > KEPT_SECONDS:
            self._known, self._since = {}, now
        if unknown := [one for one in recipient_ids if one not in self._known]:
            self._known |= list_contacts(self._db, unknown)
        return self._known
