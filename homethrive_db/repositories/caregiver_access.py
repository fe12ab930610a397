"""Caregiver access: who may look after whom, and how far the asking has come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from peewee import SQL, Field, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import (
    CaregiverAccess,
    CaregiverAccessWithUser,
    UserLookup,
)
from homethrive_db.enums import AccessStatus
from homethrive_db.errors import ConflictError, ValidationError
from homethrive_db.repositories.access_states import (
    ACCEPT_INVITE,
    APPROVE_REQUEST,
    REVOKE,
    any_transition,
    change_status,
)
from homethrive_db.statements import Statement, columns, param, statement

_TABLE = models.CaregiverAccess
_ACCESS = columns(_TABLE, CaregiverAccess)

_OPTIONAL_INSTANT = validation.optional(validation.instant)

_BETWEEN_THEM = (_TABLE.caregiver_user == param("caregiver_user_id")) & (
    _TABLE.recipient_user == param("recipient_user_id")
)
_IS_ACTIVE = _TABLE.status != AccessStatus.REVOKED
_IS_APPROVED = _TABLE.status == AccessStatus.APPROVED

_FIND_USER_BY_EMAIL = statement(
    models.User.select(*columns(models.User, UserLookup))
    .where(fn.LOWER(models.User.email) == fn.LOWER(param("email")))
    .limit(2)
)

_FIND = statement(_TABLE.select(*_ACCESS).where(_TABLE.id == param("access_id")))

_FIND_ACTIVE = statement(_TABLE.select(*_ACCESS).where(_BETWEEN_THEM, _IS_ACTIVE))

_IS_APPROVED_BETWEEN = statement(_TABLE.select(SQL("true")).where(_BETWEEN_THEM, _IS_APPROVED))

_APPROVED_RECIPIENTS = statement(
    _TABLE.select(_TABLE.recipient_user)
    .where(_TABLE.caregiver_user == param("caregiver_user_id"), _IS_APPROVED)
    .order_by(_TABLE.created_at, _TABLE.id)
)

_NOTHING = SQL("NULL")


# Subqueries: of three tables, to plan a join takes longer than all the rest.
def _of_user(side: Field, shown: Any) -> Any:
    return models.User.select(shown).where(models.User.clerk_user_id == side)


def _of_profile(side: Field, shown: Field) -> Any:
    return models.CareRecipient.select(shown).where(models.CareRecipient.user == side)


def _list(of: Field, shown: Sequence[Any]) -> Statement:
    """List the active accesses of one side, with what is *shown* of the other."""
    return statement(
        _TABLE.select(*_ACCESS, *shown)
        .where(of == param("user_id"), _IS_ACTIVE)
        .order_by(_TABLE.created_at, _TABLE.id)
    )


_LIST_CAREGIVERS = _list(
    _TABLE.recipient_user,
    [
        fn.COALESCE(
            _of_profile(_TABLE.caregiver_user, models.CareRecipient.display_name),
            _of_user(
                _TABLE.caregiver_user, fn.COALESCE(models.User.display_name, models.User.email)
            ),
        ),
        _of_user(_TABLE.caregiver_user, models.User.email),
        *[_NOTHING] * 4,
    ],
)

_LIST_RECIPIENTS = _list(
    _TABLE.caregiver_user,
    [
        *[_NOTHING] * 2,
        _of_profile(_TABLE.recipient_user, models.CareRecipient.display_name),
        _of_user(_TABLE.recipient_user, models.User.email),
        _of_profile(_TABLE.recipient_user, models.CareRecipient.id),
        _of_profile(_TABLE.recipient_user, models.CareRecipient.timezone),
    ],
)

_CREATE = statement(
    _TABLE.insert(
        {
            _TABLE.caregiver_user: param("caregiver_user_id"),
            _TABLE.recipient_user: param("recipient_user_id"),
            _TABLE.status: param("status"),
            _TABLE.requested_at: param("requested_at"),
            _TABLE.created_at: fn.statement_timestamp(),
            _TABLE.updated_at: fn.statement_timestamp(),
        }
    )
    .on_conflict_ignore()
    .returning(*_ACCESS)
)


class CaregiverAccessRepository:
    """Reads and writes caregiver accesses.

    ``find_by_id``, ``create`` and ``update_status`` check nobody: they are for services that have
    checked already. ``approve_request``, ``accept_invite`` and ``revoke`` check the acting user.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def find_user_by_email(self, email: str) -> UserLookup | None:
        """Find a user by email address, case aside; ``%`` and ``_`` are plain characters.

        Raises ConflictError (``AMBIGUOUS_EMAIL``) where two users have the address.
        """
        found = self._db.rows(_FIND_USER_BY_EMAIL, {"email": validation.text(email, "email")})
        if len(found) > 1:
            raise ConflictError("more than one user has this email address", "AMBIGUOUS_EMAIL")
        return UserLookup(*found[0]) if found else None

    def find_by_id(self, access_id: UUID | str) -> CaregiverAccess | None:
        """Find an access."""
        return self._db.first(
            _FIND, CaregiverAccess.from_row, access_id=validation.uuid(access_id, "access_id")
        )

    def find_active_access(
        self, caregiver_user_id: str, recipient_user_id: str
    ) -> CaregiverAccess | None:
        """Find the access between the two that is not revoked; there is at most one."""
        return self._db.first(
            _FIND_ACTIVE,
            CaregiverAccess.from_row,
            **_sides(caregiver_user_id, recipient_user_id),
        )

    def has_approved_access(self, caregiver_user_id: str, recipient_user_id: str) -> bool:
        """Say whether the caregiver's access to the recipient is approved."""
        sides = _sides(caregiver_user_id, recipient_user_id)
        return bool(self._db.rows(_IS_APPROVED_BETWEEN, sides))

    def approved_recipient_user_ids(self, caregiver_user_id: str) -> list[str]:
        """List the users whose care the caregiver has an approved access to, oldest first."""
        checked = validation.user_id(caregiver_user_id, "caregiver_user_id")
        rows = self._db.rows(_APPROVED_RECIPIENTS, {"caregiver_user_id": checked})
        return [user_id for (user_id,) in rows]

    def list_caregivers_for_recipient(
        self, recipient_user_id: str
    ) -> list[CaregiverAccessWithUser]:
        """List the accesses to the recipient that are not revoked, with the caregivers shown.

        A caregiver's display name is that of the own profile, else of the user, else the email.
        """
        return self._db.all(
            _LIST_CAREGIVERS,
            CaregiverAccessWithUser.from_row,
            user_id=validation.user_id(recipient_user_id, "recipient_user_id"),
        )

    def list_recipients_for_caregiver(
        self, caregiver_user_id: str
    ) -> list[CaregiverAccessWithUser]:
        """List the accesses of the caregiver that are not revoked, with the recipients shown.

        A recipient's display name is that of the own profile, None where there is no profile yet.
        """
        return self._db.all(
            _LIST_RECIPIENTS,
            CaregiverAccessWithUser.from_row,
            user_id=validation.user_id(caregiver_user_id, "caregiver_user_id"),
        )

    def create(
        self,
        *,
        caregiver_user_id: str,
        recipient_user_id: str,
        status: AccessStatus | str,
        requested_at: datetime | None,
    ) -> CaregiverAccess:
        """Create an access in the state *status*.

        Raises ValidationError (also for a caregiver of oneself), NotFoundError
        (``USER_NOT_FOUND``), and ConflictError (``ACTIVE_ACCESS_EXISTS``) where the two have one
        that is not revoked.
        """
        created = self._db.first(
            _CREATE,
            CaregiverAccess.from_row,
            **_sides(caregiver_user_id, recipient_user_id, distinct=True),
            # As plain text: psycopg2 takes five times as long to adapt a subclass.
            status=validation.member(status, AccessStatus, "status").value,
            requested_at=_OPTIONAL_INSTANT(requested_at, "requested_at"),
        )
        if created is None:
            raise ConflictError("there is an active access already", "ACTIVE_ACCESS_EXISTS")
        return created

    def update_status(
        self,
        access_id: UUID | str,
        status: AccessStatus | str,
        *,
        approved_at: datetime | None = None,
        revoked_at: datetime | None = None,
    ) -> CaregiverAccess | None:
        """Change the status: a pending one to approved or revoked, an approved one to revoked.

        None where there is no such access; ConflictError (``INVALID_ACCESS_STATE``) for any other
        change. An instant that is not passed stays as it is stored.
        """
        to = validation.member(status, AccessStatus, "status")
        instants: dict[str, object] = {}
        if approved_at is not None:
            instants["approved_at"] = validation.instant(approved_at, "approved_at")
        if revoked_at is not None:
            instants["revoked_at"] = validation.instant(revoked_at, "revoked_at")
        transition = any_transition(to, frozenset(instants))
        return change_status(self._db, transition, access_id, **instants)

    def approve_request(
        self, recipient_user_id: str, access_id: UUID | str, at: datetime
    ) -> CaregiverAccess | None:
        """Approve a caregiver's request, as the recipient, at the instant *at*.

        None where there is no such access to the user; ConflictError (``INVALID_ACCESS_STATE``)
        where it is not a pending request.
        """
        return change_status(
            self._db,
            APPROVE_REQUEST,
            access_id,
            user_id=validation.user_id(recipient_user_id, "recipient_user_id"),
            approved_at=validation.instant(at, "at"),
        )

    def accept_invite(
        self, caregiver_user_id: str, access_id: UUID | str, at: datetime
    ) -> CaregiverAccess | None:
        """Accept a recipient's invitation, as the caregiver, at the instant *at*.

        None where the user has no such access; ConflictError (``INVALID_ACCESS_STATE``) where it
        is not a pending invitation.
        """
        return change_status(
            self._db,
            ACCEPT_INVITE,
            access_id,
            user_id=validation.user_id(caregiver_user_id, "caregiver_user_id"),
            approved_at=validation.instant(at, "at"),
        )

    def revoke(self, user_id: str, access_id: UUID | str, at: datetime) -> CaregiverAccess | None:
        """Revoke an access, as either side of it, at the instant *at*.

        None where the user is no side of such an access; ConflictError
        (``INVALID_ACCESS_STATE``) where it is revoked already.
        """
        return change_status(
            self._db,
            REVOKE,
            access_id,
            user_id=validation.user_id(user_id),
            revoked_at=validation.instant(at, "at"),
        )


def _sides(
    caregiver_user_id: str, recipient_user_id: str, *, distinct: bool = False
) -> dict[str, object]:
    if distinct and caregiver_user_id == recipient_user_id:
        raise ValidationError.of("caregiver_user_id", "nobody is a caregiver of themselves")
    return {
        "caregiver_user_id": validation.user_id(caregiver_user_id, "caregiver_user_id"),
        "recipient_user_id": validation.user_id(recipient_user_id, "recipient_user_id"),
    }
