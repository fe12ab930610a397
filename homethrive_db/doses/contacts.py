"""Whom to tell of the doses of a care recipient: themselves or their creator, and caregivers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from peewee import SQL, Case, Select, Value, fn

from homethrive_db import models
from homethrive_db.database import Database
from homethrive_db.doses.occurrence import Contact
from homethrive_db.enums import AccessStatus, ContactRole
from homethrive_db.statements import Statement, array, array_bytes, input_rows, portions, statement

_RECIPIENT, _ACCESS = models.CareRecipient, models.CaregiverAccess


def _contacts() -> Statement:
    """Select the contacts of some recipients, each one's in their order."""
    asked = input_rows("asked", recipient_id="uuid")
    role = Case(
        None, [(_RECIPIENT.user.is_null(), ContactRole.CREATOR)], default=ContactRole.RECIPIENT
    )
    themselves = Select(
        (asked,),
        (
            asked.c.recipient_id,
            fn.COALESCE(_RECIPIENT.user, _RECIPIENT.created_by_user),
            role,
            SQL("NULL::timestamptz"),
            SQL("NULL::uuid"),
        ),
    ).join(_RECIPIENT, on=_RECIPIENT.id == asked.c.recipient_id)
    caregivers = (
        Select(
            (asked,),
            (
                asked.c.recipient_id,
                _ACCESS.caregiver_user,
                Value(ContactRole.CAREGIVER, converter=False),
                _ACCESS.created_at,
                _ACCESS.id,
            ),
        )
        .join(_RECIPIENT, on=_RECIPIENT.id == asked.c.recipient_id)
        .join(_ACCESS, on=_ACCESS.recipient_user == _RECIPIENT.user)
        .where(_ACCESS.status == AccessStatus.APPROVED)
    )
    people = (themselves.union_all(caregivers)).cte(
        "people", columns=("recipient_id", "user_id", "role", "since", "access_id")
    )
    own: Any = models.CareRecipient.alias("own")
    query = (
        Select(
            (people,),
            (
                people.c.recipient_id,
                models.User.clerk_user_id,
                people.c.role,
                fn.COALESCE(own.display_name, models.User.display_name),
                models.User.email,
            ),
        )
        .join(models.User, on=models.User.clerk_user_id == people.c.user_id)
        .left_outer_join(own, on=own.user == models.User.clerk_user_id)
        .order_by(people.c.since.asc(nulls="first"), people.c.access_id)
        .with_cte(asked, people)
    )
    return statement(query)


_CONTACTS = _contacts()

_ROLES = {str(role): role for role in ContactRole}


def list_contacts(db: Database, recipient_ids: Collection[UUID]) -> dict[UUID, tuple[Contact, ...]]:
    """Give the contacts of each care recipient.

    First the recipient, where they sign in, else who created the profile; then the approved
    caregivers, by when they got their access. One statement; behind a proxy, as many as it takes.
    """
    found: dict[UUID, list[Contact]] = {one: [] for one in recipient_ids}
    for portion in portions(db, _CONTACTS, list(recipient_ids), array_bytes):
        for recipient_id, user_id, role, *shown in db.rows(
            _CONTACTS, {"recipient_id": array(portion)}
        ):
            found[recipient_id].append(Contact(user_id, _ROLES[role], *shown))
    return {one: tuple(contacts) for one, contacts in found.items()}
