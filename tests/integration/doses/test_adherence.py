"""Who takes their medication: what counts as taken, late, missed, and as nothing."""

from datetime import UTC, date, datetime, timedelta

import pytest

from homethrive_db import DoseVerdict, Repositories, ValidationError, encode_dose_id

START = datetime(2025, 6, 2, tzinfo=UTC)
END = START + timedelta(days=7)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


class Patient:
    """Somebody with one medication, due each day at 08:00 in UTC."""

    def __init__(self, db, factory, **schedule):
        self.doses = Repositories(db).doses
        self.repositories = Repositories(db)
        self.profile = factory.own_profile(timezone="Etc/UTC")
        self.user_id = self.profile.user_id
        self.medication = factory.medication(self.profile, name="Metformin")
        self.schedule = factory.schedule(self.medication, **{"time_of_day": "08:00", **schedule})

    def take(self, day, hour=8, minutes=5):
        due = START + day * DAY + timedelta(hours=hour)
        dose_id = encode_dose_id(self.schedule.id, due)
        self.doses.record(self.user_id, dose_id, taken_at=due + minutes * MINUTE)

    def skip(self, day):
        due = START + day * DAY + timedelta(hours=8)
        self.doses.skip(self.user_id, encode_dose_id(self.schedule.id, due))

    def adherence(self, start=START, end=END, **options):
        return self.doses.adherence(self.user_id, self.profile.id, start, end, **options)

    def verdicts(self, **options):
        return {one.dose.local_date.day: one.verdict for one in self.adherence(**options).doses}


@pytest.fixture
def patient(homethrive_db, homethrive_factory):
    return Patient(homethrive_db, homethrive_factory)


def test_each_dose_is_judged_and_counted(patient):
    for day in (0, 1):
        patient.take(day)
    patient.take(2, minutes=90)
    patient.skip(3)
    found = patient.adherence()
    assert patient.verdicts() == {
        2: DoseVerdict.TAKEN,
        3: DoseVerdict.TAKEN,
        4: DoseVerdict.LATE,
        5: DoseVerdict.SKIPPED,
        6: DoseVerdict.MISSED,
        7: DoseVerdict.MISSED,
        8: DoseVerdict.MISSED,
    }
    total = found.total
    assert (total.due, total.taken, total.late, total.missed, total.skipped) == (7, 3, 1, 3, 1)
    assert total.rate == 0.5
    assert [(one.medication_name, one.figures) for one in found.medications] == [
        ("Metformin", total)
    ]
    assert found.unmatched == ()


def pause(patient):
    medications, key = patient.repositories.medications, (patient.user_id, patient.medication.id)
    medications.set_inactive(*key, START + 2 * DAY)
    assert len(patient.adherence().doses) == 2
    return lambda: medications.set_active(*key)


def test_a_pause_that_is_taken_back_was_due(patient):
    go_on = pause(patient)
    go_on()
    assert patient.adherence().total.missed == 7


def test_a_pause_is_kept_out_by_new_schedules(patient, homethrive_factory):
    """As docs/doses.md tells."""
    go_on = pause(patient)
    schedules = patient.repositories.schedules
    schedules.end(patient.user_id, patient.schedule.id, START.date() + DAY)
    new = homethrive_factory.new_schedule(time_of_day="08:00", start_date=START.date() + 5 * DAY)
    schedules.create_many(patient.user_id, {patient.medication.id: [new]})
    go_on()
    assert sorted(patient.verdicts()) == [2, 3, 7, 8]


@pytest.mark.parametrize(("minutes", "verdict"), [(60, DoseVerdict.TAKEN), (61, DoseVerdict.LATE)])
def test_a_dose_is_late_when_its_grace_is_over(patient, minutes, verdict):
    patient.take(0, minutes=minutes)
    assert patient.verdicts()[2] is verdict
    assert patient.verdicts(grace=2 * timedelta(hours=1))[2] is DoseVerdict.TAKEN
    assert patient.verdicts(grace=timedelta())[2] is DoseVerdict.LATE


def test_the_rate_of_nothing_is_none(patient):
    patient.repositories.schedules.update(patient.user_id, patient.schedule.id, start_date=date.max)
    found = patient.adherence()
    assert (found.total.due, found.total.rate, found.medications) == (0, None, ())


def test_what_was_skipped_alone_has_no_rate(patient):
    for day in range(7):
        patient.skip(day)
    assert (patient.adherence().total.due, patient.adherence().total.rate) == (7, None)


def test_a_dose_whose_grace_is_not_over_is_open_and_does_not_count(patient):
    now = datetime.now(UTC)
    found = patient.adherence(now, now + 3 * DAY)
    assert {one.verdict for one in found.doses} == {DoseVerdict.OPEN}
    assert (found.total.due, found.total.rate) == (0, None)


def test_a_dose_taken_ahead_of_its_time_is_taken(patient):
    now = datetime.now(UTC)
    coming = patient.doses.list_upcoming(patient.user_id, patient.profile.id)[0]
    patient.doses.record(patient.user_id, coming.dose_id, taken_at=now)
    assert patient.adherence(now, now + 2 * DAY).total.taken == 1


