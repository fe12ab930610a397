"""Inputs are checked and normalised when they are made; nothing can be changed afterwards."""

import dataclasses
import datetime as dt
import uuid

import pytest

from homethrive_db import (
    CaregiverAccess,
    DoseReport,
    MedicationSchedule,
    NewDoseTaken,
    NewMedication,
    NewSchedule,
    Recurrence,
    ValidationError,
    entities,
)
from tests.type_checking import type_check

DAY = dt.date(2025, 3, 9)
DUE = dt.datetime(2025, 3, 9, 12, 30, tzinfo=dt.UTC)
DATACLASSES = [one for one in vars(entities).values() if dataclasses.is_dataclass(one)]


@pytest.mark.parametrize("entity", DATACLASSES, ids=lambda one: one.__name__)
def test_every_entity_is_frozen_slotted_and_documented(entity):
    assert entity.__dataclass_params__.frozen
    assert "__slots__" in vars(entity)
    assert entity.__doc__
    assert not entity.__doc__.startswith(f"{entity.__name__}(")


def test_an_input_cannot_be_changed_or_given_more():
    with pytest.raises(dataclasses.FrozenInstanceError):
        NewMedication("Aspirin").name = "Ibuprofen"
    assert not hasattr(NewMedication("Aspirin"), "__dict__")


def test_equal_inputs_are_one_in_a_set():
    """However they were spelled."""
    schedule = uuid.uuid4()
    local = DUE.astimezone(dt.timezone(dt.timedelta(hours=-4)))
    assert {NewDoseTaken(schedule, DUE, DUE), NewDoseTaken(str(schedule), local, local)} == {
        NewDoseTaken(schedule, DUE, DUE)
    }
    assert NewMedication("Aspirin") != NewMedication("Aspirin", "With water")


def test_an_instant_of_an_input_is_kept_in_utc():
    local = DUE.astimezone(dt.timezone(dt.timedelta(hours=-4)))
    dose = NewDoseTaken(uuid.uuid4(), local, local)
    assert (dose.scheduled_for, dose.taken_at) == (DUE, DUE)
    assert dose.scheduled_for.tzinfo is dose.taken_at.tzinfo is dt.UTC


def test_a_changed_copy_is_checked_again():
    with pytest.raises(ValidationError):
        dataclasses.replace(NewMedication("Aspirin"), name="")


def test_a_schedule_is_normalised():
    schedule = NewSchedule("weekly", "08:30", DAY, days_of_week=[5, 1, 5], timezone="CET")
    assert schedule == NewSchedule(
        Recurrence.WEEKLY, dt.time(8, 30), DAY, days_of_week=(1, 5), timezone="Europe/Brussels"
    )


def field_of(make, *args, **kwargs):
    """Name the field that a refusal names."""
    with pytest.raises(ValidationError) as caught:
        make(*args, **kwargs)
    return caught.value.details["field"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"recurrence": "hourly"}, "recurrence"),
        ({"time_of_day": "8"}, "time_of_day"),
        ({"start_date": "2025-01-01"}, "start_date"),
        ({"end_date": dt.date(2025, 3, 8)}, "end_date"),
        ({"days_of_week": [1]}, "days_of_week"),
        ({"recurrence": "weekly"}, "days_of_week"),
        ({"recurrence": "weekly", "days_of_week": []}, "days_of_week"),
        ({"recurrence": "weekly", "days_of_week": [8]}, "days_of_week"),
        ({"timezone": "Mars/Phobos"}, "timezone"),
        ({"dosage_notes": "x" * 256}, "dosage_notes"),
    ],
)
def test_a_bad_schedule_names_its_field(values, field):
    good = {"recurrence": "daily", "time_of_day": "08:30", "start_date": DAY}
    assert field_of(NewSchedule, **{**good, **values}) == field


def test_a_schedule_may_end_on_the_day_it_starts():
    assert NewSchedule("daily", "08:30", DAY, end_date=DAY).end_date == DAY


@pytest.mark.parametrize(
    ("values", "field"),
    [({"name": ""}, "name"), ({"name": "x" * 101}, "name"), ({"name": "a\0"}, "name"),
     ({"instructions": "x" * 501}, "instructions"), ({"name": None}, "name")],
)  # fmt: skip
def test_a_bad_medication_names_its_field(values, field):
    assert field_of(NewMedication, **{"name": "Aspirin", **values}) == field


@pytest.mark.parametrize("make", [NewDoseTaken, DoseReport])
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"schedule_id": "x"}, "schedule_id"),
        ({"scheduled_for": DUE.replace(tzinfo=None)}, "scheduled_for"),
        ({"scheduled_for": DUE.replace(microsecond=1)}, "scheduled_for"),
        ({"taken_at": DUE.replace(tzinfo=None)}, "taken_at"),
        ({"taken_at": "08:30"}, "taken_at"),
    ],
)
def test_a_bad_dose_names_its_field(make, values, field):
    good = {"schedule_id": uuid.uuid4(), "scheduled_for": DUE, "taken_at": DUE}
    if make is DoseReport:
        good["user_id"] = "user_1"
    assert field_of(make, **{**good, **values}) == field


def test_a_report_needs_a_user():
    assert field_of(DoseReport, "", uuid.uuid4(), DUE, DUE) == "user_id"


def test_rows_are_taken_as_they_are():
    """The Node service may have stored what we would refuse."""
    row = (uuid.uuid4(), uuid.uuid4(), "weekly", "08:30", "Mars/Phobos", [7, 1, 1], DAY,
           dt.date(2020, 1, 1), "x" * 900, DUE, DUE)  # fmt: skip
    schedule = MedicationSchedule.from_row(*row)
    assert schedule.days_of_week == (7, 1, 1)
    assert schedule.timezone == "Mars/Phobos"
    access = CaregiverAccess.from_row(uuid.uuid4(), "a", "a", "revoked", None, None, None, DUE, DUE)
    assert access.status == "revoked"


TAKEN = """
from datetime import date, datetime
from homethrive_db import DoseReport, NewDoseTaken, NewSchedule
schedule = NewSchedule("weekly", "08:30", date(2026, 1, 1), days_of_week=[1, 5])
hour: int = schedule.time_of_day.hour
def report(schedule_id: str, at: datetime) -> tuple[NewDoseTaken, DoseReport]:
    return NewDoseTaken(schedule_id, at, at), DoseReport("user_1", schedule_id, at, at)
"""


def test_a_type_checker_knows_what_is_taken_and_what_is_kept(tmp_path):
    checked = type_check(TAKEN, tmp_path)
    assert checked.returncode == 0, checked.stdout
    wrong = type_check(TAKEN.replace('"08:30"', "830"), tmp_path)
    assert 'Argument 2 to "NewSchedule" has incompatible type "int"' in wrong.stdout
