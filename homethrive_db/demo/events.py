"""Four weeks of dose events as workers would send them, with a few bad ones among them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from homethrive_db.demo.households import ENDED_AT, SEED, Household
from homethrive_db.doses.recurrence import occurrences
from homethrive_db.entities import Medication, MedicationSchedule

FIRST_DAY = date(2025, 3, 3)
DAYS = 28
"""The clocks of New York go forward on 9 March, those of London on 30 March."""

_TAKEN = 0.9
_UNKNOWN_SCHEDULE = UUID(int=0)

Event = dict[str, str]


def make_events(households: list[Household]) -> bytes:
    """Write the events as NDJSON, in the order in which the doses were taken."""
    chance = random.Random(SEED)  # noqa: S311  # chance for show, not for secrets
    events = [
        _event(household, schedule, due, chance)
        for household in households
        for medication, schedule in household.plans
        for due in _due(household, medication, schedule)
        if chance.random() < _TAKEN
    ]
    events.sort(key=lambda event: event["taken_at"])
    for position, bad in zip((16, 57, 101, 140, 183), _bad(households), strict=True):
        events.insert(position, bad)
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def _due(
    household: Household, medication: Medication, schedule: MedicationSchedule
) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone or household.recipient.timezone)
    since, until = (
        datetime.combine(day, time(), zone) for day in (FIRST_DAY, FIRST_DAY + timedelta(days=DAYS))
    )
    for due in occurrences(schedule, zone, since, until):
        if medication.inactive_at is None or due <= medication.inactive_at:
            yield due


def _event(
    household: Household, schedule: MedicationSchedule, due: datetime, chance: random.Random
) -> Event:
    reporter = household.reporters[0 if chance.random() < 0.7 else -1]
    taken_at = due + timedelta(minutes=max(-10, round(chance.gauss(9, 12))))
    return _written(reporter.clerk_user_id, str(schedule.id), due, taken_at.isoformat())


def _bad(households: list[Household]) -> Iterator[Event]:
    """Make what goes wrong: each is rejected, and spoils no other."""
    first, second = households[0], households[1]
    user_id = first.reporters[0].clerk_user_id
    own, other = first.plans[0][1], second.plans[0][1]
    ended = households[2].plans[0][1]
    due = datetime(2025, 3, 8, 12, tzinfo=UTC)
    yield _written(user_id, str(_UNKNOWN_SCHEDULE), due, due.isoformat())
    yield _written(user_id, str(own.id), due, due.replace(tzinfo=None).isoformat())
    yield _written(user_id, str(other.id), due, due.isoformat())
    yield _written(user_id, str(own.id)[:-1], due, due.isoformat())
    yield _written(
        households[2].reporters[0].clerk_user_id,
        str(ended.id),
        ENDED_AT + timedelta(days=1),
        due.isoformat(),
    )


def _written(user_id: str, schedule_id: str, due: datetime, taken_at: str) -> Event:
    return {
        "user_id": user_id,
        "schedule_id": schedule_id,
        "scheduled_for": due.isoformat(),
        "taken_at": taken_at,
    }
