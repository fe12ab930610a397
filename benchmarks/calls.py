"""Every public repository method as a call, with arguments that differ from one to the next."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from benchmarks.fill import Households
from homethrive_db import (
    DoseReport,
    NewDoseTaken,
    NewMedication,
    NewSchedule,
    User,
    UserLookup,
    encode_dose_id,
)

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
NEW = [
    NewSchedule("daily", time(8), date(2026, 1, 1)),
    NewSchedule("daily", time(20), date(2026, 1, 1)),
]
ROLES = {"is_recipient": True, "is_caregiver": True}
BATCH = 100
"""How many doses the batch of the table has."""


@dataclass(frozen=True)
class Call:
    """A call of a contender's ``repository.method`` on the households' number *n*."""

    name: str
    run: Callable[[Any, Households, int], Any]
    writes: bool = False

    @property
    def is_long(self) -> bool:
        """Say whether a few times are enough: the others take a second for a batch."""
        return "mark_taken_many" in self.name

    @property
    def incomparable(self) -> frozenset[str]:
        """Name the fields of the answer that nobody can foresee, or not everybody gives."""
        if self.name == "medications.create_with_schedules":
            return frozenset({"medication_id"})
        if self.name == "caregiver_access.find_user_by_email":
            return _names(User) - _names(UserLookup)
        return frozenset()


def _names(entity: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(entity))


def _reads() -> dict[str, Callable[[Any, Households, int], Any]]:
    return {
        "users.find_by_clerk_user_id": lambda c, h, n: c.users.find_by_clerk_user_id(h.user(n)),
        "care_recipients.find_by_id": lambda c, h, n: c.care_recipients.find_by_id(
            h.caregiver(n), h.recipient(n)
        ),
        "care_recipients.find_by_user_id": lambda c, h, n: c.care_recipients.find_by_user_id(
            h.user(n)
        ),
        "care_recipients.list_for_caregiver": lambda c, h, n: c.care_recipients.list_for_caregiver(
            h.caregiver(n)
        ),
        "care_recipients.iter_for_caregiver": lambda c, h, n: list(
            c.care_recipients.iter_for_caregiver(h.caregiver(n))
        ),
        "caregiver_access.find_user_by_email": lambda c, h, n: (
            c.caregiver_access.find_user_by_email(h.email(n))
        ),
        "caregiver_access.find_by_id": lambda c, h, n: c.caregiver_access.find_by_id(h.access(n)),
        "caregiver_access.find_active_access": lambda c, h, n: (
            c.caregiver_access.find_active_access(h.caregiver(n), h.user(n))
        ),
        "caregiver_access.has_approved_access": lambda c, h, n: (
            c.caregiver_access.has_approved_access(h.caregiver(n), h.user(n))
        ),
        "caregiver_access.approved_recipient_user_ids": lambda c, h, n: (
            c.caregiver_access.approved_recipient_user_ids(h.caregiver(n))
        ),
        "caregiver_access.list_caregivers_for_recipient": lambda c, h, n: (
            c.caregiver_access.list_caregivers_for_recipient(h.user(n))
        ),
        "caregiver_access.list_recipients_for_caregiver": lambda c, h, n: (
            c.caregiver_access.list_recipients_for_caregiver(h.caregiver(n))
        ),
        "medications.find_by_id": lambda c, h, n: c.medications.find_by_id(
            h.caregiver(n), h.medication(n)
        ),
        "medications.list_by_recipient": lambda c, h, n: c.medications.list_by_recipient(
            h.caregiver(n), h.recipient(n)
        ),
        "medications.iter_by_recipient": lambda c, h, n: list(
            c.medications.iter_by_recipient(h.caregiver(n), h.recipient(n))
        ),
        "schedules.find_by_id": lambda c, h, n: c.schedules.find_by_id(
            h.caregiver(n), h.schedule(n)
        ),
        "schedules.list_by_medication": lambda c, h, n: c.schedules.list_by_medication(
            h.caregiver(n), h.medication(n)
        ),
        "schedules.list_by_recipient": lambda c, h, n: c.schedules.list_by_recipient(
            h.caregiver(n), h.recipient(n)
        ),
        "schedules.iter_by_recipient": lambda c, h, n: list(
            c.schedules.iter_by_recipient(h.caregiver(n), h.recipient(n))
        ),
        "schedules.count_active_by_medication": lambda c, h, n: (
            c.schedules.count_active_by_medication(h.caregiver(n), h.medication(n))
        ),
        "doses_taken.taken_map": lambda c, h, n: c.doses_taken.taken_map(
            h.caregiver(n), h.schedules(n), h.taken(10), h.taken(28)
        ),
        "doses_taken.iter_by_recipient": lambda c, h, n: list(
            c.doses_taken.iter_by_recipient(
                h.caregiver(n), h.recipient(n), h.taken(10), h.taken(28)
            )
        ),
    }


def _writes() -> dict[str, Callable[[Any, Households, int], Any]]:
    return {
        "users.upsert": lambda c, h, n: c.users.upsert(h.user(n), display_name="Ana"),
        "users.complete_onboarding": lambda c, h, n: c.users.complete_onboarding(
            h.user(n), display_name="Ana", timezone="Europe/Berlin", **ROLES
        ),
        "users.update_roles": lambda c, h, n: c.users.update_roles(h.user(n), **ROLES),
        "care_recipients.create": lambda c, h, n: c.care_recipients.create(
            h.user(n), display_name="Ana"
        ),
        "care_recipients.find_or_create_own_profile": lambda c, h, n: (
            c.care_recipients.find_or_create_own_profile(h.user(n), "Ana")
        ),
        "care_recipients.update": lambda c, h, n: c.care_recipients.update(
            h.caregiver(n), h.recipient(n), display_name="Ana"
        ),
        "caregiver_access.create": lambda c, h, n: c.caregiver_access.create(
            caregiver_user_id=h.user(4 * n + 5),  # an odd one, and not ``stranger(2 * n)``
            recipient_user_id=h.user(2 * n),
            status="pending_request",
            requested_at=NOW,
        ),
        "caregiver_access.update_status": lambda c, h, n: c.caregiver_access.update_status(
            h.access(n), "revoked", revoked_at=NOW
        ),
        "caregiver_access.approve_request": lambda c, h, n: c.caregiver_access.approve_request(
            h.user(2 * n), h.pending(2 * n), NOW
        ),
        "caregiver_access.accept_invite": lambda c, h, n: c.caregiver_access.accept_invite(
            h.stranger(2 * n + 1), h.pending(2 * n + 1), NOW
        ),
        "caregiver_access.revoke": lambda c, h, n: c.caregiver_access.revoke(
            h.user(n), h.access(n), NOW
        ),
        "medications.create": lambda c, h, n: c.medications.create(
            h.caregiver(n), h.recipient(n), name="Aspirin"
        ),
        "medications.create_with_schedules": lambda c, h, n: c.medications.create_with_schedules(
            h.caregiver(n), h.recipient(n), NewMedication("Aspirin"), NEW
        ),
        "medications.update": lambda c, h, n: c.medications.update(
            h.caregiver(n), h.medication(n), name="Aspirin"
        ),
        "medications.set_inactive": lambda c, h, n: c.medications.set_inactive(
            h.caregiver(n), h.medication(n), NOW
        ),
        "medications.set_active": lambda c, h, n: c.medications.set_active(
            h.caregiver(n), h.medication(n)
        ),
        "schedules.create_many": lambda c, h, n: c.schedules.create_many(
            h.caregiver(n), {h.medication(n): NEW}
        ),
        "schedules.update": lambda c, h, n: c.schedules.update(
            h.caregiver(n), h.schedule(n), dosage_notes="after a meal"
        ),
        "doses_taken.mark_taken": lambda c, h, n: c.doses_taken.mark_taken(
            h.caregiver(n), NewDoseTaken(h.schedule(n), NOW, NOW)
        ),
        "doses_taken.mark_taken, again": lambda c, h, n: c.doses_taken.mark_taken(
            h.caregiver(n), NewDoseTaken(h.schedule(n), h.taken(3), NOW)
        ),
        f"doses_taken.mark_taken_many, {BATCH}": lambda c, h, n: c.doses_taken.mark_taken_many(
            DoseReport(h.user(one), h.schedule(one), NOW + timedelta(days=one), NOW)
            for one in range(n, n + BATCH)
        ),
        "doses_taken.unmark_taken": lambda c, h, n: c.doses_taken.unmark_taken(
            h.caregiver(n), h.schedule(n), h.taken(5)
        ),
    }


CALLS = [
    *(Call(name, run) for name, run in _reads().items()),
    *(Call(name, run, writes=True) for name, run in _writes().items()),
]

MORNING = datetime(2026, 3, 9, 11, tzinfo=UTC)
"""When a recipient's first schedule is due."""


