"""What is due, and what became of it, over a real database."""

import logging
from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from homethrive_db import (
    ConflictError,
    DoseKey,
    DoseOccurrence,
    DoseStatus,
    NewDoseTaken,
    NotFoundError,
    Recurrence,
    TakenInfo,
    UnavailableError,
    ValidationError,
    encode_dose_id,
)

START = datetime(2025, 6, 2, tzinfo=UTC)
DAY = date(2025, 6, 4)
TAKEN_AT = datetime(2025, 6, 4, 12, 41, 7, 123456, tzinfo=UTC)
MORNING = datetime(2025, 6, 4, 12, 30, tzinfo=UTC)
"""08:30 in New York."""
ONE = timedelta(days=1)


def at(day, clock, zone):
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone)).astimezone(UTC)


@pytest.fixture
def doses(homethrive_repositories):
    return homethrive_repositories.doses


@pytest.fixture
def doses_taken(homethrive_repositories):
    return homethrive_repositories.doses_taken


@pytest.fixture
def make(homethrive_factory, homethrive_repositories):
    """Give what makes a schedule of the user "owner", who lives in *zone*."""

    def make(zone="America/New_York", name="Aspirin 100 mg", **values):
        profile = homethrive_factory.own_profile(homethrive_factory.user("owner"), timezone=zone)
        medication = homethrive_factory.medication(profile, name=name)
        return homethrive_factory.schedule(medication, **{"time_of_day": time(8, 30), **values})

    return make


@pytest.fixture
def listed(doses, homethrive_repositories):
    """Give what lists the owner's doses of a week."""

    def listed(start=START, end=START + 7 * ONE, **options):
        profile = homethrive_repositories.care_recipients.find_by_user_id("owner")
        return doses.list_upcoming("owner", profile.id, start=start, end=end, **options)

    return listed


def on(day, occurrences):
    (one,) = [one for one in occurrences if one.local_date == day]
    return one


def test_an_occurrence_tells_all_there_is_to_a_dose(
    doses, doses_taken, listed, make, homethrive_repositories
):
    schedule = make(
        recurrence="weekly", days_of_week=[3], timezone="Europe/Berlin", dosage_notes="1 tablet"
    )
    (one,) = listed()
    medication = homethrive_repositories.medications.find_by_id("owner", schedule.medication_id)
    due = at(DAY, "08:30", "Europe/Berlin")
    assert one == DoseOccurrence(
        schedule_id=schedule.id,
        medication_id=medication.id,
        recipient_id=medication.recipient_id,
        medication_name="Aspirin 100 mg",
        instructions="With a glass of water",
        dosage_notes="1 tablet",
        recurrence=Recurrence.WEEKLY,
        time_of_day=time(8, 30),
        days_of_week=(3,),
        zone="Europe/Berlin",
        scheduled_for=due,
        local_date=DAY,
        local_time=time(8, 30),
    )
    assert one.dose_id == encode_dose_id(schedule.id, due)
    assert one.scheduled_for.tzinfo is UTC
    assert isinstance(one.recurrence, Recurrence)
    assert (one.status, one.taken_at, one.taken_by_user_id) == (DoseStatus.SCHEDULED, None, None)
    doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, due, TAKEN_AT))
    (taken,) = listed()
    assert taken == one._replace(
        status=DoseStatus.TAKEN, taken_at=TAKEN_AT, taken_by_user_id="owner"
    )
    assert taken.taken_at.tzinfo is UTC
    assert isinstance(taken.status, DoseStatus)


def test_doses_come_in_the_order_in_which_they_are_due(make, listed):
    make(name="B", time_of_day=time(8, 30))
    make(name="A", time_of_day=time(8, 30))
    make(name="C", time_of_day=time(14, 30), timezone="Europe/Berlin")  # the same instant
    make(name="D", time_of_day=time(7))
    names = "".join(one.medication_name for one in listed())
    assert names == "DABC" * 7


