"""What repositories take and return: frozen dataclasses, one per kind of record.

The fields of what is returned stand in the order in which statements select them. Inputs (``New…``
and ``DoseReport``) are validated when they are made and raise ``ValidationError``.
Every instant is an aware ``datetime`` in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypedDict
from uuid import UUID

from homethrive_db import validation
from homethrive_db.enums import AccessStatus, OutcomeStatus, Recurrence

PAGE_SIZE = 1_000
"""How many rows an ``iter_`` method reads at once."""


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in; ``clerk_user_id`` is their id everywhere."""

    clerk_user_id: str
    email: str | None
    display_name: str | None
    image_url: str | None
    timezone: str | None
    is_recipient: bool
    is_caregiver: bool
    has_completed_onboarding: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UserLookup:
    """What one user may learn of another by email."""

    clerk_user_id: str
    email: str | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class CareRecipient:
    """A profile of somebody who takes medications; ``user_id`` is set where they sign in."""

    id: UUID
    user_id: str | None
    created_by_user_id: str | None
    display_name: str
    timezone: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CaregiverAccess:
    """The access of one user, the caregiver, to the care of another."""

    id: UUID
    caregiver_user_id: str
    recipient_user_id: str
    status: AccessStatus
    requested_at: datetime | None
    approved_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, *row: Any) -> Self:
        """Make one of a row, whose columns have PostgreSQL's types."""
        id, caregiver_user_id, recipient_user_id, status, *rest = row
        return cls(id, caregiver_user_id, recipient_user_id, AccessStatus(status), *rest)


@dataclass(frozen=True, slots=True)
class CaregiverAccessWithUser(CaregiverAccess):
    """An access with what to show of the other side; the own side's fields are None."""

    caregiver_display_name: str | None
    caregiver_email: str | None
    recipient_display_name: str | None
    recipient_email: str | None
    recipient_care_recipient_id: UUID | None
    recipient_timezone: str | None


@dataclass(frozen=True, slots=True)
class Medication:
    """What a care recipient takes; ``inactive_at`` is the instant after which no dose is due."""

    id: UUID
    recipient_id: UUID
    name: str
    instructions: str | None
    is_active: bool
    inactive_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MedicationSchedule:
    """When a medication is due: ``time_of_day`` is local to ``timezone``, else the recipient's.

    ``days_of_week`` are ISO days (1 Monday to 7 Sunday); both dates are local and inclusive.
    """

    id: UUID
    medication_id: UUID
    recurrence: Recurrence
    time_of_day: time
    timezone: str | None
    days_of_week: tuple[int, ...] | None
    start_date: date
    end_date: date | None
    dosage_notes: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, *row: Any) -> Self:
        """Make one of a row, whose columns have PostgreSQL's types."""
        id, medication_id, recurrence, time_of_day, timezone, days, *rest = row
        return cls(
            id,
            medication_id,
            Recurrence(recurrence),
            time.fromisoformat(time_of_day),
            timezone,
            None if days is None else tuple(days),
            *rest,
        )


class MedicationWithSchedules(NamedTuple):
    """A medication and the schedules that were created with it, in input order."""

    medication: Medication
    schedules: list[MedicationSchedule]


@dataclass(frozen=True, slots=True)
class DoseTaken:
    """One dose that was taken: due at ``scheduled_for``, taken at ``taken_at``."""

    id: UUID
    recipient_id: UUID
    medication_id: UUID
    schedule_id: UUID
    scheduled_for: datetime
    taken_at: datetime
    taken_by_user_id: str


class DoseKey(NamedTuple):
    """What a dose is known by."""

    schedule_id: UUID
    scheduled_for: datetime


class TakenInfo(NamedTuple):
    """When a dose was taken and who recorded it."""

    taken_at: datetime
    taken_by_user_id: str


class _Input:
    """Checks each field by the rule of its name, and keeps the checked value."""

    __slots__ = ()
    _rules: ClassVar[validation.Rules]

    def __post_init__(self) -> None:
        for field, rule in self._rules.items():
            object.__setattr__(self, field, rule(getattr(self, field), field))


@dataclass(frozen=True, slots=True)
class NewMedication(_Input):
    """A medication to create: ``name`` 1 to 100 characters, ``instructions`` up to 500."""

    name: str
    instructions: str | None = None

    _rules = validation.MEDICATION


@dataclass(frozen=True, slots=True)
class NewSchedule(_Input):
    """A schedule to create: weekly needs ``days_of_week``, daily has none.

    ``recurrence`` may be its string value and ``time_of_day`` "HH:MM". ``timezone`` is an IANA
    name; None follows the recipient's. ``dosage_notes`` has up to 255 characters.
    """

    recurrence: Recurrence
    time_of_day: time
    start_date: date
    days_of_week: tuple[int, ...] | None = None
    timezone: str | None = None
    end_date: date | None = None
    dosage_notes: str | None = None

    _rules = validation.SCHEDULE

    if TYPE_CHECKING:  # what is taken is more than what is kept

        def __init__(  # noqa: PLR0913, PLR0917  # its fields
            self,
            recurrence: Recurrence | str,
            time_of_day: time | str,
            start_date: date,
            days_of_week: Iterable[int] | None = None,
            timezone: str | None = None,
            end_date: date | None = None,
            dosage_notes: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        _Input.__post_init__(self)
        validation.schedule_days(self.recurrence, self.days_of_week)
        validation.schedule_dates(self.start_date, self.end_date)


@dataclass(frozen=True, slots=True)
class NewDoseTaken(_Input):
    """A dose to mark: ``scheduled_for`` in whole milliseconds, both instants aware."""

    schedule_id: UUID
    scheduled_for: datetime
    taken_at: datetime

    _rules = validation.DOSE

    if TYPE_CHECKING:

        def __init__(
            self, schedule_id: UUID | str, scheduled_for: datetime, taken_at: datetime
        ) -> None: ...


@dataclass(frozen=True, slots=True)
class DoseReport(_Input):
    """A dose to mark in a batch, as ``user_id`` reports it."""

    user_id: str
    schedule_id: UUID
    scheduled_for: datetime
    taken_at: datetime

    _rules = {"user_id": validation.user_id, **validation.DOSE}

    if TYPE_CHECKING:

        def __init__(
            self,
            user_id: str,
            schedule_id: UUID | str,
            scheduled_for: datetime,
            taken_at: datetime,
        ) -> None: ...


@dataclass(frozen=True, slots=True)
class DoseOutcome:
    """What became of one report; ``dose`` is the stored row, None where there is none."""

    report: DoseReport
    status: OutcomeStatus
    dose: DoseTaken | None


class UserProfile(TypedDict, total=False):
    """What ``users.upsert`` may set; what is not passed stays, None clears."""

    email: str | None
    display_name: str | None
    image_url: str | None


class CareRecipientChanges(TypedDict, total=False):
    """What ``care_recipients.update`` may change."""

    display_name: str
    timezone: str


class MedicationChanges(TypedDict, total=False):
    """What ``medications.update`` may change; None clears the instructions."""

    name: str
    instructions: str | None


class ScheduleRevision(TypedDict, total=False):
    """What ``schedules.revise`` may change; None clears what may be absent."""

    recurrence: Recurrence | str
    time_of_day: time | str
    days_of_week: Iterable[int] | None
    timezone: str | None
    end_date: date | None
    dosage_notes: str | None


class ScheduleChanges(ScheduleRevision, total=False):
    """What ``schedules.update`` may change: the same, and the start."""

    start_date: date