def _of_doses() -> dict[str, tuple[Callable[[Any, Households, int], Any], bool]]:
    return {
        "doses.list_upcoming": (
            lambda c, h, n: c.doses.list_upcoming(
                h.caregiver(n), h.recipient(n), start=h.taken(10), end=h.taken(17)
            ),
            False,
        ),
        "doses.record": (
            lambda c, h, n: c.doses.record(
                h.caregiver(n), encode_dose_id(h.schedule(n), MORNING), taken_at=NOW
            ),
            True,
        ),
        "doses.skip": (
            lambda c, h, n: c.doses.skip(
                h.caregiver(n), encode_dose_id(h.schedule(n), MORNING), reason="ill"
            ),
            True,
        ),
        "doses.undo": (
            lambda c, h, n: c.doses.undo(h.caregiver(n), encode_dose_id(h.schedule(n), h.taken(5))),
            True,
        ),
    }


DOSE_CALLS = [Call(name, run, writes) for name, (run, writes) in _of_doses().items()]
"""Calls that compute besides; nobody else makes them."""

LEFT_OUT = {
    "doses.list_upcoming": "measured by benchmarks.upcoming",
    "doses.adherence": "as doses.list_upcoming",
    "doses.record": "as schedules.find_by_id and doses_taken.mark_taken",
    "doses.skip": "as doses.record",
    "doses.undo": "as schedules.find_by_id and doses_taken.unmark_taken",
    "schedules.revise": "is rare",
    "schedules.end": "is rare",
}
"""Public methods without a row in the table, and why."""