def test_unless_told_otherwise_it_is_seven_days_from_now(doses, make, homethrive_repositories):
    make()
    profile = homethrive_repositories.care_recipients.find_by_user_id("owner")
    before = datetime.now(UTC)
    found = doses.list_upcoming("owner", profile.id)
    assert 6 <= len(found) <= 8  # around a change of the clock
    assert before <= found[0].scheduled_for < before + timedelta(hours=25)
    assert found[-1].scheduled_for < datetime.now(UTC) + 7 * ONE
    from_start = doses.list_upcoming("owner", profile.id, start=START)
    assert [one.local_date for one in from_start] == [
        date(2025, 6, 2) + number * ONE for number in range(7)
    ]
    until = doses.list_upcoming("owner", profile.id, end=before + 2 * ONE + timedelta(minutes=1))
    assert until == found[: len(until)]
    assert until


def test_a_window_is_half_open_and_may_be_given_in_any_zone(make, listed):
    make()
    tick = timedelta(microseconds=1)
    assert [one.scheduled_for for one in listed(MORNING, MORNING + tick)] == [MORNING]
    assert listed(MORNING - ONE + tick, MORNING) == []
    assert listed(MORNING, MORNING) == []
    tokyo = MORNING.astimezone(ZoneInfo("Asia/Tokyo"))
    assert listed(tokyo, tokyo + tick)[0].scheduled_for == MORNING


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/London"])
@pytest.mark.parametrize("clock", ["00:05", "08:30", "23:55"])
def test_a_schedule_starts_and_ends_with_its_local_dates(make, listed, zone, clock):
    make(zone, time_of_day=clock, start_date=DAY, end_date=DAY + ONE)
    found = [(one.local_date, one.scheduled_for) for one in listed()]
    assert found == [(day, at(day, clock, zone)) for day in (DAY, DAY + ONE)]


def test_the_zone_is_the_schedules_else_the_recipients(make, listed):
    make("Asia/Tokyo", name="theirs")
    make("Asia/Tokyo", name="own", timezone="America/Los_Angeles")
    zones = {one.medication_name: (one.zone, one.scheduled_for) for one in listed(MORNING - ONE)
             if one.local_date == DAY}  # fmt: skip
    assert zones == {
        "theirs": ("Asia/Tokyo", at(DAY, "08:30", "Asia/Tokyo")),
        "own": ("America/Los_Angeles", at(DAY, "08:30", "America/Los_Angeles")),
    }


def test_a_window_may_touch_the_ends_of_the_calendar(make, listed, doses, homethrive_repositories):
    make(start_date=date.min)
    ends = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert len(listed(ends[0], ends[0] + 4 * ONE)) in {2, 3, 4}
    assert len(listed(ends[1] - 4 * ONE, ends[1])) in {2, 3, 4}
    profile = homethrive_repositories.care_recipients.find_by_user_id("owner")
    assert len(doses.list_upcoming("owner", profile.id, start=ends[1] - ONE)) <= 1


