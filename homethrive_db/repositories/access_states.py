"""The states of a caregiver access, and the statements that take it from one to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from peewee import Expression, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import CaregiverAccess
from homethrive_db.enums import AccessStatus
from homethrive_db.errors import ConflictError
from homethrive_db.statements import Statement, array, columns, param, statement

_TABLE = models.CaregiverAccess
_ACCESS = columns(_TABLE, CaregiverAccess)
_ENUM = "access_status_enum"

_PENDING = (AccessStatus.PENDING_REQUEST, AccessStatus.PENDING_INVITE)
LEGAL_FROM = {
    AccessStatus.PENDING_REQUEST: (),
    AccessStatus.PENDING_INVITE: (),
    AccessStatus.APPROVED: _PENDING,
    AccessStatus.REVOKED: (*_PENDING, AccessStatus.APPROVED),
}


@dataclass(frozen=True)
class Transition:
    """Two statements: one that changes the status, and one that finds what was not changed."""

    change: Statement
    find: Statement


def _transition(acting: Expression | None = None) -> Transition:
    """Change the status where the stored one is among ``legal_from``.

    *acting* limits the accesses to those that the acting user is a side of.
    """
    is_asked_for = _TABLE.id == param("access_id")
    if acting is not None:
        is_asked_for &= acting
    change = (
        _TABLE.update(
            {
                _TABLE.status: param("status", _ENUM),
                _TABLE.approved_at: fn.COALESCE(
                    param("approved_at", "timestamptz"), _TABLE.approved_at
                ),
                _TABLE.revoked_at: fn.COALESCE(
                    param("revoked_at", "timestamptz"), _TABLE.revoked_at
                ),
                _TABLE.updated_at: fn.statement_timestamp(),
            }
        )
        .where(is_asked_for, _TABLE.status == fn.ANY(param("legal_from", f"{_ENUM}[]")))
        .returning(*_ACCESS)
    )
    return Transition(statement(change), statement(_TABLE.select(_TABLE.id).where(is_asked_for)))


_IS_RECIPIENT = _TABLE.recipient_user == param("user_id")
_IS_CAREGIVER = _TABLE.caregiver_user == param("user_id")

CHANGE_STATUS = _transition()
CHANGE_AS_RECIPIENT = _transition(_IS_RECIPIENT)
CHANGE_AS_CAREGIVER = _transition(_IS_CAREGIVER)
CHANGE_AS_EITHER = _transition(_IS_RECIPIENT | _IS_CAREGIVER)


def change_status(
    db: Database,
    transition: Transition,
    access_id: UUID | str,
    status: AccessStatus,
    legal_from: Iterable[AccessStatus],
    **parameters: object,
) -> CaregiverAccess | None:
    """Make a transition; None where there is no such access.

    One statement where it is legal, else a second that tells the cases apart. Raises
    ValidationError, and ConflictError (``INVALID_ACCESS_STATE``) where the stored status is
    not among *legal_from*.
    """
    values = {
        "access_id": validation.uuid(access_id, "access_id"),
        "status": status,
        "legal_from": array(legal_from),
        "approved_at": None,
        "revoked_at": None,
        **parameters,
    }
    changed = db.first(transition.change, CaregiverAccess.from_row, **values)
    if changed is None and db.rows(transition.find, values):
        raise ConflictError(
            f"an access in this state cannot become {status}", "INVALID_ACCESS_STATE"
        )
    return changed
