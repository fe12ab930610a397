"""Repositories: one class per aggregate, all over one database."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from homethrive_db import validation
from homethrive_db.database import Database
from homethrive_db.repositories.care_recipients import CareRecipientRepository
from homethrive_db.repositories.caregiver_access import CaregiverAccessRepository
from homethrive_db.repositories.doses_taken import DoseTakenRepository
from homethrive_db.repositories.medications import MedicationRepository
from homethrive_db.repositories.schedules import ScheduleRepository
from homethrive_db.repositories.users import UserRepository

if TYPE_CHECKING:
    from homethrive_db.doses.repository import DoseRepository


class Repositories:
    """Every repository, over one database. Raises ValidationError for what is none."""

    def __init__(self, db: Database) -> None:
        self._db = validation.made(db, Database, "db")
        self.users = UserRepository(db)
        self.care_recipients = CareRecipientRepository(db)
        self.caregiver_access = CaregiverAccessRepository(db)
        self.medications = MedicationRepository(db)
        self.schedules = ScheduleRepository(db)
        self.doses_taken = DoseTakenRepository(db)

    @cached_property
    def doses(self) -> DoseRepository:
        """What is due; imported on first use, since it brings time zones along."""
        from homethrive_db.doses.repository import DoseRepository

        return DoseRepository(self._db)


__all__ = [
    "CareRecipientRepository",
    "CaregiverAccessRepository",
    "DoseTakenRepository",
    "MedicationRepository",
    "Repositories",
    "ScheduleRepository",
    "UserRepository",
]
