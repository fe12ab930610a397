"""Local days: when one begins, whatever the clocks do around midnight."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homethrive_db.local_days import beginning, report_unknown, today

ZONES = sorted(available_timezones() - {"localtime", "Factory"})


@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2015, 1, 1), date(2030, 12, 31)),
)
def test_a_day_begins_at_its_first_instant(zone, day):
    begins = beginning(day, zone)
    assert begins.astimezone(ZoneInfo(zone)).date() == day
    assert (begins - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date() < day


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/New_York", date(2025, 3, 9), datetime(2025, 3, 9, 5, tzinfo=UTC)),
        # The gap is the first hour of the day.
        ("Africa/Cairo", date(2025, 4, 25), datetime(2025, 4, 24, 22, tzinfo=UTC)),
        # The gap began half an hour before midnight.
        ("America/Toronto", date(1919, 3, 31), datetime(1919, 3, 31, 4, 30, tzinfo=UTC)),
        # The last hour of the day before came twice.
        ("Asia/Beirut", date(2024, 10, 27), datetime(2024, 10, 26, 22, tzinfo=UTC)),
        # There was no such day.
        ("Pacific/Apia", date(2011, 12, 30), datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ],
)
def test_a_clock_change_around_midnight_moves_the_beginning(zone, day, begins):
    assert beginning(day, zone) == begins


def test_in_a_zone_that_is_not_known_a_day_begins_before_it_does_anywhere():
    day = date(2025, 3, 9)
    everywhere = min(beginning(day, zone) for zone in ZONES)
    for zone in ("Mars/Phobos", "Factory"):  # the second has a file, and is no place
        assert beginning(day, zone) < everywhere
        assert today(zone, datetime(2025, 3, 9, 23, tzinfo=UTC)) == day


def test_a_schedule_in_a_zone_that_is_not_known_is_logged_once_with_its_id(caplog):
    schedules = uuid4(), uuid4()
    for schedule in schedules * 2:
        report_unknown("Mars/Phobos", schedule)
        report_unknown("Europe/London", uuid4())
    assert [record.args for record in caplog.records] == [(one,) for one in schedules]
    assert "Mars" not in caplog.text


def test_the_first_and_the_last_days_of_the_calendar_begin_too():
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "Mars/Phobos"):
        for day in (date(1, 1, 2), date.max):
            assert beginning(day, zone).tzinfo is UTC
