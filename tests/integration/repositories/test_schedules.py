"""Schedules: created in many, changed only to what is whole, counted by local days."""

from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from homethrive_db import NotFoundError, Recurrence, ValidationError

START = date(2025, 1, 1)


@pytest.fixture
def schedules(homethrive_repositories):
    return homethrive_repositories.schedules


@pytest.fixture
def recipient(homethrive_factory):
    return homethrive_factory.own_profile(homethrive_factory.user("user_1"))


@pytest.fixture
def medication(homethrive_factory, recipient):
    return homethrive_factory.medication(recipient)


def test_schedules_of_many_medications_come_in_input_order(
    schedules, homethrive_factory, recipient
):
    medications = [homethrive_factory.medication(recipient) for _ in range(3)]
    new = {
        one.id: [homethrive_factory.new_schedule(time_of_day=time(hour)) for hour in (9, 8)]
        for one in reversed(medications)
    }
    made = schedules.create_many("user_1", new)
    assert [(one.medication_id, one.time_of_day) for one in made] == [
        (medication_id, one.time_of_day) for medication_id, many in new.items() for one in many
    ]
    assert schedules.list_by_recipient("user_1", recipient.id) == made
    assert schedules.list_by_medication("user_1", medications[0].id) == made[4:]
    assert schedules.find_by_id("user_1", str(made[0].id)) == made[0]


def test_every_field_is_stored(schedules, medication, homethrive_factory):
    new = homethrive_factory.new_schedule(
        recurrence="weekly",
        time_of_day="23:59",
        start_date=START,
        end_date=date(2025, 12, 31),
        days_of_week=[7, 1],
        timezone="Australia/Lord_Howe",
        dosage_notes="½ tablet",
    )
    (made,) = schedules.create_many("user_1", {medication.id: [new]})
    stored = schedules.find_by_id("user_1", made.id)
    assert stored == made
    for name in new.__dataclass_fields__:
        assert getattr(stored, name) == getattr(new, name)


def test_one_medication_out_of_reach_means_none_at_all(schedules, medication, homethrive_factory):
    new = [homethrive_factory.new_schedule()]
    others = homethrive_factory.medication(homethrive_factory.own_profile())
    for out_of_reach in (uuid4(), others.id):
        with pytest.raises(NotFoundError) as caught:
            schedules.create_many("user_1", {medication.id: new, out_of_reach: new})
        assert caught.value.code == "MEDICATION_NOT_FOUND"
    assert schedules.list_by_medication("user_1", medication.id) == []


def test_a_medication_without_schedules_is_refused(schedules, medication):
    with pytest.raises(ValidationError) as caught:
        schedules.create_many("user_1", {medication.id: []})
    assert caught.value.details == {"field": "schedules"}
    assert schedules.create_many("user_1", {}) == []


CHANGES = {
    "recurrence": "weekly",
    "time_of_day": time(7, 15),
    "days_of_week": (2, 4),
    "timezone": "Europe/Athens",
    "start_date": date(2025, 2, 1),
    "end_date": date(2025, 3, 1),
    "dosage_notes": "two",
}


def test_only_what_is_passed_changes_and_none_clears(schedules, medication, homethrive_factory):
    schedule = homethrive_factory.schedule(medication, start_date=START)
    homethrive_factory.schedule(medication)  # goes on when the other one is ended
    changed = schedules.update("user_1", schedule.id, **CHANGES)
    assert {name: getattr(changed, name) for name in CHANGES} == CHANGES
    assert changed.updated_at > schedule.updated_at
    for name in ("timezone", "end_date", "dosage_notes"):
        cleared = schedules.update("user_1", schedule.id, **{name: None})
        assert getattr(cleared, name) is None
    assert schedules.update("user_1", schedule.id, timezone="EET").timezone == "Europe/Athens"
    assert schedules.update("user_1", schedule.id) == schedules.find_by_id("user_1", schedule.id)


