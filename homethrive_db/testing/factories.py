"""Factories: an entity of every kind with believable values, any of them overridden.

    factory.medication(name="Ibuprofen 400 mg")

What an entity needs and is not given is made first: a schedule its medication, a medication its
recipient, a recipient its user.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

from faker import Faker
from peewee import fn

from homethrive_db import models
from homethrive_db.entities import (
    CaregiverAccess,
    CareRecipient,
    DoseReport,
    DoseTaken,
    Medication,
    MedicationSchedule,
    NewDoseTaken,
    NewMedication,
    NewSchedule,
    User,
)
from homethrive_db.enums import AccessStatus
from homethrive_db.repositories import Repositories
from homethrive_db.statements import param, statement

MEDICATIONS = (
    "Amlodipine 5 mg",
    "Atorvastatin 20 mg",
    "Levothyroxine 50 µg",
    "Lisinopril 10 mg",
    "Metformin 500 mg",
    "Omeprazole 20 mg",
    "Sertraline 50 mg",
)

_USER_OF = statement(
    models.Medication.select(
        fn.COALESCE(models.CareRecipient.user, models.CareRecipient.created_by_user)
    )
    .join(models.CareRecipient)
    .where(models.Medication.id == param("id"))
)


class Factory:
    """Makes entities in a database, and inputs, the same ones for the same *seed*."""

    def __init__(self, repositories: Repositories, *, seed: int = 0) -> None:
        self._repositories = repositories
        self._faker = Faker("en_US")
        self._faker.seed_instance(seed)

    def user(self, clerk_user_id: str | None = None, **profile: Any) -> User:
        """Make a user; further arguments are those of ``users.upsert``."""
        name = self._faker.unique.name()
        return self._repositories.users.upsert(
            clerk_user_id or f"user_{self._faker.unique.hexify('^^^^^^^^^^^^')}",
            **{
                "email": f"{name.lower().replace(' ', '.')}@example.org",
                "display_name": name,
                **profile,
            },
        )

    def own_profile(self, user: User | None = None, **changes: Any) -> CareRecipient:
        """Make the own profile of a user; further arguments are those of ``update``."""
        user = user or self.user()
        user_id = user.clerk_user_id
        profile = self._repositories.care_recipients.find_or_create_own_profile(
            user_id, user.display_name or user_id
        )
        if changes:
            updated = self._repositories.care_recipients.update(user_id, profile.id, **changes)
            profile = updated or profile
        return profile

    def care_recipient(self, creator: User | None = None, **values: Any) -> CareRecipient:
        """Make a profile of somebody who does not sign in."""
        creator = creator or self.user()
        return self._repositories.care_recipients.create(
            creator.clerk_user_id, **{"display_name": self._faker.name(), **values}
        )

    def caregiver_access(
        self,
        caregiver: User | None = None,
        recipient: User | None = None,
        *,
        status: AccessStatus | str = AccessStatus.APPROVED,
        requested_at: datetime = datetime(2025, 1, 1, 12, tzinfo=UTC),
    ) -> CaregiverAccess:
        """Make the access of one user to the care of another."""
        return self._repositories.caregiver_access.create(
            caregiver_user_id=(caregiver or self.user()).clerk_user_id,
            recipient_user_id=(recipient or self.user()).clerk_user_id,
            status=status,
            requested_at=requested_at,
        )

    def medication(self, recipient: CareRecipient | None = None, **values: Any) -> Medication:
        """Make an active medication."""
        recipient = recipient or self.own_profile()
        new = self.new_medication(**values)
        return self._repositories.medications.create(
            recipient.user_id or recipient.created_by_user_id or "",
            recipient.id,
            name=new.name,
            instructions=new.instructions,
        )

    def schedule(self, medication: Medication | None = None, **values: Any) -> MedicationSchedule:
        """Make a schedule, daily unless told otherwise."""
        medication = medication or self.medication()
        return self._repositories.schedules.create_many(
            self.user_of(medication.id),
            {medication.id: [self.new_schedule(**values)]},
        )[0]

    def dose_taken(self, schedule: MedicationSchedule | None = None, **values: Any) -> DoseTaken:
        """Make a dose, taken as ``user_of`` tells."""
        schedule = schedule or self.schedule()
        return self._repositories.doses_taken.mark_taken(
            self.user_of(schedule.medication_id),
            self.new_dose_taken(schedule_id=schedule.id, **values),
        )

    def user_of(self, medication_id: UUID) -> str:
        """Tell who takes a medication, or who looks after who does and does not sign in."""
        user_id: str = self._repositories._db.rows(_USER_OF, {"id": medication_id})[0][0]
        return user_id

    def new_medication(self, **values: Any) -> NewMedication:
        """Make the input for a medication."""
        name = self._faker.random_element(MEDICATIONS)
        return NewMedication(**{"name": name, "instructions": "With a glass of water", **values})

    def new_schedule(self, **values: Any) -> NewSchedule:
        """Make the input for a schedule, daily unless told otherwise."""
        defaults = {
            "recurrence": "daily",
            "time_of_day": time(self._faker.random_int(6, 22), 30),
            "start_date": date(2025, 1, 1),
        }
        return NewSchedule(**{**defaults, **values})

    def new_dose_taken(self, **values: Any) -> NewDoseTaken:
        """Make the input for a dose, taken some minutes after it was due."""
        return NewDoseTaken(**self._dose(values))

    def dose_report(self, **values: Any) -> DoseReport:
        """Make a report for a batch, of a schedule that is not there unless one is given."""
        user_id = values.pop("user_id", "user_of_nobody")
        return DoseReport(user_id=user_id, **self._dose(values))

    def _dose(self, values: dict[str, Any]) -> dict[str, Any]:
        due = datetime(2025, 3, 1, 8, 30, tzinfo=UTC) + timedelta(
            days=self._faker.random_int(0, 300)
        )
        due = values.get("scheduled_for", due)
        taken_at = due + timedelta(minutes=self._faker.random_int(0, 50))
        return {"schedule_id": uuid4(), "scheduled_for": due, "taken_at": taken_at, **values}
