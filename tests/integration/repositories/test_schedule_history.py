"""Schedules that are revised or ended: the past stays, and no medication runs out unseen."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homethrive_db import ConflictError, NewDoseTaken, ValidationError, occurrences

START = date(2025, 1, 1)
REVISED = date(2025, 3, 10)
FUTURE = date(2100, 3, 10)
DAY = timedelta(days=1)
NEW_YORK, TOKYO = "America/New_York", "Asia/Tokyo"
LAST_DAY = date(2025, 6, 29)
WINDOW = (datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))


@pytest.fixture
def schedules(homethrive_repositories):
    return homethrive_repositories.schedules


@pytest.fixture
def recipient(homethrive_factory):
    return homethrive_factory.own_profile(homethrive_factory.user("user_1"))


@pytest.fixture
def medication(homethrive_factory, recipient):
    return homethrive_factory.medication(recipient)


@pytest.fixture
def make(homethrive_factory, medication):
    """Give what makes a schedule of the medication, daily at eight unless told otherwise."""
    defaults = {"start_date": START, "time_of_day": time(8)}
    return lambda **values: homethrive_factory.schedule(medication, **{**defaults, **values})


@pytest.fixture
def take(homethrive_repositories):
    """Give what marks a dose of a schedule as taken, at a local time."""

    def at(schedule, zone, *local):
        due = datetime(*local, tzinfo=ZoneInfo(zone))
        return homethrive_repositories.doses_taken.mark_taken(
            "user_1", NewDoseTaken(schedule.id, due, due)
        )

    return at


def refused(call, *arguments, **keywords):
    """Give the code of a conflict."""
    with pytest.raises(ConflictError) as caught:
        call(*arguments, **keywords)
    return caught.value.code


def test_a_revision_ends_the_old_schedule_and_carries_over_what_is_not_passed(
    schedules, make, medication
):
    old = make(timezone=TOKYO, dosage_notes="one", recurrence="weekly", days_of_week=[1, 3])
    new = schedules.revise("user_1", old.id, REVISED, time_of_day="10:00", dosage_notes=None)
    assert (new.start_date, new.end_date, new.time_of_day) == (REVISED, None, time(10))
    for field in ("medication_id", "recurrence", "days_of_week", "timezone"):
        assert getattr(new, field) == getattr(old, field)
    assert new.dosage_notes is None
    ended, *others = schedules.list_by_medication("user_1", medication.id)
    assert others == [new]
    assert (ended.id, ended.end_date) == (old.id, REVISED - DAY)
    for field in ("start_date", "time_of_day", "dosage_notes", "created_at"):
        assert getattr(ended, field) == getattr(old, field)


def test_a_planned_end_is_carried_over_and_may_be_changed(schedules, make):
    make()
    end = FUTURE + 10 * DAY
    for changes, expected in (
        ({}, end),
        ({"end_date": end + DAY}, end + DAY),
        ({"end_date": FUTURE}, FUTURE),
        ({"end_date": None}, None),
    ):
        course = make(end_date=end)
        assert schedules.revise("user_1", course.id, FUTURE, **changes).end_date == expected


def test_doses_and_their_ids_stay_what_they_were(
    schedules, make, take, homethrive_repositories, homethrive_factory
):
    old = make(timezone=NEW_YORK)
    dose = take(old, NEW_YORK, 2025, 3, 9, 8)
    due = occurrences(old, NEW_YORK, WINDOW[0], dose.scheduled_for + DAY / 2)
    new = schedules.revise("user_1", old.id, REVISED, time_of_day="10:00")
    ended = schedules.find_by_id("user_1", old.id)
    assert occurrences(ended, NEW_YORK, *WINDOW) == due
    taken = homethrive_repositories.doses_taken.taken_map("user_1", [old.id, new.id], *WINDOW)
    assert list(taken) == [(old.id, dose.scheduled_for)]


@pytest.mark.parametrize("effective", [START, START - DAY, date.min])
def test_a_revision_begins_after_the_start(schedules, make, effective):
    schedule = make()
    with pytest.raises(ValidationError) as caught:
        schedules.revise("user_1", schedule.id, effective, time_of_day="10:00")
    assert caught.value.details == {"field": "effective"}
    assert schedules.find_by_id("user_1", schedule.id) == schedule
    assert schedules.revise("user_1", schedule.id, START + DAY, time_of_day="10:00")


def test_a_schedule_that_ends_before_is_not_revised_but_its_successor_is(schedules, make):
    old = make()
    new = schedules.revise("user_1", old.id, REVISED, time_of_day="10:00")
    for effective in (REVISED, REVISED + 10 * DAY):
        assert refused(schedules.revise, "user_1", old.id, effective) == "SCHEDULE_ENDED"
    assert schedules.list_by_medication("user_1", old.medication_id)[1:] == [new]
    assert schedules.revise("user_1", new.id, REVISED + DAY, time_of_day="11:00")


def test_what_is_left_of_a_revised_schedule_may_be_revised_up_to_its_end(schedules, make):
    old = make()
    schedules.revise("user_1", old.id, FUTURE, time_of_day="10:00")
    between = schedules.revise("user_1", old.id, FUTURE - 2 * DAY, time_of_day="09:00")
    assert between.end_date == FUTURE - DAY


@pytest.mark.parametrize("zone", [None, TOKYO, "Pacific/Niue"])
def test_a_schedule_that_has_ended_by_today_is_revised_no_more(schedules, make, zone):
    """Nor one of before its end: what was due then is past."""
    old = make(timezone=zone)
    today = datetime.now(ZoneInfo(zone or NEW_YORK)).date()
    new = schedules.revise("user_1", old.id, today, time_of_day="10:00")
    assert refused(schedules.revise, "user_1", old.id, today - 2 * DAY) == "SCHEDULE_ENDED"
    assert schedules.list_by_medication("user_1", old.medication_id)[1:] == [new]
    course = make(timezone=zone, end_date=today)
    assert schedules.revise("user_1", course.id, today).end_date == today


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        (NEW_YORK, (2025, 3, 9, 0, 0)),
        (NEW_YORK, (2025, 3, 9, 23, 59)),
        (TOKYO, (2025, 3, 9, 0, 0)),
        ("Pacific/Kiritimati", (2025, 3, 9, 0, 0)),
        ("Pacific/Niue", (2025, 3, 9, 23, 59)),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_a_date_with_a_dose_taken_is_past(
    schedules, make, take, homethrive_repositories, recipient, zone, local, is_own
):
    """By the clock of the schedule's own zone; else by the recipient's, and in New York too."""
    if not is_own:
        homethrive_repositories.care_recipients.update("user_1", recipient.id, timezone=zone)
    schedule = make(timezone=zone if is_own else None)
    take(schedule, zone, *local)
    day = date(2025, 3, 9)
    for effective in (day - DAY, day):
        assert refused(schedules.revise, "user_1", schedule.id, effective) == "DOSES_RECORDED"
    assert schedules.find_by_id("user_1", schedule.id) == schedule
    assert schedules.revise("user_1", schedule.id, day + DAY).start_date == day + DAY


@pytest.mark.parametrize("gets_zone", [True, False])
@pytest.mark.parametrize(
    ("zone", "clock"),
    [
        ("Pacific/Honolulu", time(5)),
        ("America/Los_Angeles", time(0, 30)),
        ("America/Chicago", time(0, 30)),
        (TOKYO, time(20)),
        ("Europe/London", time(20)),
    ],
)
def test_a_dose_that_the_node_service_recorded_is_of_its_date_in_new_york(
    schedules, make, take, homethrive_repositories, recipient, zone, clock, gets_zone
):
    """Also once the schedule has got its recipient's zone."""
    homethrive_repositories.care_recipients.update("user_1", recipient.id, timezone=zone)
    schedule = make(time_of_day=clock)
    take(schedule, NEW_YORK, 2025, 3, 9, clock.hour, clock.minute)
    if gets_zone:
        schedules.update("user_1", schedule.id, timezone=zone)
    day = date(2025, 3, 9)
    assert refused(schedules.revise, "user_1", schedule.id, day) == "DOSES_RECORDED"
    assert schedules.revise("user_1", schedule.id, day + DAY).start_date == day + DAY