class TestInactive:
    """Nothing is due after ``inactive_at``, and all of what was due before is."""

    @pytest.fixture
    def deactivate(self, homethrive_repositories, make):
        medication_id = make().medication_id

        def deactivate(inactive_at):
            homethrive_repositories.medications.set_inactive("owner", medication_id, inactive_at)

        return deactivate

    def test_one_that_is_inactive_is_left_out_unless_asked_for(self, listed, deactivate):
        deactivate(MORNING)
        assert listed() == []
        found = listed(include_inactive=True)
        assert found[-1].scheduled_for == MORNING
        assert len(found) == 3

    def test_one_that_will_be_inactive_is_listed_until_then(
        self, doses, deactivate, homethrive_repositories
    ):
        """Its doses are still to be taken, and would be missed by nobody if they were hidden."""
        profile = homethrive_repositories.care_recipients.find_by_user_id("owner")
        week = doses.list_upcoming("owner", profile.id)
        deactivate(week[2].scheduled_for)
        for include in (False, True):
            found = doses.list_upcoming("owner", profile.id, include_inactive=include)
            assert found == week[:3]

    def test_inactive_since_nobody_knows_when_it_has_no_dose(
        self, listed, deactivate, homethrive_db
    ):
        deactivate(MORNING)
        with homethrive_db.atomic():
            homethrive_db.execute_sql("UPDATE medications SET inactive_at = NULL")
        assert listed(include_inactive=True) == []

    def test_a_dose_after_it_is_neither_recorded_nor_skipped(
        self, doses, deactivate, homethrive_db
    ):
        deactivate(MORNING)
        ((schedule_id,),) = homethrive_db.execute_sql("SELECT id FROM medication_schedules")
        late = encode_dose_id(schedule_id, MORNING + ONE)
        for refused in (doses.record, doses.skip):
            with pytest.raises(ConflictError) as caught:
                refused("owner", late)
            assert caught.value.code == "MEDICATION_INACTIVE"
        last = encode_dose_id(schedule_id, MORNING)
        assert doses.record("owner", last).status is DoseStatus.TAKEN

    def test_what_was_recorded_before_stays_recorded_and_may_be_undone(
        self, doses, deactivate, homethrive_db
    ):
        ((schedule_id,),) = homethrive_db.execute_sql("SELECT id FROM medication_schedules")
        dose_id = encode_dose_id(schedule_id, MORNING)
        first = doses.record("owner", dose_id, taken_at=TAKEN_AT)
        deactivate(MORNING - ONE)
        assert doses.record("owner", dose_id) == first
        assert doses.undo("owner", dose_id).status is DoseStatus.SCHEDULED


