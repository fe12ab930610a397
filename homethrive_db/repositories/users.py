"""Users: the people who sign in."""

from __future__ import annotations

from functools import cache
from typing import Unpack

from peewee import fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import User, UserProfile
from homethrive_db.errors import NotFoundError
from homethrive_db.statements import Statement, columns, param, statement

_USER = columns(models.User, User)
_IS_ASKED_FOR = models.User.clerk_user_id == param("clerk_user_id")

_FIND = statement(models.User.select(*_USER).where(_IS_ASKED_FOR))

_COMPLETE_ONBOARDING = statement(
    models.User.update(
        {
            models.User.display_name: param("display_name"),
            models.User.timezone: param("timezone"),
            models.User.is_recipient: param("is_recipient"),
            models.User.is_caregiver: param("is_caregiver"),
            models.User.has_completed_onboarding: True,
            models.User.updated_at: fn.statement_timestamp(),
        }
    )
    .where(_IS_ASKED_FOR)
    .returning(*_USER)
)

_UPDATE_ROLES = statement(
    models.User.update(
        {
            models.User.is_recipient: param("is_recipient"),
            models.User.is_caregiver: param("is_caregiver"),
            models.User.updated_at: fn.statement_timestamp(),
        }
    )
    .where(_IS_ASKED_FOR)
    .returning(*_USER)
)


@cache
def _upsert(fields: frozenset[str]) -> Statement:
    """Insert a user, or set *fields* and no others of the one that is there."""
    passed = [getattr(models.User, field) for field in sorted(fields)]
    return statement(
        models.User.insert(
            {
                models.User.clerk_user_id: param("clerk_user_id"),
                models.User.created_at: fn.statement_timestamp(),
                models.User.updated_at: fn.statement_timestamp(),
                **{field: param(field.name) for field in passed},
            }
        )
        .on_conflict(
            conflict_target=[models.User.clerk_user_id],
            preserve=[models.User.updated_at, *passed],
        )
        .returning(*_USER),
        is_idempotent=True,
    )


class UserRepository:
    """Reads and writes users. No method checks who asks: the ids come from the sign-in."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find_by_clerk_user_id(self, clerk_user_id: str) -> User | None:
        """Find a user; None where there is none."""
        return self._db.first(_FIND, User, clerk_user_id=_checked(clerk_user_id))

    def upsert(self, clerk_user_id: str, **profile: Unpack[UserProfile]) -> User:
        """Create a user or update the one there is: what is not passed stays, None clears.

        One atomic statement, safe to repeat. Raises ValidationError.
        """
        values = validation.changes(validation.USER_PROFILE, profile)
        upsert = _upsert(frozenset(values))
        values["clerk_user_id"] = _checked(clerk_user_id)
        (row,) = self._db.rows(upsert, values)
        return User(*row)

    def complete_onboarding(
        self,
        clerk_user_id: str,
        *,
        display_name: str,
        timezone: str,
        is_recipient: bool,
        is_caregiver: bool,
    ) -> User:
        """Store what onboarding asks for and mark it complete; safe to repeat.

        *timezone* is an IANA name, for the user: their profile keeps its own. Raises
        ValidationError, and NotFoundError (``USER_NOT_FOUND``).
        """
        return _found(
            self._db.first(
                _COMPLETE_ONBOARDING,
                User,
                clerk_user_id=_checked(clerk_user_id),
                display_name=validation.display_name(display_name),
                timezone=validation.zone(timezone),
                is_recipient=validation.boolean(is_recipient, "is_recipient"),
                is_caregiver=validation.boolean(is_caregiver, "is_caregiver"),
            )
        )

    def update_roles(self, clerk_user_id: str, *, is_recipient: bool, is_caregiver: bool) -> User:
        """Set what the user is here for.

        Raises ValidationError, and NotFoundError (``USER_NOT_FOUND``).
        """
        return _found(
            self._db.first(
                _UPDATE_ROLES,
                User,
                clerk_user_id=_checked(clerk_user_id),
                is_recipient=validation.boolean(is_recipient, "is_recipient"),
                is_caregiver=validation.boolean(is_caregiver, "is_caregiver"),
            )
        )


def _checked(clerk_user_id: str) -> str:
    return validation.user_id(clerk_user_id, "clerk_user_id")


def _found(user: User | None) -> User:
    if user is None:
        raise NotFoundError("no such user", "USER_NOT_FOUND")
    return user
