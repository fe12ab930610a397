"""Medications: created alone or with schedules, changed, deactivated, never deleted."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from homethrive_db import (
    MedicationRepository,
    NewMedication,
    NewSchedule,
    NotFoundError,
    ValidationError,
)

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def medications(homethrive_repositories):
    return homethrive_repositories.medications


@pytest.fixture
def recipient(homethrive_factory):
    return homethrive_factory.own_profile(homethrive_factory.user("user_1"))


def test_a_medication_is_active_from_the_start(medications, recipient):
    medication = medications.create("user_1", recipient.id, name="Aspirin", instructions="One")
    assert (medication.recipient_id, medication.name, medication.instructions) == (
        recipient.id,
        "Aspirin",
        "One",
    )
    assert (medication.is_active, medication.inactive_at) == (True, None)
    assert medications.find_by_id("user_1", medication.id) == medication
    assert medications.create("user_1", recipient.id, name="Aspirin").instructions is None


def test_a_medication_and_its_schedules_are_created_together(
    medications, recipient, homethrive_factory, homethrive_repositories
):
    new = [homethrive_factory.new_schedule(time_of_day=time(hour), dosage_notes='"½", {x}')
           for hour in (20, 8)]  # fmt: skip
    new += [
        NewSchedule(
            "weekly", "12:30", date(2026, 3, 2), [7, 1], "UTC", date(2026, 4, 2), '"½", {x}'
        )
    ]
    made = medications.create_with_schedules("user_1", recipient.id, NewMedication("Aspirin"), new)
    medication, schedules = made
    assert medication == medications.find_by_id("user_1", medication.id)
    assert [one.time_of_day for one in schedules] == [one.time_of_day for one in new]
    assert {one.medication_id for one in schedules} == {medication.id}
    assert {one.dosage_notes for one in schedules} == {'"½", {x}'}
    stored = homethrive_repositories.schedules.list_by_medication("user_1", medication.id)
    assert stored == schedules
    created = [one.created_at for one in schedules]
    assert [later - created[0] for later in created] == [
        timedelta(microseconds=number) for number in range(3)
    ]


def test_a_medication_needs_at_least_one_schedule_to_be_created_with(medications, recipient):
    with pytest.raises(ValidationError) as caught:
        medications.create_with_schedules("user_1", recipient.id, NewMedication("Aspirin"), [])
    assert caught.value.details == {"field": "schedules"}
    assert medications.list_by_recipient("user_1", recipient.id) == []


def test_a_recipient_who_is_not_reached_gets_no_medication(
    medications, recipient, homethrive_factory
):
    homethrive_factory.user("stranger")
    for call in (
        lambda: medications.create("stranger", recipient.id, name="Aspirin"),
        lambda: medications.create_with_schedules(
            "stranger", recipient.id, NewMedication("A"), [homethrive_factory.new_schedule()]
        ),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.code == "CARE_RECIPIENT_NOT_FOUND"
    assert medications.list_by_recipient("user_1", recipient.id) == []


def test_medications_are_listed_oldest_first_the_inactive_on_request(
    medications, recipient, homethrive_factory
):
    made = [homethrive_factory.medication(recipient, name=str(number)) for number in range(4)]
    ended = medications.set_inactive("user_1", made[1].id, AT)
    assert medications.list_by_recipient("user_1", recipient.id) == [made[0], made[2], made[3]]
    assert medications.list_by_recipient("user_1", recipient.id, include_inactive=True) == [
        made[0],
        ended,
        made[2],
        made[3],
    ]


def test_only_what_is_passed_changes_and_none_clears(medications, recipient):
    medication = medications.create("user_1", recipient.id, name="Aspirin", instructions="One")
    renamed = medications.update("user_1", medication.id, name="Ibuprofen")
    assert (renamed.name, renamed.instructions) == ("Ibuprofen", "One")
    assert renamed.updated_at > medication.updated_at
    cleared = medications.update("user_1", medication.id, instructions=None)
    assert (cleared.name, cleared.instructions) == ("Ibuprofen", None)
    assert medications.update("user_1", medication.id) == cleared


def test_a_deactivation_keeps_the_later_instant_until_it_is_taken_back(medications, recipient):
    medication = medications.create("user_1", recipient.id, name="Aspirin")
    for at, stays in ((AT, AT), (AT - timedelta(days=1), AT), (AT + timedelta(days=1),) * 2):
        ended = medications.set_inactive("user_1", medication.id, at)
        assert (ended.is_active, ended.inactive_at) == (False, stays)
    active = medications.set_active("user_1", medication.id)
    assert (active.is_active, active.inactive_at) == (True, None)
    assert medications.set_inactive("user_1", medication.id, AT).inactive_at == AT


def test_there_is_no_delete():
    assert not [name for name in vars(MedicationRepository) if "delete" in name]