def test_a_date_with_a_dose_skipped_is_past(schedules, make, homethrive_db):
    schedule = make(timezone=NEW_YORK)
    homethrive_db.execute_sql(
        "INSERT INTO dose_skips (schedule_id, scheduled_for, skipped_at, skipped_by_user_id)"
        " VALUES (%s, '2025-03-10 23:59-04', now(), 'user_1')",
        (schedule.id,),
    )
    assert refused(schedules.revise, "user_1", schedule.id, REVISED) == "DOSES_RECORDED"
    assert schedules.revise("user_1", schedule.id, REVISED + DAY)


def test_what_is_carried_over_is_not_checked_again(schedules, make, homethrive_db):
    """The Node service, or a program of before, may have stored more than a new one may have."""
    schedule = make()
    homethrive_db.execute_sql("UPDATE medication_schedules SET dosage_notes = %s", ("x" * 300,))
    new = schedules.revise("user_1", schedule.id, REVISED, time_of_day="09:00")
    assert new == schedules.find_by_id("user_1", new.id)
    assert new.dosage_notes == "x" * 300


def test_doses_of_other_schedules_do_not_matter(schedules, make, take):
    schedule = make()
    take(make(), NEW_YORK, 2025, 4, 1, 8)
    assert schedules.revise("user_1", schedule.id, REVISED)


