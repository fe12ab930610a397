"""Every public repository method as a call, with arguments that differ from one to the next."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from operator import attrgetter
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


Given = tuple[tuple[Any, ...], dict[str, Any]]
Arguments = Callable[[Households, int], Given]


def given(*values: Any, **named: Any) -> Given:
    """Hold what a method is given."""
    return values, named


@dataclass(frozen=True)
class Call:
    """A call of a contender's method ``repository.method``, which may be told apart by more words.

    *arguments* makes what it is given for the households' number *n*.
    """

    name: str
    arguments: Arguments
    writes: bool = False

    def bound(self, calls: Any, households: Households, number: int) -> Callable[[], Any]:
        """Give what makes the call, its arguments made before: they are no part of what it takes.

        What it gives bit by bit is read to the end.
        """
        method = attrgetter(self.name.partition(",")[0])(calls)
        values, named = self.arguments(households, number)
        if ".iter_" in self.name:
            return lambda: list(method(*values, **named))
        return partial(method, *values, **named)

    def run(self, calls: Any, households: Households, number: int) -> Any:
        """Make the call."""
        return self.bound(calls, households, number)()

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


def reports(households: Households, first: int, count: int) -> list[DoseReport]:
    """Make one report a user; where there are more, the next ones are due a day later."""
    return [
        DoseReport(
            households.user(one),
            households.schedule(one),
            NOW + timedelta(days=one // households.recipients),
            NOW,
        )
        for one in range(first, first + count)
    ]


def _reads() -> dict[str, Arguments]:
    return {
        "users.find_by_clerk_user_id": lambda h, n: given(h.user(n)),
        "care_recipients.find_by_id": lambda h, n: given(h.caregiver(n), h.recipient(n)),
        "care_recipients.find_by_user_id": lambda h, n: given(h.user(n)),
        "care_recipients.list_for_caregiver": lambda h, n: given(h.caregiver(n)),
        "care_recipients.iter_for_caregiver": lambda h, n: given(h.caregiver(n)),
        "caregiver_access.find_user_by_email": lambda h, n: given(h.email(n)),
        "caregiver_access.find_by_id": lambda h, n: given(h.access(n)),
        "caregiver_access.find_active_access": lambda h, n: given(h.caregiver(n), h.user(n)),
        "caregiver_access.has_approved_access": lambda h, n: given(h.caregiver(n), h.user(n)),
        "caregiver_access.approved_recipient_user_ids": lambda h, n: given(h.caregiver(n)),
        "caregiver_access.list_caregivers_for_recipient": lambda h, n: given(h.user(n)),
        "caregiver_access.list_recipients_for_caregiver": lambda h, n: given(h.caregiver(n)),
        "medications.find_by_id": lambda h, n: given(h.caregiver(n), h.medication(n)),
        "medications.list_by_recipient": lambda h, n: given(h.caregiver(n), h.recipient(n)),
        "medications.iter_by_recipient": lambda h, n: given(h.caregiver(n), h.recipient(n)),
        "schedules.find_by_id": lambda h, n: given(h.caregiver(n), h.schedule(n)),
        "schedules.list_by_medication": lambda h, n: given(h.caregiver(n), h.medication(n)),
        "schedules.list_by_recipient": lambda h, n: given(h.caregiver(n), h.recipient(n)),
        "schedules.iter_by_recipient": lambda h, n: given(h.caregiver(n), h.recipient(n)),
        "schedules.count_active_by_medication": lambda h, n: given(h.caregiver(n), h.medication(n)),
        "doses_taken.taken_map": lambda h, n: given(
            h.caregiver(n), h.schedules(n), h.taken(10), h.taken(28)
        ),
        "doses_taken.iter_by_recipient": lambda h, n: given(
            h.caregiver(n), h.recipient(n), h.taken(10), h.taken(28)
        ),
    }


def _writes() -> dict[str, Arguments]:
    return {
        "users.upsert": lambda h, n: given(h.user(n), display_name="Ana"),
        "users.complete_onboarding": lambda h, n: given(
            h.user(n), display_name="Ana", timezone="Europe/Berlin", **ROLES
        ),
        "users.update_roles": lambda h, n: given(h.user(n), **ROLES),
        "care_recipients.create": lambda h, n: given(h.user(n), display_name="Ana"),
        "care_recipients.find_or_create_own_profile": lambda h, n: given(h.user(n), "Ana"),
        "care_recipients.update": lambda h, n: given(
            h.caregiver(n), h.recipient(n), display_name="Ana"
        ),
        "caregiver_access.create": lambda h, n: given(
            caregiver_user_id=h.user(4 * n + 5),  # an odd one, and not ``stranger(2 * n)``
            recipient_user_id=h.user(2 * n),
            status="pending_request",
            requested_at=NOW,
        ),
        "caregiver_access.update_status": lambda h, n: given(
            h.access(n), "revoked", revoked_at=NOW
        ),
        "caregiver_access.approve_request": lambda h, n: given(
            h.user(2 * n), h.pending(2 * n), NOW
        ),
        "caregiver_access.accept_invite": lambda h, n: given(
            h.stranger(2 * n + 1), h.pending(2 * n + 1), NOW
        ),
        "caregiver_access.revoke": lambda h, n: given(h.user(n), h.access(n), NOW),
        "medications.create": lambda h, n: given(h.caregiver(n), h.recipient(n), name="Aspirin"),
        "medications.create_with_schedules": lambda h, n: given(
            h.caregiver(n), h.recipient(n), NewMedication("Aspirin"), NEW
        ),
        "medications.update": lambda h, n: given(h.caregiver(n), h.medication(n), name="Aspirin"),
        "medications.set_inactive": lambda h, n: given(h.caregiver(n), h.medication(n), NOW),
        "medications.set_active": lambda h, n: given(h.caregiver(n), h.medication(n)),
        "schedules.create_many": lambda h, n: given(h.caregiver(n), {h.medication(n): NEW}),
        "schedules.update": lambda h, n: given(
            h.caregiver(n), h.schedule(n), dosage_notes="after a meal"
        ),
        "doses_taken.mark_taken": lambda h, n: given(
            h.caregiver(n), NewDoseTaken(h.schedule(n), NOW, NOW)
        ),
        "doses_taken.mark_taken, again": lambda h, n: given(
            h.caregiver(n), NewDoseTaken(h.schedule(n), h.taken(3), NOW)
        ),
        f"doses_taken.mark_taken_many, {BATCH}": lambda h, n: given(reports(h, n, BATCH)),
        "doses_taken.unmark_taken": lambda h, n: given(h.caregiver(n), h.schedule(n), h.taken(5)),
    }


CALLS = [
    *(Call(name, arguments) for name, arguments in _reads().items()),
    *(Call(name, arguments, writes=True) for name, arguments in _writes().items()),
]

MORNING = datetime(2026, 3, 9, 11, tzinfo=UTC)
"""When a recipient's first schedule is due."""


def _of_doses() -> dict[str, tuple[Arguments, bool]]:
    return {
        "doses.list_upcoming": (
            lambda h, n: given(h.caregiver(n), h.recipient(n), start=h.taken(10), end=h.taken(17)),
            False,
        ),
        "doses.record": (
            lambda h, n: given(
                h.caregiver(n), encode_dose_id(h.schedule(n), MORNING), taken_at=NOW
            ),
            True,
        ),
        "doses.skip": (
            lambda h, n: given(
                h.caregiver(n), encode_dose_id(h.schedule(n), MORNING), reason="ill"
            ),
            True,
        ),
        "doses.undo": (
            lambda h, n: given(h.caregiver(n), encode_dose_id(h.schedule(n), h.taken(5))),
            True,
        ),
    }


DOSE_CALLS = [Call(name, arguments, writes) for name, (arguments, writes) in _of_doses().items()]
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
