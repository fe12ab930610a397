"""The one access rule: whom a user may reach. What they may not reach does not exist for them."""

from __future__ import annotations

from typing import Any

from peewee import ColumnBase, Expression, fn

from homethrive_db.enums import AccessStatus
from homethrive_db.models import CaregiverAccess, CareRecipient, Medication, MedicationSchedule


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


def reached_medications(medications: Any, user_id: ColumnBase) -> Any:
    """Keep of a query of medications those whose recipient a user may reach."""
    return medications.join(
        CareRecipient, on=(CareRecipient.id == Medication.recipient) & accessible_to(user_id)
    )


def reached_schedules(schedules: Any, user_id: ColumnBase) -> Any:
    """Keep of a query of schedules those whose recipient a user may reach."""
    return reached_medications(
        schedules.join(Medication, on=MedicationSchedule.medication == Medication.id), user_id
    )