@pytest.mark.parametrize("zone", ["Mars/Phobos", ""])
def test_in_an_unknown_zone_a_dose_counts_for_every_date_it_may_have(
    schedules, make, take, homethrive_db, caplog, zone
):
    """The Node service may have stored one; the new schedule needs one that is known."""
    schedule = make()
    take(schedule, "UTC", 2025, 3, 9, 1)
    homethrive_db.execute_sql("UPDATE medication_schedules SET timezone = %s", (zone,))
    known = {"timezone": NEW_YORK}
    assert refused(schedules.revise, "user_1", schedule.id, REVISED, **known) == "DOSES_RECORDED"
    with pytest.raises(ValidationError) as caught:
        schedules.revise("user_1", schedule.id, REVISED + DAY)
    assert caught.value.details == {"field": "timezone"}
    assert schedules.revise("user_1", schedule.id, REVISED + DAY, **known)
    assert caplog.text.count(f"schedule {schedule.id} has an unknown time zone") == 1


@pytest.mark.parametrize(
    ("stored", "changes"),
    [
        ({}, {"recurrence": "weekly"}),
        ({}, {"days_of_week": [1]}),
        ({"recurrence": "weekly", "days_of_week": [1]}, {"recurrence": "daily"}),
    ],
)
def test_what_only_the_merged_row_shows_is_refused_and_nothing_is_written(
    schedules, make, stored, changes
):
    schedule = make(**stored)
    with pytest.raises(ValidationError) as caught:
        schedules.revise("user_1", schedule.id, REVISED, **changes)
    assert caught.value.details == {"field": "days_of_week"}
    assert schedules.list_by_medication("user_1", schedule.medication_id) == [schedule]


