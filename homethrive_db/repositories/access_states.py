"""The states of a caregiver access, and the statements that take it from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from peewee import Expression, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import CaregiverAccess
from homethrive_db.enums import AccessStatus
from homethrive_db.errors import ConflictError
from homethrive_db.statements import Statement, columns, param, statement

_TABLE = models.CaregiverAccess
_ACCESS = columns(_TABLE, CaregiverAccess)

_PENDING = (AccessStatus.PENDING_REQUEST, AccessStatus.PENDING_INVITE)
_LEGAL_FROM: dict[AccessStatus, tuple[AccessStatus, ...]] = {
    AccessStatus.PENDING_REQUEST: (),
    AccessStatus.PENDING_INVITE: (),
    AccessStatus.APPROVED: _PENDING,
    AccessStatus.REVOKED: (*_PENDING, AccessStatus.APPROVED),
}


@dataclass(frozen=True)
class Transition:
    """Two statements: one that changes the status, and one that finds what was not changed."""

    to: AccessStatus
    change: Statement
    find: Statement


def _is_among(states: Sequence[AccessStatus]) -> Expression:
    """Hold where the status is one of *states*; where it is any but one, say so: it is quicker."""
    others = [one for one in AccessStatus if one not in states]
    is_among: Expression = (
        _TABLE.status != others[0] if len(others) == 1 else _TABLE.status.in_(states)
    )
    return is_among


def _transition(
    name: str,
    to: AccessStatus,
    legal_from: Sequence[AccessStatus],
    *instants: str,
    acting: Expression | None = None,
) -> Transition:
    """Change the status where the stored one is among *legal_from*, and set *instants*.

    *acting* limits the accesses to those that the acting user is a side of.
    """
    is_asked_for = _TABLE.id == param("access_id")
    if acting is not None:
        is_asked_for &= acting
    change = (
        _TABLE.update(
            {
                _TABLE.status: to,
                _TABLE.updated_at: fn.statement_timestamp(),
                **{getattr(_TABLE, instant): param(instant) for instant in instants},
            }
        )
        .where(is_asked_for, _is_among(legal_from))
        .returning(*_ACCESS)
    )
    find = _TABLE.select(_TABLE.id).where(is_asked_for)
    return Transition(to, statement(change, name=name), statement(find, name=f"explain_{name}"))


_IS_RECIPIENT = _TABLE.recipient_user == param("user_id")
_IS_CAREGIVER = _TABLE.caregiver_user == param("user_id")

APPROVE_REQUEST = _transition(
    "approve_request",
    AccessStatus.APPROVED,
    [AccessStatus.PENDING_REQUEST],
    "approved_at",
    acting=_IS_RECIPIENT,
)
ACCEPT_INVITE = _transition(
    "accept_invite",
    AccessStatus.APPROVED,
    [AccessStatus.PENDING_INVITE],
    "approved_at",
    acting=_IS_CAREGIVER,
)
REVOKE = _transition(
    "revoke",
    AccessStatus.REVOKED,
    _LEGAL_FROM[AccessStatus.REVOKED],
    "revoked_at",
    acting=_IS_RECIPIENT | _IS_CAREGIVER,
)


@cache
def any_transition(to: AccessStatus, instants: frozenset[str]) -> Transition:
    """Make the transition from every state from which it is legal, whoever acts."""
    return _transition("update_status", to, _LEGAL_FROM[to], *instants)


def change_status(
    db: Database, transition: Transition, access_id: UUID | str, **parameters: object
) -> CaregiverAccess | None:
    """Make a transition; None where there is no such access.

    One statement where it is legal, else a second that tells the cases apart. Raises
    ValidationError, and ConflictError (``INVALID_ACCESS_STATE``) where it is not legal from the
    stored status.
    """
    parameters["access_id"] = validation.uuid(access_id, "access_id")
    changed = db.first(transition.change, CaregiverAccess.from_row, **parameters)
    if changed is None and db.rows(transition.find, parameters):
        raise ConflictError(
            f"an access in this state cannot become {transition.to}", "INVALID_ACCESS_STATE"
        )
    return changed
