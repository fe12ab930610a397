"""The one access rule: whom a user may reach. What they may not reach does not exist for them."""

from __future__ import annotations

from typing import Any

from peewee import OP, SQL, ColumnBase, Expression, Select, fn

from homethrive_db.enums import AccessStatus
from homethrive_db.models import CaregiverAccess, CareRecipient, Medication, MedicationSchedule

Id = ColumnBase | Select
"""What gives an id: a column, a value of the call, or a subquery."""


def accessible_to(user_id: ColumnBase) -> Expression:
    """Hold where a user may reach the care recipient of the row.

    They own the profile, created it, or hold an approved access to its owner. Part of the SQL of
    every statement that serves a user. It costs the same for somebody who cares for thousands: one
    access is looked up.
    """
    # EXISTS takes longer to plan: PostgreSQL plans it as a hash, too. LIMIT, since a transaction
    # that grants an access anew may still see the one that another has revoked meanwhile.
    approved = _approved(user_id).where(CaregiverAccess.recipient_user == CareRecipient.user)
    return _is_own(user_id) | approved.select(SQL("true")).limit(1)


def all_accessible_to(user_id: ColumnBase) -> Expression:
    """Hold for the care recipients that a user may reach, to find them all."""
    # As an array and not as EXISTS, so that PostgreSQL takes the index of either column.
    owners = _approved(user_id).select(CaregiverAccess.recipient_user)
    return _is_own(user_id) | (CareRecipient.user == fn.ANY(fn.ARRAY(owners)))


def _is_own(user_id: ColumnBase) -> Expression:
    is_own: Expression = (CareRecipient.user == user_id) | (
        CareRecipient.created_by_user == user_id
    )
    return is_own


def _approved(user_id: ColumnBase) -> Select:
    return CaregiverAccess.select().where(
        CaregiverAccess.caregiver_user == user_id,
        CaregiverAccess.status == AccessStatus.APPROVED,
    )


def reached_profile(user_id: ColumnBase, recipient_id: Id) -> Expression:
    """Hold for the care recipient of this id, where a user may reach them.

    IS TRUE says that the id alone is to be looked up: PostgreSQL plans for no other index.
    """
    is_reached: Expression = (CareRecipient.id == recipient_id) & Expression(
        accessible_to(user_id), OP.IS, SQL("TRUE")
    )
    return is_reached


def reaches(user_id: ColumnBase, recipient_id: Id) -> Select:
    """Hold where a user may reach the care recipient of this id.

    A subquery, like those below that give an id: PostgreSQL plans each by itself, in half the time
    that it takes to plan a join of their tables, and of a look-up planning takes the most.
    """
    return CareRecipient.select(accessible_to(user_id)).where(CareRecipient.id == recipient_id)


def recipient_of(medication_id: Id) -> Select:
    """Give the id of the care recipient who takes a medication."""
    return Medication.select(Medication.recipient).where(Medication.id == medication_id)


def medication_of(schedule_id: Id) -> Select:
    """Give the id of the medication that a schedule is of."""
    return MedicationSchedule.select(MedicationSchedule.medication).where(
        MedicationSchedule.id == schedule_id
    )


def reached_schedule(user_id: ColumnBase, schedule_id: Id) -> Expression:
    """Hold for the schedule of this id, where a user may reach the recipient."""
    is_reached: Expression = (MedicationSchedule.id == schedule_id) & reaches(
        user_id, recipient_of(MedicationSchedule.medication)
    )
    return is_reached


def with_reached_recipient(schedules: Any, user_id: ColumnBase) -> Any:
    """Join to a query of schedules what they belong to, where a user may reach the recipient."""
    return schedules.join(Medication, on=MedicationSchedule.medication == Medication.id).join(
        CareRecipient, on=reached_profile(user_id, Medication.recipient)
    )