class TestRecording:
    """Recording is idempotent: the first report stays."""

    def test_a_dose_is_recorded_once(self, doses, doses_taken, make, listed):
        schedule = make()
        dose_id = on(DAY, listed()).dose_id
        first = doses.record("owner", dose_id, taken_at=TAKEN_AT)
        assert (first.status, first.taken_at, first.taken_by_user_id) == (
            DoseStatus.TAKEN, TAKEN_AT, "owner",
        )  # fmt: skip
        assert doses.record("owner", dose_id, taken_at=TAKEN_AT + ONE) == first
        assert on(DAY, listed()) == first
        assert doses_taken.taken_map("owner", [schedule.id], START, START + 7 * ONE) == {
            DoseKey(schedule.id, MORNING): TakenInfo(TAKEN_AT, "owner")
        }
        others = [one for one in listed() if one.local_date != DAY]
        assert {one.status for one in others} == {DoseStatus.SCHEDULED}

    def test_unless_told_otherwise_it_was_taken_now(self, doses, make, listed):
        make()
        before = datetime.now(UTC)
        taken = doses.record("owner", listed()[0].dose_id)
        assert before <= taken.taken_at <= datetime.now(UTC)

    def test_a_caregiver_records_it_under_their_own_name(self, doses, make, homethrive_factory):
        schedule = make()
        owner = homethrive_factory.user("owner")
        homethrive_factory.caregiver_access(homethrive_factory.user("caregiver"), owner)
        taken = doses.record("caregiver", encode_dose_id(schedule.id, MORNING))
        assert taken.taken_by_user_id == "caregiver"
        assert doses.record("owner", taken.dose_id) == taken

    def test_undoing_takes_it_back_however_often(self, doses, make, listed):
        make()
        before = listed()
        dose = on(DAY, before)
        assert doses.undo("owner", dose.dose_id) == dose
        doses.record("owner", dose.dose_id)
        for _ in range(2):
            assert doses.undo("owner", dose.dose_id) == dose
            assert listed() == before
        assert doses.record("owner", dose.dose_id, taken_at=TAKEN_AT).taken_at == TAKEN_AT

    @pytest.mark.parametrize(
        "instant",
        [
            MORNING + timedelta(minutes=1),
            MORNING + timedelta(hours=12),
            at(date(2024, 12, 31), "08:30", "America/New_York"),
            datetime.min.replace(tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
        ],
    )
    def test_an_id_that_is_no_dose_of_its_schedule_is_refused(self, doses, make, instant):
        schedule = make()
        for refused in (doses.record, doses.skip, doses.undo):
            with pytest.raises(ValidationError) as caught:
                refused("owner", encode_dose_id(schedule.id, instant))
            assert caught.value.code == "NO_SUCH_DOSE"
            assert caught.value.details == {"field": "dose_id"}

    def test_what_is_not_theirs_is_not_there(self, doses, make, homethrive_factory):
        """Be the instant that of a dose or not."""
        schedule = make()
        homethrive_factory.user("stranger")
        answers = set()
        for schedule_id in (schedule.id, uuid4()):
            for instant in (MORNING, MORNING + timedelta(minutes=1)):
                for refused in (doses.record, doses.skip, doses.undo):
                    with pytest.raises(NotFoundError) as caught:
                        refused("stranger", encode_dose_id(schedule_id, instant))
                    answers.add((str(caught.value), caught.value.code))
                    assert caught.value.details == {"schedule_id": schedule_id}
        assert len(answers) == 1

    def test_inside_a_transaction_a_refusal_leaves_it_usable(self, doses, make, homethrive_db):
        schedule = make("Europe/London")
        with homethrive_db.atomic():
            with pytest.raises(ValidationError):
                doses.record("owner", encode_dose_id(schedule.id, MORNING + timedelta(hours=3)))
            taken = doses.record("owner", encode_dose_id(schedule.id, MORNING))
        assert taken.status is DoseStatus.TAKEN


class TestSkipping:
    """A dose that is skipped is neither missed nor taken."""

    def test_a_dose_is_skipped_once_with_the_first_reason(
        self, doses, doses_taken, make, listed, homethrive_db
    ):
        schedule = make()
        dose = on(DAY, listed())
        skipped = doses.skip("owner", dose.dose_id, reason="nausea")
        assert skipped == dose._replace(status=DoseStatus.SKIPPED, skip_reason="nausea")
        assert doses.skip("owner", dose.dose_id, reason="another") == skipped
        assert on(DAY, listed()) == skipped
        rows = homethrive_db.execute_sql(
            "SELECT schedule_id, scheduled_for, reason, skipped_by_user_id FROM dose_skips"
        ).fetchall()
        assert rows == [(schedule.id, MORNING, "nausea", "owner")]
        assert doses_taken.taken_map("owner", [schedule.id], START, START + 7 * ONE) == {}

    def test_a_reason_may_be_left_out(self, doses, make, listed):
        make()
        skipped = doses.skip("owner", listed()[0].dose_id)
        assert (skipped.status, skipped.skip_reason) == (DoseStatus.SKIPPED, None)
        assert listed()[0] == skipped

    def test_what_is_taken_is_not_skipped(self, doses, make, listed):
        make()
        dose_id = listed()[0].dose_id
        doses.record("owner", dose_id)
        with pytest.raises(ConflictError) as caught:
            doses.skip("owner", dose_id)
        assert caught.value.code == "DOSE_TAKEN"
        doses.undo("owner", dose_id)
        assert doses.skip("owner", dose_id).status is DoseStatus.SKIPPED

    def test_a_dose_that_was_skipped_may_be_taken_after_all(self, doses, make, listed):
        make()
        dose = listed()[0]
        doses.skip("owner", dose.dose_id, reason="nausea")
        taken = doses.record("owner", dose.dose_id, taken_at=TAKEN_AT)
        assert (taken.status, taken.skip_reason) == (DoseStatus.TAKEN, None)
        assert listed()[0] == taken
        assert doses.undo("owner", dose.dose_id) == dose
        assert listed()[0] == dose

    def test_a_skip_goes_with_its_schedule(self, doses, make, listed, homethrive_db):
        schedule = make()
        doses.skip("owner", listed()[0].dose_id)
        homethrive_db.execute_sql("DELETE FROM medication_schedules WHERE id = %s", (schedule.id,))
        assert homethrive_db.execute_sql("SELECT count(*) FROM dose_skips").fetchone() == (0,)


class TestOneTruth:
    """A schedule without a zone: the Node service records at New York's instants."""

    @pytest.fixture(params=["Europe/London", "America/Los_Angeles", "Pacific/Kiritimati"])
    def zone(self, request):
        return request.param

    @pytest.fixture(params=["00:30", "08:30", "22:30"])
    def clock(self, request):
        return request.param

    @pytest.fixture
    def schedule(self, make, zone, clock):
        return make(zone, time_of_day=clock)

    @pytest.fixture
    def ids(self, schedule, zone, clock):
        """Give the ids of one dose: ours, and the Node service's."""
        instants = (at(DAY, clock, place) for place in (zone, "America/New_York"))
        return [encode_dose_id(schedule.id, instant) for instant in instants]

    def recorded(self, db):
        return db.execute_sql("SELECT scheduled_for FROM dose_taken").fetchall()

    def test_what_the_node_service_recorded_is_taken(
        self, doses, doses_taken, schedule, ids, clock, listed, homethrive_db
    ):
        nodes = at(DAY, clock, "America/New_York")
        doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, nodes, TAKEN_AT))
        found = listed(START - 2 * ONE)
        assert [one.local_date for one in found if one.status == "taken"] == [DAY]
        assert on(DAY, found).dose_id == ids[0]
        for dose_id in ids:
            assert doses.record("owner", dose_id, taken_at=TAKEN_AT + ONE) == on(DAY, found)
        assert self.recorded(homethrive_db) == [(nodes,)]

    @pytest.mark.parametrize("first", [0, 1])
    def test_one_dose_has_one_row_whichever_id_comes_first(
        self, doses, ids, first, clock, zone, homethrive_db
    ):
        """Under the instant of the id, so that the service which made it sees the row."""
        taken = doses.record("owner", ids[first], taken_at=TAKEN_AT)
        assert taken.dose_id == ids[0]
        assert doses.record("owner", ids[1 - first]) == taken
        places = [zone, "America/New_York"]
        assert self.recorded(homethrive_db) == [(at(DAY, clock, places[first]),)]
        for dose_id in (ids[1 - first], ids[first]):
            undone = doses.undo("owner", dose_id)
            assert (undone.status, undone.dose_id) == (DoseStatus.SCHEDULED, ids[0])
        assert self.recorded(homethrive_db) == []

    @pytest.mark.parametrize("first", [0, 1])
    def test_a_skip_is_one_too(self, doses, ids, first, listed):
        skipped = doses.skip("owner", ids[first], reason="ill")
        assert doses.skip("owner", ids[1 - first]) == skipped == on(DAY, listed(START - 2 * ONE))
        assert doses.undo("owner", ids[1 - first]).status is DoseStatus.SCHEDULED
        assert on(DAY, listed(START - 2 * ONE)).status is DoseStatus.SCHEDULED

    def test_two_rows_that_there_are_already_are_one_dose(
        self, doses, doses_taken, schedule, ids, clock, zone, listed, homethrive_db
    ):
        for place in (zone, "America/New_York"):
            new = NewDoseTaken(schedule.id, at(DAY, clock, place), TAKEN_AT)
            doses_taken.mark_taken("owner", new)
        found = listed(START - 2 * ONE)
        assert [one.local_date for one in found if one.status == "taken"] == [DAY]
        doses.undo("owner", ids[0])
        assert self.recorded(homethrive_db) == []

    def test_a_schedule_that_gets_its_zone_keeps_what_was_recorded(
        self, doses, schedule, ids, zone, listed, homethrive_repositories, homethrive_db
    ):
        doses.record("owner", ids[1], taken_at=TAKEN_AT)
        before = listed(START - 2 * ONE)
        homethrive_repositories.schedules.update("owner", schedule.id, timezone=zone)
        assert listed(START - 2 * ONE) == before
        for dose_id in ids:
            assert doses.record("owner", dose_id).taken_at == TAKEN_AT
        assert len(self.recorded(homethrive_db)) == 1
        assert doses.undo("owner", ids[0]).status is DoseStatus.SCHEDULED
        with pytest.raises(ValidationError):
            doses.record("owner", ids[1])

    def test_with_a_zone_of_its_own_the_nodes_instant_is_no_dose(self, doses, make, zone):
        schedule = make(zone, timezone="Asia/Tokyo")
        with pytest.raises(ValidationError):
            doses.record("owner", encode_dose_id(schedule.id, MORNING))


