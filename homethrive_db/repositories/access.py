"""The one access rule: whom a user may reach. What they may not reach does not exist for them."""

from __future__ import annotations

from typing import Any

from peewee import OP, SQL, ColumnBase, Expression, Select, fn

from homethrive_db.enums import AccessStatus
from homethrive_db.models import CaregiverAccess, CareRecipient, Medication, MedicationSchedule

Id = ColumnBase | Select
"""What gives an id: a column, a value of the call, or a subquery."""


def accessible_to(user_id: ColumnBase) -> Expression:
    """Hold for the care recipients that a user may reach.

    They own the profile, created it, or hold an approved access to its owner. Part of the SQL of
    every statement that serves a user.
    """
    # As an array and not as EXISTS, so that PostgreSQL takes the index of either column.
    approved = CaregiverAccess.select(CaregiverAccess.recipient_user).where(
        CaregiverAccess.caregiver_user == user_id,
        CaregiverAccess.status == AccessStatus.APPROVED,
    )
    return (
        (CareRecipient.user == user_id)
        | (CareRecipient.created_by_user == user_id)
        | (CareRecipient.user == fn.ANY(fn.ARRAY(approved)))
    )


def reached_profile(user_id: ColumnBase, recipient_id: Id) -> Expression:
    """Hold for the care recipient of this id, where a user may reach them.

    IS TRUE says that the id alone is to be looked up: PostgreSQL plans for no other index.
    """
    is_accessible = Expression(accessible_to(user_id), OP.IS, SQL("TRUE"))
    is_reached: Expression = (CareRecipient.id == recipient_id) & is_accessible
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