def test_a_schedule_that_is_moved_does_not_turn_its_past_red(patient):
    for day in range(6):
        patient.take(day)
    patient.repositories.schedules.update(patient.user_id, patient.schedule.id, time_of_day="10:00")
    found = patient.adherence()
    verdicts = [one.verdict for one in found.doses]
    assert verdicts == [DoseVerdict.MOVED] * 6 + [DoseVerdict.MISSED]
    assert (found.total.due, found.total.taken, found.total.missed) == (1, 0, 1)
    assert [one.scheduled_for for one in found.unmatched] == [
        START + day * DAY + timedelta(hours=8) for day in range(6)
    ]
    assert {(one.schedule_id, one.medication_name) for one in found.unmatched} == {
        (patient.schedule.id, "Metformin")
    }


def test_only_rows_of_the_window_are_listed_as_unmatched(patient):
    for day in range(3):
        patient.take(day)
    patient.repositories.schedules.update(patient.user_id, patient.schedule.id, time_of_day="10:00")
    found = patient.adherence(START + DAY, START + 2 * DAY)
    assert [one.scheduled_for for one in found.unmatched] == [START + DAY + timedelta(hours=8)]


def test_doses_before_a_medication_was_set_inactive_still_count(patient):
    patient.take(0)
    patient.repositories.medications.set_inactive(
        patient.user_id, patient.medication.id, START + 2 * DAY
    )
    total = patient.adherence().total
    assert (total.due, total.taken, total.missed) == (2, 1, 1)


def test_a_row_of_after_a_medication_was_set_inactive_is_unmatched(patient):
    """Nothing was due then, yet somebody says that it was taken: that must not be lost."""
    for day in (0, 3):
        patient.take(day)
    patient.repositories.medications.set_inactive(
        patient.user_id, patient.medication.id, START + 2 * DAY
    )
    found = patient.adherence()
    assert (found.total.due, found.total.taken) == (2, 1)
    assert [one.scheduled_for.day for one in found.unmatched] == [5]


@pytest.mark.parametrize("change", [{"end_date": date(2025, 5, 31)}, {"start_date": date.max}])
def test_rows_of_a_schedule_that_has_no_dose_in_the_window_are_unmatched(patient, change):
    patient.take(2)
    patient.repositories.medications.set_inactive(patient.user_id, patient.medication.id, END)
    patient.repositories.schedules.update(patient.user_id, patient.schedule.id, **change)
    found = patient.adherence()
    assert (found.doses, [one.scheduled_for.day for one in found.unmatched]) == ((), [4])


def test_doses_of_one_time_and_name_come_in_the_order_of_their_ids(patient, homethrive_factory):
    ids = [patient.schedule.id]
    ids += [homethrive_factory.schedule(patient.medication, time_of_day="08:00").id for _ in "123"]
    found = patient.adherence(START, START + DAY)
    assert [one.dose.schedule_id for one in found.doses] == sorted(ids)


def test_a_dose_of_the_node_service_counts_and_is_late_by_its_own_clock(
    homethrive_db, homethrive_factory
):
    """A schedule without a zone is due at 20:00 in London for us, in New York for it."""
    patient = Patient(homethrive_db, homethrive_factory, time_of_day="20:00")
    patient.repositories.care_recipients.update(
        patient.user_id, patient.profile.id, timezone="Europe/London"
    )
    patient.take(3, hour=0, minutes=20)  # 20:00 of 4 June in New York
    patient.take(4, hour=0, minutes=80)
    found = patient.verdicts()
    assert (found[4], found[5]) == (DoseVerdict.TAKEN, DoseVerdict.LATE)
    assert found[3] is found[6] is DoseVerdict.MISSED
    assert patient.adherence().unmatched == ()


def test_several_medications_are_told_by_name(patient, homethrive_factory):
    second = homethrive_factory.medication(patient.profile, name="Aspirin")
    homethrive_factory.schedule(second, time_of_day="09:00", recurrence="weekly", days_of_week=[1])
    found = patient.adherence()
    assert [(one.medication_name, one.figures.due) for one in found.medications] == [
        ("Aspirin", 1),
        ("Metformin", 7),
    ]
    assert found.total.due == 8


def test_a_stranger_learns_nothing(patient, homethrive_factory):
    stranger = homethrive_factory.user().clerk_user_id
    found = patient.doses.adherence(stranger, patient.profile.id, START, END)
    assert (found.doses, found.medications, found.unmatched) == ((), (), ())


@pytest.mark.parametrize(
    ("arguments", "options", "field"),
    [
        ((END, START), {}, "start"),
        ((START, datetime(2025, 6, 3)), {}, "end"),
        ((START, END), {"grace": -MINUTE}, "grace"),
        ((START, END), {"grace": 60}, "grace"),
    ],
)
def test_bad_input_is_refused(patient, arguments, options, field):
    with pytest.raises(ValidationError) as caught:
        patient.adherence(*arguments, **options)
    assert caught.value.details["field"] == field