class TestChangedSchedules:
    """A date stays settled whatever becomes of its schedule."""

    @pytest.mark.parametrize(
        "changes",
        [{"time_of_day": "10:00"}, {"time_of_day": "22:00"}, {"timezone": "Europe/London"}],
    )
    def test_a_date_that_is_taken_is_not_recorded_again(
        self, doses, make, listed, homethrive_repositories, homethrive_db, changes
    ):
        schedule = make()
        doses.record("owner", on(DAY, listed()).dose_id, taken_at=TAKEN_AT)
        homethrive_repositories.schedules.update("owner", schedule.id, **changes)
        moved = on(DAY, listed())
        assert (moved.status, moved.taken_at) == (DoseStatus.TAKEN, TAKEN_AT)
        assert doses.record("owner", moved.dose_id) == moved
        assert doses.record("owner", encode_dose_id(schedule.id, MORNING)) == moved
        assert {one.status for one in listed() if one.local_date != DAY} == {"scheduled"}
        undone = doses.undo("owner", moved.dose_id)
        assert undone == on(DAY, listed())
        assert undone.status is DoseStatus.SCHEDULED
        assert homethrive_db.execute_sql("SELECT * FROM dose_taken").fetchall() == []

    def test_an_old_skip_may_become_a_dose_taken_at_the_new_time(
        self, doses, make, listed, homethrive_repositories, homethrive_db
    ):
        schedule = make()
        old = on(DAY, listed()).dose_id
        doses.skip("owner", old)
        homethrive_repositories.schedules.update("owner", schedule.id, time_of_day="10:00")
        taken = doses.record("owner", old)
        assert taken == on(DAY, listed())
        assert homethrive_db.execute_sql("SELECT scheduled_for FROM dose_taken").fetchall() == [
            (at(DAY, "10:00", "America/New_York"),)
        ]

    def test_the_id_of_before_a_move_is_none_once_it_is_undone(
        self, doses, make, listed, homethrive_repositories
    ):
        schedule = make()
        old = on(DAY, listed()).dose_id
        doses.record("owner", old)
        homethrive_repositories.schedules.update("owner", schedule.id, time_of_day="10:00")
        assert doses.undo("owner", old) == on(DAY, listed())
        with pytest.raises(ValidationError) as caught:
            doses.undo("owner", old)
        assert caught.value.code == "NO_SUCH_DOSE"

    def test_a_skip_of_a_date_without_a_dose_any_more_is_no_dose_to_take(
        self, doses, make, listed, homethrive_repositories
    ):
        schedule = make()
        old = on(DAY, listed()).dose_id
        doses.skip("owner", old)
        weekly = {"recurrence": "weekly", "days_of_week": [DAY.isoweekday() + 1]}
        homethrive_repositories.schedules.update("owner", schedule.id, **weekly)
        with pytest.raises(ValidationError) as caught:
            doses.record("owner", old)
        assert caught.value.code == "NO_SUCH_DOSE"
        assert doses.undo("owner", old).scheduled_for == MORNING


