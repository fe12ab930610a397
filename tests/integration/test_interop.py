"""The shared database: what the Node service wrote reads as the Node service reads it."""

import dataclasses
import datetime as dt
import json
import re
from pathlib import Path

import pytest

from homethrive_db import Repositories

DATA = Path(__file__).parents[1] / "data/interop"
TABLES = (
    "users",
    "care_recipients",
    "caregiver_access",
    "medications",
    "medication_schedules",
    "dose_taken",
)
EXPECTED = json.loads(DATA.joinpath("expected.json").read_text(encoding="utf-8"))
BY_RECIPIENT = [
    (user_id, recipient_id)
    for user_id, expected in EXPECTED["users"].items()
    for recipient_id in expected["by_recipient"]
]
WINDOW = [dt.datetime.fromisoformat(EXPECTED["window"][key]) for key in ("start", "end")]


@pytest.fixture
def repositories(homethrive_db):
    """Load the Node service's database."""
    for table in TABLES:
        with DATA.joinpath(f"{table}.csv").open(encoding="utf-8") as file:
            copy = f"COPY {table} ({file.readline()}) FROM STDIN (FORMAT csv)"
            homethrive_db.cursor().copy_expert(copy, file)
    return Repositories(homethrive_db)


def as_node(value):
    """Write a value as the Node service's JSON has it: camelCase keys, milliseconds."""
    if dataclasses.is_dataclass(value):
        return {
            re.sub("_(.)", lambda match: match[1].upper(), field.name): as_node(
                getattr(value, field.name)
            )
            for field in dataclasses.fields(value)
        }
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    if isinstance(value, dt.time):
        return f"{value:%H:%M}"
    if isinstance(value, tuple | list):
        return [as_node(one) for one in value]
    return value if value is None or isinstance(value, bool | str | dict) else str(value)


def in_order(rows):
    """Order rows, since those of one createdAt come in no fixed order."""
    return sorted(as_node(rows), key=lambda row: (row["createdAt"], row["id"]))


def come_in_order(rows):
    """Say that a list of ours is ordered by the microsecond, then by id."""
    return rows == sorted(rows, key=lambda row: (row.created_at, row.id))


@pytest.mark.parametrize("user_id", EXPECTED["users"])
def test_a_user_and_their_people_read_as_the_node_service_reads_them(repositories, user_id):
    expected = EXPECTED["users"][user_id]
    access = repositories.caregiver_access
    own = repositories.care_recipients.find_by_user_id(user_id)
    reached = repositories.care_recipients.list_for_caregiver(user_id)
    caregivers = access.list_caregivers_for_recipient(user_id)
    recipients = access.list_recipients_for_caregiver(user_id)
    assert as_node(repositories.users.find_by_clerk_user_id(user_id)) == expected["user"]
    assert as_node(own) == expected["own_profile"]
    assert in_order(reached) == in_order(expected["care_recipients"])
    assert in_order(caregivers) == in_order(expected["caregivers"])
    assert in_order(recipients) == in_order(expected["recipients"])
    assert all(map(come_in_order, (reached, caregivers, recipients)))
    assert sorted(access.approved_recipient_user_ids(user_id)) == sorted(
        expected["approved_recipient_user_ids"]
    )
    assert {str(one.id) for one in reached} == set(expected["by_recipient"])


@pytest.mark.parametrize("user_id", EXPECTED["users"])
def test_what_the_node_service_does_not_show_a_user_is_not_there(repositories, user_id):
    others = {recipient_id for user, recipient_id in BY_RECIPIENT} - set(
        EXPECTED["users"][user_id]["by_recipient"]
    )
    assert others
    for recipient_id in others:
        assert repositories.care_recipients.find_by_id(user_id, recipient_id) is None
        assert repositories.schedules.list_by_recipient(user_id, recipient_id) == []
        assert not repositories.medications.list_by_recipient(
            user_id, recipient_id, include_inactive=True
        )


@pytest.mark.parametrize(("user_id", "recipient_id"), BY_RECIPIENT)
def test_a_recipients_care_reads_as_the_node_service_reads_it(repositories, user_id, recipient_id):
    expected = EXPECTED["users"][user_id]["by_recipient"][recipient_id]
    medications = repositories.medications
    every = medications.list_by_recipient(user_id, recipient_id, include_inactive=True)
    active = medications.list_by_recipient(user_id, recipient_id)
    schedules = repositories.schedules.list_by_recipient(user_id, recipient_id)
    taken = repositories.doses_taken.taken_map(user_id, [one.id for one in schedules], *WINDOW)
    assert in_order(every) == in_order(expected["medications"])
    assert sorted(str(one.id) for one in active) == sorted(expected["active_medication_ids"])
    assert in_order(schedules) == in_order(expected["schedules"])
    assert all(map(come_in_order, (every, active, schedules)))
    assert {
        f"{key.schedule_id}|{as_node(key.scheduled_for)}": {
            "takenAt": as_node(info.taken_at),
            "takenByUserId": info.taken_by_user_id,
        }
        for key, info in taken.items()
    } == expected["taken"]
