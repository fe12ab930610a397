"""A ``typing.Protocol`` for each repository, free of Peewee: what a core may depend on.

The repositories' own docstrings say what each method means and raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol, Unpack
from uuid import UUID

from homethrive_db.doses.adherence import GRACE, Adherence
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.entities import (
    PAGE_SIZE,
    CaregiverAccess,
    CaregiverAccessWithUser,
    CareRecipient,
    CareRecipientChanges,
    DoseKey,
    DoseOutcome,
    DoseReport,
    DoseTaken,
    Medication,
    MedicationChanges,
    MedicationSchedule,
    MedicationWithSchedules,
    NewDoseTaken,
    NewMedication,
    NewSchedule,
    ScheduleChanges,
    ScheduleRevision,
    TakenInfo,
    User,
    UserLookup,
    UserProfile,
)
from homethrive_db.enums import AccessStatus


class UserRepository(Protocol):
    """Reads and writes users. No method checks who asks: the ids come from the sign-in."""

    def find_by_clerk_user_id(self, clerk_user_id: str) -> User | None:
        """Find a user; None where there is none."""

    def upsert(self, clerk_user_id: str, **profile: Unpack[UserProfile]) -> User:
        """Create a user or update the one there is: what is not passed stays, None clears."""

    def complete_onboarding(
        self,
        clerk_user_id: str,
        *,
        display_name: str,
        timezone: str,
        is_recipient: bool,
        is_caregiver: bool,
    ) -> User:
        """Store what onboarding asks for and mark it complete; safe to repeat."""

    def update_roles(self, clerk_user_id: str, *, is_recipient: bool, is_caregiver: bool) -> User:
        """Set what the user is here for."""


class CareRecipientRepository(Protocol):
    """Reads and writes the profiles that a user may reach."""

    def find_by_id(self, user_id: str, recipient_id: UUID | str) -> CareRecipient | None:
        """Find a profile that *user_id* may see; None covers absent and not theirs alike."""

    def find_by_user_id(self, user_id: str) -> CareRecipient | None:
        """Find the user's own profile."""

    def list_for_caregiver(self, user_id: str) -> list[CareRecipient]:
        """List every profile that *user_id* may see, their own included, oldest first."""

    def iter_for_caregiver(
        self,
        user_id: str,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[CareRecipient]:
        """Give what ``list_for_caregiver`` lists, by pages; goes on *after* a key."""

    def create(
        self, user_id: str, *, display_name: str, timezone: str = "America/New_York"
    ) -> CareRecipient:
        """Create a profile of somebody who does not sign in; *user_id* is its creator."""

    def find_or_create_own_profile(self, user_id: str, display_name: str) -> CareRecipient:
        """Give the user's own profile, made in America/New_York where there is none; atomic."""

    def update(
        self, user_id: str, recipient_id: UUID | str, **changes: Unpack[CareRecipientChanges]
    ) -> CareRecipient | None:
        """Change what is passed; None where the profile is absent or not theirs."""


class CaregiverAccessRepository(Protocol):
    """Reads and writes caregiver accesses."""

    def find_user_by_email(self, email: str) -> UserLookup | None:
        """Find a user by email address, case aside; ``%`` and ``_`` are plain characters."""

    def find_by_id(self, access_id: UUID | str) -> CaregiverAccess | None:
        """Find an access."""

    def find_active_access(
        self, caregiver_user_id: str, recipient_user_id: str
    ) -> CaregiverAccess | None:
        """Find the access between the two that is not revoked; there is at most one."""

    def has_approved_access(self, caregiver_user_id: str, recipient_user_id: str) -> bool:
        """Say whether the caregiver's access to the recipient is approved."""

    def approved_recipient_user_ids(self, caregiver_user_id: str) -> list[str]:
        """List the users whose care the caregiver has an approved access to, oldest first."""

    def list_caregivers_for_recipient(
        self, recipient_user_id: str
    ) -> list[CaregiverAccessWithUser]:
        """List the accesses to the recipient that are not revoked, with the caregivers shown."""

    def list_recipients_for_caregiver(
        self, caregiver_user_id: str
    ) -> list[CaregiverAccessWithUser]:
        """List the accesses of the caregiver that are not revoked, with the recipients shown."""

    def create(
        self,
        *,
        caregiver_user_id: str,
        recipient_user_id: str,
        status: AccessStatus | str,
        requested_at: datetime | None,
    ) -> CaregiverAccess:
        """Create an access in the state *status*."""

    def update_status(
        self,
        access_id: UUID | str,
        status: AccessStatus | str,
        *,
        approved_at: datetime | None = None,
        revoked_at: datetime | None = None,
    ) -> CaregiverAccess | None:
        """Change the status: a pending one to approved or revoked, an approved one to revoked."""

    def approve_request(
        self, recipient_user_id: str, access_id: UUID | str, at: datetime
    ) -> CaregiverAccess | None:
        """Approve a caregiver's request, as the recipient, at the instant *at*."""

    def accept_invite(
        self, caregiver_user_id: str, access_id: UUID | str, at: datetime
    ) -> CaregiverAccess | None:
        """Accept a recipient's invitation, as the caregiver, at the instant *at*."""

    def revoke(self, user_id: str, access_id: UUID | str, at: datetime) -> CaregiverAccess | None:
        """Revoke an access, as either side of it, at the instant *at*."""


class MedicationRepository(Protocol):
    """Reads and writes the medications of the care recipients that a user may reach."""

    def find_by_id(self, user_id: str, medication_id: UUID | str) -> Medication | None:
        """Find a medication that *user_id* may see; None covers absent and not theirs alike."""

    def list_by_recipient(
        self, user_id: str, recipient_id: UUID | str, *, include_inactive: bool = False
    ) -> list[Medication]:
        """List a recipient's medications, oldest first; empty where *user_id* may not see them."""

    def iter_by_recipient(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        include_inactive: bool = False,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Medication]:
        """Give what ``list_by_recipient`` lists, by pages; goes on *after* a key."""

    def create(
        self, user_id: str, recipient_id: UUID | str, *, name: str, instructions: str | None = None
    ) -> Medication:
        """Create an active medication. Not idempotent."""

    def create_with_schedules(
        self,
        user_id: str,
        recipient_id: UUID | str,
        medication: NewMedication,
        schedules: Sequence[NewSchedule],
    ) -> MedicationWithSchedules:
        """Create a medication and its schedules, at least one: all or nothing, one statement."""

    def update(
        self, user_id: str, medication_id: UUID | str, **changes: Unpack[MedicationChanges]
    ) -> Medication | None:
        """Change what is passed, None clears the instructions; None where it is not theirs."""

    def set_inactive(
        self, user_id: str, medication_id: UUID | str, inactive_at: datetime
    ) -> Medication | None:
        """Deactivate a medication: no dose is due after *inactive_at*."""

    def set_active(self, user_id: str, medication_id: UUID | str) -> Medication | None:
        """Take a deactivation back; None where the medication is absent or not theirs."""


class ScheduleRepository(Protocol):
    """Reads and writes the schedules of the medications that a user may reach."""

    def find_by_id(self, user_id: str, schedule_id: UUID | str) -> MedicationSchedule | None:
        """Find a schedule that *user_id* may see; None covers absent and not theirs alike."""

    def list_by_medication(
        self, user_id: str, medication_id: UUID | str
    ) -> list[MedicationSchedule]:
        """List a medication's schedules, ended ones included, oldest first."""

    def list_by_recipient(self, user_id: str, recipient_id: UUID | str) -> list[MedicationSchedule]:
        """List the schedules of all medications of a recipient, oldest first."""

    def iter_by_recipient(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[MedicationSchedule]:
        """Give what ``list_by_recipient`` lists, by pages; goes on *after* a key."""

    def create_many(
        self, user_id: str, schedules: Mapping[UUID, Sequence[NewSchedule]]
    ) -> list[MedicationSchedule]:
        """Create schedules of several medications, in input order: all or nothing."""

    def update(
        self, user_id: str, schedule_id: UUID | str, **changes: Unpack[ScheduleChanges]
    ) -> MedicationSchedule | None:
        """Change what is passed, None clears what may be absent; None where it is not theirs."""

    def revise(
        self,
        user_id: str,
        schedule_id: UUID | str,
        effective: date,
        **changes: Unpack[ScheduleRevision],
    ) -> MedicationSchedule | None:
        """Change a schedule from the local date *effective* on; gives the new one that goes on."""

    def end(self, user_id: str, schedule_id: UUID | str, on: date) -> MedicationSchedule | None:
        """End a schedule; *on* is the last local date on which it is due."""

    def count_active_by_medication(self, user_id: str, medication_id: UUID | str) -> int:
        """Count a medication's schedules without an end, or with one not before today."""


class DoseTakenRepository(Protocol):
    """Records the doses of the care recipients that a user may reach."""

    def mark_taken(self, user_id: str, dose: NewDoseTaken) -> DoseTaken:
        """Record a dose and give the stored row: the first report's, whoever repeats it."""

    def mark_taken_many(self, reports: Iterable[DoseReport]) -> list[DoseOutcome]:
        """Record the doses that many users report, and tell in input order what became of each."""

    def unmark_taken(self, user_id: str, schedule_id: UUID | str, scheduled_for: datetime) -> bool:
        """Take a recorded dose back; False where there is none that *user_id* may reach."""

    def taken_map(
        self, user_id: str, schedule_ids: Iterable[UUID | str], start: datetime, end: datetime
    ) -> dict[DoseKey, TakenInfo]:
        """Map the doses due from *start* to before *end* to how they were taken."""

    def iter_by_recipient(  # noqa: PLR0913  # a window, and where in it to go on
        self,
        user_id: str,
        recipient_id: UUID | str,
        start: datetime,
        end: datetime,
        *,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[DoseTaken]:
        """Give a recipient's doses due in the window, by pages; goes on *after* a key."""


class DoseRepository(Protocol):
    """Tells the doses of the care recipients that a user may reach, and settles them."""

    def list_upcoming(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        include_inactive: bool = False,
    ) -> list[DoseOccurrence]:
        """List the doses due from *start* to before *end*, each with what became of it."""

    def adherence(
        self,
        user_id: str,
        recipient_id: UUID | str,
        start: datetime,
        end: datetime,
        *,
        grace: timedelta = GRACE,
    ) -> Adherence:
        """Tell what was due from *start* to before *end*, and what became of it."""

    def record(
        self, user_id: str, dose_id: str, *, taken_at: datetime | None = None
    ) -> DoseOccurrence:
        """Record a dose as taken, now unless told when, and give it as it is stored."""

    def skip(self, user_id: str, dose_id: str, *, reason: str | None = None) -> DoseOccurrence:
        """Record that a dose is left out on purpose, and give it as it is stored."""

    def undo(self, user_id: str, dose_id: str) -> DoseOccurrence:
        """Take back that a dose was taken or skipped, and give it as it is then."""
