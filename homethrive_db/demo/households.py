"""Believable households, the same ones every time: who they are and what they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from faker import Faker

from homethrive_db.entities import (
    CareRecipient,
    Medication,
    MedicationSchedule,
    NewMedication,
    NewSchedule,
    User,
)
from homethrive_db.enums import AccessStatus, Recurrence
from homethrive_db.repositories import Repositories

SEED = 42
START = date(2025, 1, 6)
ASKED_AT = datetime(2025, 1, 5, 18, tzinfo=UTC)
ENDED_AT = datetime(2025, 3, 10, tzinfo=UTC)
"""When the one deactivated medication stops."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A household to make: its zone, how its caregivers stand, and what the recipient takes."""

    timezone: str
    caregivers: tuple[AccessStatus, ...]
    medications: tuple[tuple[NewMedication, tuple[NewSchedule, ...]], ...]
    signs_in: bool = True


@dataclass(slots=True)
class Household:
    """A household as it is in the database."""

    recipient: CareRecipient
    people: dict[str, User]
    reporters: list[User]
    plans: list[tuple[Medication, MedicationSchedule]] = field(default_factory=list)


def _medication(
    name: str, instructions: str, *schedules: NewSchedule
) -> tuple[NewMedication, tuple[NewSchedule, ...]]:
    return NewMedication(name, instructions), schedules


def _daily(time_of_day: str, notes: str) -> NewSchedule:
    return NewSchedule(Recurrence.DAILY, time.fromisoformat(time_of_day), START, dosage_notes=notes)


def _weekly(time_of_day: str, days: tuple[int, ...], notes: str) -> NewSchedule:
    return NewSchedule(
        Recurrence.WEEKLY,
        time.fromisoformat(time_of_day),
        START,
        days_of_week=days,
        dosage_notes=notes,
    )


PLANS = (
    Plan(
        "America/New_York",
        (AccessStatus.APPROVED, AccessStatus.PENDING_INVITE),
        (
            _medication(
                "Alendronate 70 mg",
                "On an empty stomach with plain water; stay upright for half an hour",
                _weekly("07:00", (7,), "1 tablet"),
            ),
            _medication("Lisinopril 10 mg", "With water", _daily("08:00", "1 tablet")),
            _medication(
                "Metformin 500 mg",
                "With meals",
                _daily("08:00", "1 tablet"),
                _daily("18:30", "1 tablet"),
            ),
            _medication("Atorvastatin 20 mg", "In the evening", _daily("21:30", "1 tablet")),
        ),
    ),
    Plan(
        "Europe/London",
        (AccessStatus.PENDING_REQUEST, AccessStatus.APPROVED),
        (
            _medication("Levothyroxine 50 µg", "Before breakfast", _daily("07:00", "1 tablet")),
            _medication("Vitamin D3 1000 IU", "With a meal", _weekly("12:30", (1, 3, 5), "1 drop")),
        ),
    ),
    Plan(
        "Australia/Lord_Howe",
        (AccessStatus.REVOKED, AccessStatus.APPROVED),
        (
            _medication(
                "Amoxicillin 500 mg",
                "Finish the whole course",
                _daily("07:00", "1 capsule"),
                _daily("15:00", "1 capsule"),
                _daily("23:00", "1 capsule"),
            ),
            _medication("Omeprazole 20 mg", "Before a meal", _daily("18:00", "1 capsule")),
        ),
    ),
    Plan(
        "America/Los_Angeles",
        (),
        (_medication("Donepezil 5 mg", "At bedtime", _daily("22:00", "1 tablet")),),
        signs_in=False,
    ),
)


def make_households(repositories: Repositories) -> list[Household]:
    """Make every household, through the repositories as a service would."""
    faker = Faker("en_US")
    faker.seed_instance(SEED)
    households = [_make(repositories, faker, plan) for plan in PLANS]
    _end_course(repositories, households[2])
    return households


def _end_course(repositories: Repositories, household: Household) -> None:
    """Deactivate the first medication of a household."""
    course = household.plans[0][0]
    owner = household.reporters[0]
    ended = repositories.medications.set_inactive(owner.clerk_user_id, course.id, ENDED_AT)
    household.plans = [
        (ended if ended and medication == course else medication, schedule)
        for medication, schedule in household.plans
    ]


def _make(repositories: Repositories, faker: Faker, plan: Plan) -> Household:
    owner = _user(repositories, faker, plan, is_recipient=plan.signs_in)
    if plan.signs_in:
        recipient = repositories.care_recipients.find_or_create_own_profile(
            owner.clerk_user_id, owner.display_name or ""
        )
        repositories.care_recipients.update(
            owner.clerk_user_id, recipient.id, timezone=plan.timezone
        )
    else:
        recipient = repositories.care_recipients.create(
            owner.clerk_user_id, display_name=faker.name(), timezone=plan.timezone
        )
    household = Household(recipient, {owner.clerk_user_id: owner}, [owner])
    for status in plan.caregivers:
        _add_caregiver(repositories, faker, plan, household, status)
    for medication, schedules in plan.medications:
        made = repositories.medications.create_with_schedules(
            owner.clerk_user_id, recipient.id, medication, schedules
        )
        household.plans += [(made.medication, schedule) for schedule in made.schedules]
    return household


def _user(repositories: Repositories, faker: Faker, plan: Plan, *, is_recipient: bool) -> User:
    name = faker.unique.first_name() + " " + faker.last_name()
    user_id = "user_" + name.split()[0].lower()
    repositories.users.upsert(user_id, email=f"{name.lower().replace(' ', '.')}@example.org")
    return repositories.users.complete_onboarding(
        user_id,
        display_name=name,
        timezone=plan.timezone,
        is_recipient=is_recipient,
        is_caregiver=not is_recipient,
    )


def _add_caregiver(
    repositories: Repositories,
    faker: Faker,
    plan: Plan,
    household: Household,
    status: AccessStatus,
) -> None:
    """Bring an access to *status* the way it comes about: asked for, then settled."""
    caregiver = _user(repositories, faker, plan, is_recipient=False)
    household.people[caregiver.clerk_user_id] = caregiver
    owner = household.reporters[0]
    invited = status is AccessStatus.PENDING_INVITE
    access = repositories.caregiver_access.create(
        caregiver_user_id=caregiver.clerk_user_id,
        recipient_user_id=owner.clerk_user_id,
        status=status if invited else AccessStatus.PENDING_REQUEST,
        requested_at=ASKED_AT,
    )
    if status is AccessStatus.APPROVED:
        repositories.caregiver_access.approve_request(owner.clerk_user_id, access.id, ASKED_AT)
        household.reporters.append(caregiver)
    elif status is AccessStatus.REVOKED:
        repositories.caregiver_access.revoke(owner.clerk_user_id, access.id, ASKED_AT)