def test_a_revision_does_not_let_a_medication_run_out_either(schedules, make):
    schedule = make()
    end = {"end_date": date(2100, 1, 1)}
    code = refused(schedules.revise, "user_1", schedule.id, REVISED, **end)
    assert code == "LAST_ACTIVE_SCHEDULE"
    make()
    assert schedules.revise("user_1", schedule.id, REVISED, **end).end_date == end["end_date"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_revisions_keep_what_was_due_before_and_give_no_date_twice(
    homethrive_db, homethrive_repositories, homethrive_factory, data
):
    zones = st.sampled_from([NEW_YORK, TOKYO, "Africa/Cairo", "Australia/Lord_Howe", None])
    with homethrive_db.atomic() as savepoint:
        profile = homethrive_factory.own_profile()
        medication = homethrive_factory.medication(profile)
        end = data.draw(st.sampled_from([None, START + 60 * DAY]))
        homethrive_factory.schedule(medication, start_date=START, end_date=end, time_of_day=time(8))
        schedules = homethrive_repositories.schedules
        for _ in range(data.draw(st.integers(1, 5))):
            chain = schedules.list_by_medication(profile.user_id, medication.id)
            one = chain[data.draw(st.integers(0, len(chain) - 1))]
            effective = data.draw(st.dates(START, START + 90 * DAY))
            changes = data.draw(st.fixed_dictionaries({}, optional={
                "time_of_day": st.times().map(lambda at: at.replace(second=0, microsecond=0)),
                "timezone": zones,
                "dosage_notes": st.just("x"),
            }))  # fmt: skip
            try:
                schedules.revise(profile.user_id, one.id, effective, **changes)
            except (ConflictError, ValidationError):
                effective = date.max
            revised = schedules.list_by_medication(profile.user_id, medication.id)
            before, after = due(chain, profile.timezone), due(revised, profile.timezone)
            assert [dose for dose in after if dose[0] < effective] == [
                dose for dose in before if dose[0] < effective
            ]
            dates = [day for day, *_ in after]
            assert dates == sorted(set(dates))
            assert dates == [day for day, *_ in before]
        savepoint.rollback()


def due(schedules, recipient_zone):
    """List local date, instant and schedule of each dose; whole days, whatever the zone."""
    doses = []
    for one in schedules:
        zone = one.timezone or recipient_zone
        for instant in occurrences(one, zone, *WINDOW):
            day = instant.astimezone(ZoneInfo(zone)).date()
            if day < LAST_DAY:
                doses.append((day, instant, one.id))
    return sorted(doses)


TODAY = datetime.now(UTC).date()
YEAR = timedelta(days=365)
LAST = "LAST_ACTIVE_SCHEDULE"


@pytest.fixture(params=["end", "update"])
def end(schedules, request):
    """Give both ways of ending a schedule."""
    if request.param == "end":
        return lambda schedule, on: schedules.end("user_1", schedule.id, on)
    return lambda schedule, on: schedules.update("user_1", schedule.id, end_date=on)


def test_a_schedule_ends_where_another_goes_on(end, make):
    schedule, other = make(), make(start_date=TODAY + YEAR)
    assert end(schedule, TODAY).end_date == TODAY
    assert refused(end, other, TODAY + YEAR) == LAST


@pytest.mark.parametrize("on", [START, TODAY - DAY, TODAY, TODAY + YEAR, date.max])
def test_the_last_schedule_of_an_active_medication_is_not_ended(
    end, make, schedules, on, homethrive_factory
):
    schedule = make()
    make(end_date=START + DAY)
    homethrive_factory.schedule()
    assert refused(end, schedule, on) == LAST
    assert schedules.find_by_id("user_1", schedule.id) == schedule


@pytest.mark.parametrize(
    ("other", "on", "may_end"),
    [
        (TODAY + YEAR, TODAY, True),
        (TODAY + DAY, TODAY, True),
        (TODAY + YEAR, TODAY + YEAR - DAY, True),
        (TODAY + YEAR, TODAY + YEAR, False),
        (TODAY + YEAR, TODAY + YEAR + DAY, False),
        (TODAY - 2 * DAY, TODAY - 9 * DAY, False),
        (TODAY + 2 * DAY, TODAY - 9 * DAY, True),
    ],
)
def test_the_other_schedule_has_to_end_after_that_day_and_not_before_today(
    end, make, other, on, may_end
):
    schedule = make()
    make(end_date=other)
    if may_end:
        assert end(schedule, on).end_date == on
    else:
        assert refused(end, schedule, on) == LAST


def test_an_update_may_move_an_end_later_or_clear_it(make, schedules):
    schedule = make(end_date=TODAY + 9 * DAY)
    for days in (9, 10):
        end_date = TODAY + days * DAY
        assert schedules.update("user_1", schedule.id, end_date=end_date).end_date == end_date
    assert refused(schedules.update, "user_1", schedule.id, end_date=TODAY + 9 * DAY) == LAST
    assert schedules.update("user_1", schedule.id, end_date=None).end_date is None


@pytest.mark.parametrize("later", [TODAY + 10 * DAY, TODAY + YEAR, date.max])
def test_an_end_may_be_repeated_but_moves_no_end_later(make, schedules, later):
    schedule = make(end_date=TODAY + 9 * DAY)
    assert schedules.end("user_1", schedule.id, schedule.end_date).end_date == schedule.end_date
    stored = schedules.find_by_id("user_1", schedule.id)
    assert refused(schedules.end, "user_1", schedule.id, later) == "SCHEDULE_ENDED"
    assert schedules.find_by_id("user_1", schedule.id) == stored


def test_no_end_makes_a_revised_schedule_due_beside_its_successor(make, schedules):
    old = make(timezone=NEW_YORK)
    new = schedules.revise("user_1", old.id, REVISED, time_of_day="10:00")
    for on in (REVISED, LAST_DAY, TODAY):
        assert refused(schedules.end, "user_1", old.id, on) == "SCHEDULE_ENDED"
    dates = [day for day, *_ in due([schedules.find_by_id("user_1", old.id), new], NEW_YORK)]
    assert dates == sorted(set(dates))
    assert schedules.end("user_1", old.id, REVISED - 2 * DAY).end_date == REVISED - 2 * DAY


def test_the_end_of_a_schedule_that_has_long_ended_may_be_set_right(end, make):
    schedule = make(end_date=TODAY - 9 * DAY)
    assert end(schedule, START).end_date == START


def test_the_schedules_of_an_inactive_medication_may_all_end(
    end, make, medication, homethrive_repositories
):
    homethrive_repositories.medications.set_inactive("user_1", medication.id, datetime.now(UTC))
    assert end(make(), TODAY).end_date == TODAY
    assert end(make(), TODAY).end_date == TODAY


def test_an_end_before_the_start_is_refused_by_the_name_of_the_argument(schedules, make):
    schedule = make()
    make()
    for call, arguments, field in (
        (schedules.end, {"on": START - DAY}, "on"),
        (schedules.update, {"end_date": START - DAY}, "end_date"),
    ):
        with pytest.raises(ValidationError) as caught:
            call("user_1", schedule.id, **arguments)
        assert caught.value.details == {"field": field}
    assert schedules.end("user_1", schedule.id, START).end_date == START


def test_other_fields_change_beside_the_end(schedules, make):
    schedule = make()
    make()
    weekly = {"recurrence": "weekly", "days_of_week": [2]}
    changed = schedules.update("user_1", schedule.id, end_date=TODAY, dosage_notes="x", **weekly)
    assert (changed.end_date, changed.days_of_week, changed.dosage_notes) == (TODAY, (2,), "x")
