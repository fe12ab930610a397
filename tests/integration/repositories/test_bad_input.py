"""Bad input is refused by name, before a connection is used; nothing is written."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from homethrive_db import (
    NewMedication,
    NewSchedule,
    Repositories,
    ValidationError,
    create_db,
    encode_dose_id,
)

AT = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
NAIVE = AT.replace(tzinfo=None)
DAY = AT.date()
ID = uuid4()
DOSE_ID = encode_dose_id(ID, AT)
SCHEDULE = NewSchedule("daily", "08:30", date(2025, 1, 1))
ONBOARDING = {"display_name": "x", "timezone": "UTC", "is_recipient": True, "is_caregiver": True}
ACCESS = {
    "caregiver_user_id": "a",
    "recipient_user_id": "b",
    "status": "approved",
    "requested_at": AT,
}
BAD_TEXT = "a\0b"

CASES = [
    ("users.find_by_clerk_user_id", (BAD_TEXT,), {}, "clerk_user_id"),
    ("users.upsert", ("",), {}, "clerk_user_id"),
    ("users.upsert", ("a",), {"email": BAD_TEXT}, "email"),
    ("users.upsert", ("a",), {"display_name": ""}, "display_name"),
    ("users.upsert", ("a",), {"image_url": "\ud800"}, "image_url"),
    ("users.upsert", ("a",), {"timezone": "UTC"}, "timezone"),
    *[
        ("users.complete_onboarding", ("a",), {**ONBOARDING, field: bad}, field)
        for field, bad in {
            "display_name": "x" * 101,
            "timezone": "localtime",
            "is_recipient": 1,
            "is_caregiver": None,
        }.items()
    ],
    ("users.update_roles", ("a",), {"is_recipient": "yes", "is_caregiver": True}, "is_recipient"),
    ("care_recipients.find_by_id", ("a", "x"), {}, "recipient_id"),
    ("care_recipients.find_by_id", (None, ID), {}, "user_id"),
    ("care_recipients.find_by_user_id", (5,), {}, "user_id"),
    ("care_recipients.list_for_caregiver", ("",), {}, "user_id"),
    ("care_recipients.create", ("a",), {"display_name": ""}, "display_name"),
    ("care_recipients.create", ("a",), {"display_name": "x", "timezone": "utc"}, "timezone"),
    ("care_recipients.find_or_create_own_profile", ("a", "x" * 101), {}, "display_name"),
    ("care_recipients.update", ("a", ID), {"timezone": None}, "timezone"),
    ("care_recipients.update", ("a", ID), {"created_by_user_id": "b"}, "created_by_user_id"),
    ("caregiver_access.find_user_by_email", (None,), {}, "email"),
    ("caregiver_access.find_by_id", ("x",), {}, "access_id"),
    ("caregiver_access.find_active_access", ("", "b"), {}, "caregiver_user_id"),
    ("caregiver_access.has_approved_access", ("a", ""), {}, "recipient_user_id"),
    ("caregiver_access.approved_recipient_user_ids", ("",), {}, "caregiver_user_id"),
    ("caregiver_access.list_caregivers_for_recipient", ("",), {}, "recipient_user_id"),
    ("caregiver_access.list_recipients_for_caregiver", ("",), {}, "caregiver_user_id"),
    *[
        ("caregiver_access.create", (), {**ACCESS, field: bad}, field)
        for field, bad in {
            "caregiver_user_id": "b",
            "recipient_user_id": BAD_TEXT,
            "status": "pending",
            "requested_at": NAIVE,
        }.items()
    ],
    ("caregiver_access.update_status", ("x", "approved"), {}, "access_id"),
    ("caregiver_access.update_status", (ID, "gone"), {}, "status"),
    ("caregiver_access.update_status", (ID, "approved"), {"approved_at": NAIVE}, "approved_at"),
    ("caregiver_access.update_status", (ID, "revoked"), {"revoked_at": NAIVE}, "revoked_at"),
    ("caregiver_access.approve_request", ("a", ID, NAIVE), {}, "at"),
    ("caregiver_access.accept_invite", ("", ID, AT), {}, "caregiver_user_id"),
    ("caregiver_access.revoke", ("a", "x", AT), {}, "access_id"),
    ("medications.find_by_id", ("a", str(ID)[:-1]), {}, "medication_id"),
    ("medications.list_by_recipient", ("a", None), {}, "recipient_id"),
    ("medications.create", ("a", ID), {"name": ""}, "name"),
    ("medications.create", ("a", ID), {"name": "x", "instructions": "x" * 501}, "instructions"),
    ("medications.create_with_schedules", ("a", "x", NewMedication("x"), [SCHEDULE]), {},
     "recipient_id"),
    ("medications.create_with_schedules", ("a", ID, NewMedication("x"), []), {}, "schedules"),
    ("medications.update", ("a", ID), {"name": None}, "name"),
    ("medications.update", ("a", ID), {"is_active": False}, "is_active"),
    ("medications.set_inactive", ("a", ID, NAIVE), {}, "inactive_at"),
    ("medications.set_active", ("a", 5), {}, "medication_id"),
    ("schedules.find_by_id", ("a", ""), {}, "schedule_id"),
    ("schedules.list_by_medication", ("a", "x"), {}, "medication_id"),
    ("schedules.list_by_recipient", ("a", "x"), {}, "recipient_id"),
    ("schedules.create_many", ("a", {ID: []}), {}, "schedules"),
    ("schedules.create_many", ("a", {"x": [SCHEDULE]}), {}, "medication_id"),
    *[
        ("schedules.update", ("a", ID), {field: bad}, field)
        for field, bad in {
            "recurrence": "hourly",
            "time_of_day": "8:30",
            "days_of_week": [0],
            "timezone": "posix/UTC",
            "start_date": None,
            "end_date": AT,
            "dosage_notes": "x" * 256,
            "medication_id": ID,
        }.items()
    ],
    ("schedules.update", ("a", ID), {"recurrence": "weekly", "days_of_week": None}, "days_of_week"),
    *[
        ("schedules.revise", ("a", ID, bad), {}, "effective")
        for bad in (AT, "2025-03-01", None)
    ],
    ("schedules.revise", ("a", "x", DAY), {}, "schedule_id"),
    *[
        ("schedules.revise", ("a", ID, DAY), {field: bad}, field)
        for field, bad in {
            "days_of_week": [8],
            "timezone": "localtime",
            "start_date": DAY,
            "end_date": DAY - timedelta(days=1),
            "medication_id": ID,
        }.items()
    ],
    ("schedules.end", ("a", ID, AT), {}, "on"),
    ("schedules.end", ("", ID, DAY), {}, "user_id"),
    ("schedules.count_active_by_medication", ("a", "x"), {}, "medication_id"),
    ("doses.list_upcoming", ("a", "x"), {}, "recipient_id"),
    ("doses.list_upcoming", ("", ID), {}, "user_id"),
    ("doses.list_upcoming", ("a", ID), {"start": NAIVE}, "start"),
    ("doses.list_upcoming", ("a", ID), {"start": "2025-03-01"}, "start"),
    ("doses.list_upcoming", ("a", ID), {"end": NAIVE}, "end"),
    ("doses.list_upcoming", ("a", ID), {"end": AT}, "end"),
    ("doses.record", (None, DOSE_ID), {}, "user_id"),
    ("doses.record", ("a", DOSE_ID), {"taken_at": NAIVE}, "taken_at"),
    ("doses.record", ("a", DOSE_ID), {"taken_at": ""}, "taken_at"),
    ("doses.skip", ("", DOSE_ID), {}, "user_id"),
    ("doses.skip", ("a", DOSE_ID), {"reason": "x" * 256}, "reason"),
    ("doses.undo", (BAD_TEXT, DOSE_ID), {}, "user_id"),
    ("doses_taken.unmark_taken", ("a", ID, NAIVE), {}, "scheduled_for"),
    ("doses_taken.unmark_taken", ("a", ID, AT.replace(microsecond=1)), {}, "scheduled_for"),
    ("doses_taken.unmark_taken", ("a", "x", AT), {}, "schedule_id"),
    ("doses_taken.taken_map", ("a", ["x"], AT, AT), {}, "schedule_ids"),
    ("doses_taken.taken_map", ("a", [], NAIVE, AT), {}, "start"),
    ("doses_taken.taken_map", ("a", [], AT, NAIVE), {}, "end"),
    ("doses_taken.taken_map", ("a", [], AT.replace(year=2026), AT), {}, "start"),
    ("doses_taken.taken_map", ("", [], AT, AT), {}, "user_id"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "keywords", "field"), CASES, ids=[f"{one[0]}-{one[3]}" for one in CASES]
)
def test_bad_input_is_refused_before_a_connection_is_used(name, arguments, keywords, field):
    """There is no server at all, and it does not matter."""
    db = create_db("postgresql://localhost:1/nothing")
    repository, method = name.split(".")
    with pytest.raises(ValidationError) as caught:
        getattr(getattr(Repositories(db), repository), method)(*arguments, **keywords)
    assert (caught.value.code, caught.value.details) == ("VALIDATION_ERROR", {"field": field})
    assert not db.stats().in_use
