"""Dose events as a worker reads them."""

import json
from datetime import UTC, datetime, timedelta

DUE = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)


def event(schedule, user_id, number=0, **changes):
    """Write an event as a worker would send it."""
    due = (DUE + timedelta(days=number)).isoformat()
    return {
        "user_id": user_id,
        "schedule_id": str(schedule.id),
        "scheduled_for": due,
        "taken_at": due,
        **changes,
    }


def lines(*events):
    return "".join(
        (one if isinstance(one, str) else json.dumps(one)) + "\n" for one in events
    ).encode()
