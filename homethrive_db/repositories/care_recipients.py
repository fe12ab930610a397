"""Care recipients: the profiles of those who take medications."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import cache, partial
from typing import Unpack
from uuid import UUID

from peewee import CTE, Select, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import PAGE_SIZE, CareRecipient, CareRecipientChanges
from homethrive_db.errors import NotFoundError, UnavailableError
from homethrive_db.repositories.access import all_accessible_to, reached_profile
from homethrive_db.repositories.pages import page, read_pages
from homethrive_db.statements import Statement, columns, param, statement

_TABLE = models.CareRecipient
_PROFILE = columns(_TABLE, CareRecipient)
_IS_REACHED = reached_profile(param("user_id"), param("recipient_id"))
_IS_OWN = _TABLE.user == param("user_id")

_FIND = statement(_TABLE.select(*_PROFILE).where(_IS_REACHED))

_FIND_OWN = statement(_TABLE.select(*_PROFILE).where(_IS_OWN))

_LIST = statement(
    _TABLE.select(*_PROFILE)
    .where(all_accessible_to(param("user_id")))
    .order_by(_TABLE.created_at, _TABLE.id)
)

_PAGE = statement(
    page(
        _TABLE.select(*_PROFILE).where(all_accessible_to(param("user_id"))),
        _TABLE.created_at,
        _TABLE.id,
    )
)

_CREATE = statement(
    _TABLE.insert(
        {
            _TABLE.created_by_user: param("user_id"),
            _TABLE.display_name: param("display_name"),
            _TABLE.timezone: param("timezone"),
            _TABLE.created_at: fn.statement_timestamp(),
            _TABLE.updated_at: fn.statement_timestamp(),
        }
    ).returning(*_PROFILE)
)


def _filled(found: CTE) -> CTE:
    """Fill in the creator of the profile that was found without one."""
    lacks_creator = found.select(found.c.id).where(found.c.created_by_user_id.is_null())
    return (
        _TABLE.update(
            {
                _TABLE.created_by_user: fn.COALESCE(_TABLE.created_by_user, param("user_id")),
                _TABLE.updated_at: fn.statement_timestamp(),
            }
        )
        .where(_TABLE.id.in_(lacks_creator))
        .returning(*_PROFILE)
        .cte("filled")
    )


def _made(found: CTE) -> CTE:
    """Insert a profile where none was found.

    Two first sign-ins race for the unique index on user_id: the later one's insert turns into an
    update of the row that the earlier one made.
    """
    values = {
        _TABLE.user: param("user_id"),
        _TABLE.created_by_user: param("user_id"),
        _TABLE.display_name: param("display_name"),
        _TABLE.created_at: fn.statement_timestamp(),
        _TABLE.updated_at: fn.statement_timestamp(),
    }
    profile = Select((), tuple(values.values())).where(~fn.EXISTS(found.select(found.c.id)))
    return (
        _TABLE.insert_from(profile, list(values))
        .on_conflict(conflict_target=[_TABLE.user], preserve=[_TABLE.user])
        .returning(*_PROFILE)
        .cte("made")
    )


def _find_or_create_own() -> Statement:
    """Give the own profile: as found, with its creator filled in, or made.

    A plain upsert would write and lock at every call.
    """
    found = _TABLE.select(*_PROFILE).where(_IS_OWN).cte("found", materialized=True)
    filled, made = _filled(found), _made(found)
    complete = found.select(*columns(found, CareRecipient)).where(
        found.c.created_by_user_id.is_null(False)
    )
    query = (
        Select((filled,), columns(filled, CareRecipient))
        .union_all(Select((made,), columns(made, CareRecipient)))
        .union_all(complete)
    )
    return statement(query.with_cte(found, filled, made), is_idempotent=True)


_FIND_OR_CREATE_OWN = _find_or_create_own()


@cache
def _update(fields: frozenset[str]) -> Statement:
    return statement(
        _TABLE.update(
            {
                _TABLE.updated_at: fn.statement_timestamp(),
                **{getattr(_TABLE, field): param(field) for field in fields},
            }
        )
        .where(_IS_REACHED)
        .returning(*_PROFILE)
    )


class CareRecipientRepository:
    """Reads and writes the profiles that a user may reach."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find_by_id(self, user_id: str, recipient_id: UUID | str) -> CareRecipient | None:
        """Find a profile that *user_id* may see; None covers absent and not theirs alike."""
        return self._db.first(
            _FIND,
            CareRecipient,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
        )

    def find_by_user_id(self, user_id: str) -> CareRecipient | None:
        """Find the user's own profile."""
        return self._db.first(_FIND_OWN, CareRecipient, user_id=validation.user_id(user_id))

    def list_for_caregiver(self, user_id: str) -> list[CareRecipient]:
        """List every profile that *user_id* may see, their own included, oldest first."""
        return self._db.all(_LIST, CareRecipient, user_id=validation.user_id(user_id))

    def iter_for_caregiver(
        self,
        user_id: str,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[CareRecipient]:
        """Give what ``list_for_caregiver`` lists, by pages of *page_size*, one statement each.

        *after* is the key of the last one that was read, ``(created_at, id)``: from there it goes
        on. Raises ValidationError.
        """
        checked = validation.user_id(user_id)
        read = partial(self._db.all, _PAGE, CareRecipient, user_id=checked)
        return read_pages(read, after, page_size)

    def create(
        self, user_id: str, *, display_name: str, timezone: str = "America/New_York"
    ) -> CareRecipient:
        """Create a profile of somebody who does not sign in; *user_id* is its creator.

        Raises ValidationError, and NotFoundError (``USER_NOT_FOUND``). Not idempotent.
        """
        created = self._db.first(
            _CREATE,
            CareRecipient,
            user_id=validation.user_id(user_id),
            display_name=validation.display_name(display_name),
            timezone=validation.zone(timezone),
        )
        if created is None:
            raise NotFoundError("no such user", "USER_NOT_FOUND")
        return created

    def find_or_create_own_profile(self, user_id: str, display_name: str) -> CareRecipient:
        """Give the user's own profile, made where there is none.

        A new one is in America/New_York, as the Node service has it, whatever zone the user has:
        follow it with ``update(user_id, recipient_id, timezone=…)``, or doses go by that clock.

        One statement where it is complete, else a second, atomic one: safe when two first sign-ins
        race. *display_name* counts only for a new profile; a missing ``created_by_user_id`` of an
        old one is filled in. Raises ValidationError, and NotFoundError (``USER_NOT_FOUND``).
        """
        user_id, display_name = (
            validation.user_id(user_id),
            validation.display_name(display_name),
        )
        profile = self._db.first(_FIND_OWN, CareRecipient, user_id=user_id)
        if profile is not None and profile.created_by_user_id is not None:
            return profile
        profile = self._db.first(
            _FIND_OR_CREATE_OWN, CareRecipient, user_id=user_id, display_name=display_name
        )
        if profile is None:  # it was deleted between the snapshot and the update
            raise UnavailableError("the profile was deleted meanwhile", retryable=True)
        return profile

    def update(
        self, user_id: str, recipient_id: UUID | str, **changes: Unpack[CareRecipientChanges]
    ) -> CareRecipient | None:
        """Change what is passed; None where the profile is absent or not theirs.

        Raises ValidationError.
        """
        checked = validation.changes(validation.CARE_RECIPIENT, changes)
        if not checked:
            return self.find_by_id(user_id, recipient_id)
        return self._db.first(
            _update(frozenset(checked)),
            CareRecipient,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
            **checked,
        )