class TestBrokenSchedules:
    """What the Node service stored and nobody can read is logged once, and hurts nobody else."""

    BROKEN = (
        "days_of_week = '{}', recurrence = 'weekly'",
        "days_of_week = '{{1,2},{3,4}}', recurrence = 'weekly'",
        "timezone = 'EST5EDT4'",
        "timezone = ''",
        "timezone = '../../etc/passwd'",
        "end_date = start_date - 1",
    )

    @pytest.mark.parametrize("values", BROKEN)
    def test_it_is_left_out_and_the_rest_goes_on(
        self, doses, make, listed, homethrive_db, caplog, values
    ):
        broken, _ = make(name="broken"), make(name="good")
        sql = f"UPDATE medication_schedules SET {values} WHERE id = %s"
        homethrive_db.execute_sql(sql, (broken.id,))
        caplog.set_level(logging.WARNING, "homethrive_db")
        for _ in range(2):
            assert {one.medication_name for one in listed()} == {"good"}
        assert [str(broken.id) in record.getMessage() for record in caplog.records] == [True]
        for refused in (doses.record, doses.skip, doses.undo):
            with pytest.raises(ConflictError) as caught:
                refused("owner", encode_dose_id(broken.id, MORNING))
            assert caught.value.code == "BROKEN_SCHEDULE"
            assert caught.value.details == {"schedule_id": broken.id}

    @pytest.mark.parametrize(
        "change",
        [
            "medication_schedules SET end_date = '20250-01-01'",
            "medication_schedules SET start_date = '0001-01-01 BC'",
            "medication_schedules SET start_date = '-infinity', end_date = 'infinity'",
            "medications SET is_active = false, inactive_at = '20250-01-01'",
        ],
    )
    def test_a_year_that_python_has_not_is_the_last_or_the_first(
        self, doses, make, listed, homethrive_db, change
    ):
        """A mistyped year of one row must not stop the workers of all."""
        schedule = make()
        homethrive_db.execute_sql(f"UPDATE {change}")
        assert len(listed()) == 7
        assert doses.record("owner", encode_dose_id(schedule.id, MORNING)).status == "taken"

    def test_a_schedule_that_starts_after_the_last_year_has_no_dose(
        self, doses, make, listed, homethrive_db
    ):
        schedule = make()
        homethrive_db.execute_sql("UPDATE medication_schedules SET start_date = '20250-01-01'")
        assert listed() == []
        with pytest.raises(ValidationError) as caught:
            doses.record("owner", encode_dose_id(schedule.id, MORNING))
        assert caught.value.code == "NO_SUCH_DOSE"

    def test_a_zone_that_matters_not_breaks_nothing(self, make, listed, homethrive_db):
        make(timezone="Europe/London")
        homethrive_db.execute_sql("UPDATE care_recipients SET timezone = 'Nowhere'")
        assert len(listed()) == 7


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_the_zone_of_the_session_changes_nothing(doses, make, listed, homethrive_db, zone):
    schedule = make()
    dose_id = encode_dose_id(schedule.id, MORNING)
    doses.skip("owner", encode_dose_id(schedule.id, MORNING + ONE), reason="ill")
    doses.record("owner", dose_id, taken_at=TAKEN_AT)
    before = listed()
    homethrive_db.execute_sql(f"SET LOCAL timezone = '{zone}'")
    assert listed() == before
    assert doses.record("owner", dose_id) == on(DAY, before)


def test_skips_that_are_lost_to_others_again_and_again_say_to_try_again(
    doses, make, listed, monkeypatch
):
    make()
    monkeypatch.setattr(doses, "_insert_skip", lambda *_: False)
    with pytest.raises(UnavailableError) as caught:
        doses.skip("owner", listed()[0].dose_id)
    assert (caught.value.code, caught.value.retryable) == ("LOST_RACE", True)