@pytest.mark.parametrize(
    ("stored", "changes", "field"),
    [
        ({}, {"recurrence": "weekly"}, "days_of_week"),
        ({}, {"days_of_week": [1]}, "days_of_week"),
        ({}, {"recurrence": "weekly", "days_of_week": []}, "days_of_week"),
        ({"recurrence": "weekly", "days_of_week": [1]}, {"recurrence": "daily"}, "days_of_week"),
        ({"recurrence": "weekly", "days_of_week": [1]}, {"days_of_week": None}, "days_of_week"),
        ({}, {"end_date": START - timedelta(days=1)}, "end_date"),
        ({"end_date": START}, {"start_date": START + timedelta(days=1)}, "end_date"),
        ({}, {"start_date": START, "end_date": START - timedelta(days=1)}, "end_date"),
    ],
)
def test_what_only_the_merged_row_shows_is_refused_and_the_transaction_goes_on(
    schedules, medication, homethrive_factory, stored, changes, field
):
    schedule = homethrive_factory.schedule(medication, **{"start_date": START, **stored})
    with pytest.raises(ValidationError) as caught:
        schedules.update("user_1", schedule.id, **changes)
    assert (caught.value.code, caught.value.details) == ("VALIDATION_ERROR", {"field": field})
    assert schedules.find_by_id("user_1", schedule.id) == schedule


def test_a_change_of_recurrence_with_its_days_is_made(schedules, medication, homethrive_factory):
    schedule = homethrive_factory.schedule(medication)
    weekly = schedules.update("user_1", schedule.id, recurrence="weekly", days_of_week=[3, 3])
    assert (weekly.recurrence, weekly.days_of_week) == (Recurrence.WEEKLY, (3,))
    daily = schedules.update("user_1", schedule.id, recurrence="daily", days_of_week=None)
    assert (daily.recurrence, daily.days_of_week) == (Recurrence.DAILY, None)


def test_a_stored_end_before_the_start_hinders_only_changes_of_dates(
    schedules, medication, homethrive_factory, homethrive_db
):
    """The Node service may have stored one."""
    schedule = homethrive_factory.schedule(medication, start_date=START)
    homethrive_db.execute_sql("UPDATE medication_schedules SET end_date = '2024-01-01'")
    assert schedules.update("user_1", schedule.id, dosage_notes="x").end_date == date(2024, 1, 1)
    with pytest.raises(ValidationError):
        schedules.update("user_1", schedule.id, start_date=START)


def today_in(zone):
    return datetime.now(UTC).astimezone(ZoneInfo(zone)).date()


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue", "UTC"])
@pytest.mark.parametrize("own", [True, False])
def test_active_schedules_are_counted_by_the_day_of_their_effective_zone(
    schedules, medication, recipient, homethrive_factory, homethrive_repositories, zone, own
):
    """Its own zone, else the recipient's."""
    if not own:
        homethrive_repositories.care_recipients.update("user_1", recipient.id, timezone=zone)
    values = {"timezone": zone if own else None, "start_date": START}
    today = today_in(zone)
    for end_date in (None, today, today + timedelta(days=1), today - timedelta(days=1)):
        homethrive_factory.schedule(medication, end_date=end_date, **values)
    assert schedules.count_active_by_medication("user_1", medication.id) == 3


def test_an_unknown_stored_zone_does_not_fail_the_count(
    schedules, medication, homethrive_factory, homethrive_db, caplog
):
    ends = homethrive_factory.schedule(medication, end_date=date(2100, 1, 1))
    homethrive_factory.schedule(medication)
    homethrive_db.execute_sql("UPDATE medication_schedules SET timezone = 'Mars/Phobos'")
    for _ in range(2):
        assert schedules.count_active_by_medication("user_1", medication.id) == 2
    assert caplog.text.count("unknown time zone") == 1
    assert f"schedule {ends.id} has an unknown time zone" in caplog.text
    assert "Mars" not in caplog.text
