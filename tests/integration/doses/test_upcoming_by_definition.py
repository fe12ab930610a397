"""What is listed is what the engine computes of each schedule, whatever SQL left out before."""

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homethrive_db import DoseStatus, NewDoseTaken, NewSchedule, occurrences

ZONES = st.sampled_from(
    ["America/New_York", "America/Los_Angeles", "America/St_Johns", "Europe/London", "Asia/Tokyo",
     "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati",
     "Pacific/Pago_Pago", "Etc/GMT+12", "Africa/Cairo"]
)  # fmt: skip
TIMES = st.one_of(
    st.sampled_from([time(), time(1, 30), time(2, 30), time(8), time(23, 59)]),
    st.builds(time, st.integers(0, 23), st.integers(0, 59)),
)
# Clock changes of all of these zones are among them, and the date that Apia skipped.
DATES = st.one_of(
    st.dates(date(2025, 3, 1), date(2025, 4, 10)),
    st.dates(date(2025, 9, 25), date(2025, 11, 10)),
    st.dates(date(2011, 12, 25), date(2012, 1, 5)),
)


@st.composite
def schedules(draw):
    days = draw(st.none() | st.sets(st.integers(1, 7), min_size=1))
    start = draw(DATES)
    length = draw(st.none() | st.integers(0, 60))
    return NewSchedule(
        "daily" if days is None else "weekly",
        draw(TIMES),
        start,
        days,
        draw(st.none() | ZONES),
        None if length is None else start + timedelta(days=length),
    )


WINDOWS = st.tuples(
    st.datetimes(datetime(2011, 12, 25), datetime(2012, 1, 8))
    | st.datetimes(datetime(2025, 3, 1), datetime(2025, 11, 15)),
    st.timedeltas(timedelta(0), timedelta(days=20)),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(zone=ZONES, new=st.lists(schedules(), min_size=1, max_size=4), window=WINDOWS,
       chance=st.randoms(use_true_random=False))  # fmt: skip
def test_any_window_of_any_schedules_is_listed_as_it_is_computed(
    homethrive_db, homethrive_repositories, homethrive_factory, zone, new, window, chance
):
    start = window[0].replace(tzinfo=UTC)
    end = start + window[1]
    with homethrive_db.atomic() as savepoint:
        profile = homethrive_factory.own_profile(timezone=zone)
        medication = homethrive_factory.medication(profile)
        stored = homethrive_repositories.schedules.create_many(
            profile.user_id, {medication.id: new}
        )
        expected = {
            (one.id, due): None
            for one in stored
            for due in occurrences(one, one.timezone or zone, start, end)
        }
        for schedule_id, due in chance.sample(sorted(expected), len(expected) // 2):
            taken_at = due + timedelta(microseconds=chance.randrange(3600 * 10**6))
            homethrive_repositories.doses_taken.mark_taken(
                profile.user_id, NewDoseTaken(schedule_id, due, taken_at)
            )
            expected[schedule_id, due] = taken_at
        found = homethrive_repositories.doses.list_upcoming(
            profile.user_id, profile.id, start=start, end=end
        )
        savepoint.rollback()
    assert {(one.schedule_id, one.scheduled_for): one.taken_at for one in found} == expected
    assert len(found) == len(expected)
    assert [one.scheduled_for for one in found] == sorted(one.scheduled_for for one in found)
    for one in found:
        assert (one.status is DoseStatus.TAKEN) is (one.taken_at is not None)
        assert abs(one.local_date - one.scheduled_for.date()) <= timedelta(days=1)
