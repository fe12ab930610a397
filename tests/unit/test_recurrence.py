"""When doses are due: the policy for clock changes, in all zones and at all of their changes."""

import json
import tracemalloc
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homethrive_db import NewSchedule, Recurrence, ValidationError, occurrences

CONTRACT = json.loads(Path(__file__).parents[1].joinpath("data/dst_cases.json").read_text())

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
STEP = 2 * DAY  # no zone has ever changed its clock twice within three
ZONES = sorted(available_timezones() - {"localtime"})  # which some systems have, and we refuse


@lru_cache
def steps(first, last):
    """Give the instants, aware ones, at which clocks are looked at."""
    return aware([*(first + number * STEP for number in range((last - first) // STEP + 1)), last])


class Clock:
    """The clock of a zone between two instants, as it is seen from UTC only.

    Instants and wall times are naive here, so that nothing but plain arithmetic relates them.
    """

    def __init__(self, zone, first, last):
        self.zone = zone
        self.since, self.offsets = [first], [self.offset(first)]
        for before, after in pairwise(steps(first, last)):
            offset = after.astimezone(zone).utcoffset()
            if offset != self.offsets[-1]:
                self.since.append(self._change(*naive(before, after)))
                self.offsets.append(offset)

    def offset(self, instant):
        return instant.replace(tzinfo=UTC).astimezone(self.zone).utcoffset()

    def _change(self, before, after):
        while after - before > timedelta(seconds=1):
            middle = (before + (after - before) // 2).replace(microsecond=0)
            if self.offset(middle) == self.offsets[-1]:
                before = middle
            else:
                after = middle
        return after

    @property
    def changes(self):
        """The instants at which the clock is changed, each with the offsets before and after."""
        return list(zip(self.since[1:], self.offsets[:-1], self.offsets[1:], strict=True))

    def instant(self, wall):
        """Tell when the clock shows *wall*, by the words of the policy; None is no dose."""
        first = bisect_right(self.since, wall - 2 * DAY) - 1
        last = bisect_right(self.since, wall + 2 * DAY)
        assert first >= 0
        until = [*self.since[first + 1 : last], wall + 2 * DAY]
        shown = [
            wall - offset
            for since, until, offset in zip(
                self.since[first:last], until, self.offsets[first:last], strict=True
            )
            if since <= wall - offset < until
        ]
        if shown:
            return min(shown)
        for change, before, after in self.changes[first : last - 1]:
            if change + before <= wall < change + after:
                midnight = datetime.combine(wall, time())
                is_skipped = change + before <= midnight and midnight + DAY <= change + after
                return None if is_skipped else wall + (after - before) - after
        raise AssertionError(wall)


@cache
def clock_of(name):
    """The clock of a zone over the years that are tried out as a whole."""
    return Clock(ZoneInfo(name), datetime(2014, 12, 1), datetime(2031, 1, 31))


def clocks_alike():
    """List the clocks of all zones, those together that show the same over these years."""
    alike = defaultdict(list)
    for clock in map(clock_of, ZONES):
        alike[tuple(clock.since), tuple(clock.offsets)].append(clock)
    return list(alike.values())


def aware(instants):
    return [instant.replace(tzinfo=UTC) for instant in instants]


def naive(*instants):
    return [instant.replace(tzinfo=None) for instant in instants]


def daily(time_of_day, start_date=date(1, 1, 1), end_date=None):
    return NewSchedule(Recurrence.DAILY, time_of_day, start_date, end_date=end_date)


def weekly(days, time_of_day, start_date=date(1, 1, 1), end_date=None):
    return NewSchedule(Recurrence.WEEKLY, time_of_day, start_date, days, end_date=end_date)


def by_definition(schedule, clock, start, end):
    """List the same as ``occurrences``, by looking at each date there may be."""
    dates = [start.date() + number * DAY for number in range(-3, (end - start).days + 5)]
    due = [
        clock.instant(datetime.combine(one, schedule.time_of_day))
        for one in dates
        if schedule.start_date <= one <= (schedule.end_date or date.max)
        and (schedule.days_of_week is None or one.isoweekday() in schedule.days_of_week)
    ]
    return aware(instant for instant in due if instant is not None and start <= instant < end)


@pytest.mark.parametrize(
    "case", CONTRACT["cases"], ids=lambda case: f"{case['zone']} {case['local']}"
)
@pytest.mark.parametrize("recurrence", Recurrence)
def test_the_cases_of_the_contract(case, recurrence):
    wall = datetime.fromisoformat(case["local"])
    days = None if recurrence is Recurrence.DAILY else [wall.isoweekday()]
    schedule = NewSchedule(recurrence, wall.time(), wall.date(), days, end_date=wall.date())
    expected = case["expected_utc"] and datetime.fromisoformat(case["expected_utc"])
    around = wall.replace(tzinfo=UTC)
    found = occurrences(schedule, case["zone"], around - 3 * DAY, around + 3 * DAY)
    assert found == ([expected] if expected else [])
    assert all(instant.tzinfo is UTC for instant in found)


def walls_around(change, before, after):
    """Give times of day near a change: its edges on the wall, between them, and the day's ends."""
    edges = [change + offset for offset in (before, after)]
    middle = edges[0] + (edges[1] - edges[0]) // 2
    near = [edge + number * MINUTE for edge in edges for number in (-1, 0, 1)]
    times = {wall.time().replace(second=0) for wall in (*near, middle)}
    return {*times, time(), time(12), time(23, 59)}


def check_around(clocks, change, before, after):
    """Compare with the definition for a week around a change, at the times that it may affect.

    The definition knows of a clock what it shows, and so says the same for all that show the same.
    """
    start, end = change - 3 * DAY, change + 4 * DAY
    for time_of_day in walls_around(change, before, after):
        schedule = daily(time_of_day)
        expected = by_definition(schedule, clocks[0], start, end)
        assert expected == sorted(set(expected))
        for clock in clocks:
            found = occurrences(schedule, clock.zone, *aware((start, end)))
            assert found == expected, (clock.zone, change, time_of_day)


def test_all_zones_at_all_their_changes_from_2015_to_2030():
    changes = 0
    for clocks in clocks_alike():
        for change in clocks[0].changes:
            if 2015 <= change[0].year <= 2030:
                check_around(clocks, *change)
                changes += len(clocks)
    assert changes > 6_000


@pytest.mark.parametrize(
    ("zone", "year"),
    [
        ("Asia/Manila", 1844),
        ("Pacific/Kwajalein", 1993),
        ("Pacific/Kiritimati", 1994),
        ("Pacific/Apia", 2011),
        ("Pacific/Fakaofo", 2011),
    ],
)
def test_a_date_that_a_zone_skipped_has_no_dose(zone, year):
    """Zones west of the date line that moved east of it; sums over the year show the one date."""
    clock = Clock(ZoneInfo(zone), datetime(year - 1, 12, 1), datetime(year + 1, 1, 31))
    for change in clock.changes:
        check_around([clock], *change)
    for time_of_day in (time(), time(9), time(23, 59)):
        schedule = daily(time_of_day, date(year, 1, 1), date(year, 12, 31))
        window = datetime(year - 1, 12, 20, tzinfo=UTC), datetime(year + 1, 1, 10, tzinfo=UTC)
        days_of_year = (date(year + 1, 1, 1) - date(year, 1, 1)).days
        assert len(occurrences(schedule, zone, *window)) == days_of_year - 1


@pytest.mark.parametrize(
    ("zone", "year"),
    [
        ("America/Juneau", 1867),  # a day twice
        ("Pacific/Kwajalein", 1969),  # nearly a day twice
        ("America/Goose_Bay", 2010),  # the hour before 00:01 twice
        ("America/St_Johns", 1988),  # two hours skipped at 00:01
    ],
)
def test_changes_at_odd_times_of_the_past(zone, year):
    clock = Clock(ZoneInfo(zone), datetime(year - 1, 12, 1), datetime(year + 1, 1, 31))
    assert clock.changes
    for change in clock.changes:
        check_around([clock], *change)


TIMES = st.times().map(lambda one: one.replace(second=0, microsecond=0))
DAYS = st.sets(st.integers(1, 7), min_size=1)
LENGTHS = st.timedeltas(timedelta(), 2 * DAY) | st.timedeltas(timedelta(), 40 * DAY)


@st.composite
def windows(draw):
    """Draw a window, near a change or anywhere in four centuries, and the clock of a zone in it."""
    clock = clock_of(draw(st.sampled_from(ZONES)))
    start = draw(st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)))
    if clock.changes and draw(st.booleans()):
        change, _, _ = draw(st.sampled_from(clock.changes))
        start = change + draw(st.timedeltas(-2 * DAY, 2 * DAY))
    end = start + draw(LENGTHS)
    around = [datetime.combine(one, time()) for one in (start - 10 * DAY, end + 10 * DAY)]
    return Clock(clock.zone, *around), start, end


@st.composite
def schedules(draw, near):
    """Draw a schedule, for ever or with dates about *near*."""
    dates = st.dates(near - 30 * DAY, near + 30 * DAY)
    start = draw(st.just(date(1, 1, 1)) | dates)
    end = draw(st.none() | dates)
    assume(end is None or start <= end)
    if draw(st.booleans()):
        return daily(draw(TIMES), start, end)
    return weekly(draw(DAYS), draw(TIMES), start, end)


@settings(max_examples=300)
@given(windows(), st.data())
def test_a_window_may_start_anywhere(window, data):
    clock, start, end = window
    schedule = data.draw(schedules(start.date()))
    found = occurrences(schedule, clock.zone, *aware((start, end)))
    assert found == by_definition(schedule, clock, start, end)


@settings(max_examples=300)
@given(windows(), st.data())
def test_windows_that_follow_each_other_find_each_dose_once(window, data):
    """Also where one ends and the next one starts at a dose."""
    clock, start, end = window
    schedule = data.draw(schedules(start.date()))
    first, last = aware((start, end))
    whole = occurrences(schedule, clock.zone, first, last)
    anywhere = st.datetimes(start, end).map(lambda one: one.replace(tzinfo=UTC))
    cut = data.draw(st.sampled_from(whole) | anywhere if whole else anywhere)
    before = occurrences(schedule, clock.zone, first, cut)
    after = occurrences(schedule, clock.zone, cut, last)
    assert before + after == whole
    assert all(one < cut for one in before)
    assert all(one >= cut for one in after)


DUE = datetime(2025, 6, 2, 12, 30, tzinfo=UTC)
MORNING = daily(time(8, 30))
NEW_YORK = "America/New_York"


def test_a_dose_is_due_at_the_start_of_a_window_and_not_at_its_end():
    tick = timedelta(microseconds=1)
    assert occurrences(MORNING, NEW_YORK, DUE, DUE + tick) == [DUE]
    assert occurrences(MORNING, NEW_YORK, DUE - DAY + tick, DUE) == []
    assert occurrences(MORNING, NEW_YORK, DUE, DUE) == []
    assert occurrences(MORNING, NEW_YORK, DUE, DUE + DAY) == [DUE]


def test_a_window_may_be_given_in_any_zone():
    start = DUE.astimezone(ZoneInfo("Asia/Tokyo"))
    found = occurrences(MORNING, NEW_YORK, start, start + MINUTE)
    assert found == [DUE]
    assert found[0].tzinfo is UTC


def test_a_schedule_starts_and_ends_with_its_local_dates():
    """22:30 in Los Angeles is the next date in UTC, 08:30 in Auckland the one before."""
    first, last = date(2025, 6, 2), date(2025, 6, 4)
    window = DUE - 10 * DAY, DUE + 10 * DAY
    evening, morning = daily(time(22, 30), first, last), daily(time(8, 30), first, last)
    west = occurrences(evening, "America/Los_Angeles", *window)
    east = occurrences(morning, "Pacific/Auckland", *window)
    assert west == [datetime(2025, 6, day, 5, 30, tzinfo=UTC) for day in (3, 4, 5)]
    assert east == [datetime(2025, 6, day, 20, 30, tzinfo=UTC) for day in (1, 2, 3)]


def test_days_of_the_week_are_local():
    """Monday in Auckland begins on Sunday in UTC."""
    mondays = weekly([1], time(8, 30))
    found = occurrences(mondays, "Pacific/Auckland", DUE, DUE + 15 * DAY)
    assert found == [datetime(2025, 6, day, 20, 30, tzinfo=UTC) for day in (8, 15)]


def test_a_dose_moved_past_midnight_counts_for_its_own_date():
    """In Toronto, in 1919, the clock went from 23:30 to 00:30."""
    wall = datetime(1919, 3, 30, 23, 45)
    schedule = weekly([wall.isoweekday()], wall.time(), wall.date(), wall.date())
    due = datetime(1919, 3, 31, 4, 45, tzinfo=UTC)
    assert occurrences(schedule, "America/Toronto", due, due + MINUTE) == [due]
    assert due.astimezone(ZoneInfo("America/Toronto")).date() == wall.date() + DAY


def test_a_time_that_says_it_is_the_later_of_two_still_means_the_earlier():
    schedule = StoredSchedule(time_of_day=time(1, 30, fold=1), start_date=date(2024, 1, 1))
    start = datetime(2024, 11, 3, tzinfo=UTC)
    assert occurrences(schedule, NEW_YORK, start, start + DAY) == [start.replace(hour=5, minute=30)]


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Etc/GMT+12", "UTC", NEW_YORK, "Asia/Tokyo"])
@pytest.mark.parametrize("time_of_day", [time(), time(12), time(23, 59)])
def test_a_window_may_touch_the_ends_of_the_calendar(zone, time_of_day):
    ends = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    schedule = daily(time_of_day)
    for window in ((ends[0], ends[0] + 9 * DAY), (ends[1] - 9 * DAY, ends[1])):
        found = occurrences(schedule, zone, *window)
        assert len(found) in {7, 8, 9}
    assert occurrences(daily(time_of_day, date.max), zone, *ends) == []


class CountingZone(ZoneInfo):
    """New York, counting how often a wall time is made an instant."""

    asked = 0

    def utcoffset(self, wall):
        CountingZone.asked += 1
        return super().utcoffset(wall)


@pytest.mark.parametrize("schedule", [MORNING, weekly([1, 3, 5], time(8, 30))])
def test_a_window_costs_what_is_in_it_wherever_it_lies(schedule):
    """The schedules began two thousand years before."""
    CountingZone.asked = 0
    zone = CountingZone.no_cache(NEW_YORK)  # of which nothing is known yet
    found = occurrences(schedule, zone, DUE, DUE + 365 * DAY)
    assert len(found) >= 156
    assert 365 <= CountingZone.asked <= 2 * (365 + 3)
    CountingZone.asked = 0
    assert occurrences(schedule, zone, DUE, DUE + 15 * MINUTE) == [DUE]
    assert CountingZone.asked <= 2


def test_long_windows_leave_nothing_in_memory():
    """A century of daily doses takes some megabytes, for each time of day that schedules have."""

    def ask(minute, years):
        schedule = NewSchedule("daily", time(8, minute), date(2000, 1, 1))
        end = datetime(2001 + years, 1, 1, tzinfo=UTC)
        return len(occurrences(schedule, "Europe/Paris", datetime(2001, 1, 1, tzinfo=UTC), end))

    ask(0, 100)
    tracemalloc.start()
    try:
        assert sum(ask(minute, 100) for minute in range(1, 4)) > 100_000
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (DUE, DUE - timedelta(microseconds=1), "start"),
        (DUE.replace(tzinfo=None), DUE, "start"),
        (DUE, DUE.replace(tzinfo=None), "end"),
        (DUE.date(), DUE, "start"),
        (DUE, None, "end"),
    ],
)
def test_what_is_no_window_is_refused(start, end, field):
    with pytest.raises(ValidationError) as caught:
        occurrences(MORNING, NEW_YORK, start, end)
    assert caught.value.details == {"field": field}


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Phobos", "america/new_york", "Europe", "../etc/passwd", "localtime",
     "right/Europe/Berlin", "UTC+3", None, UTC, ["UTC"]],
)  # fmt: skip
def test_a_zone_that_is_not_known_is_refused(zone):
    """None above all: it would be the zone of the machine."""
    with pytest.raises(ValidationError) as caught:
        occurrences(MORNING, zone, DUE, DUE + DAY)
    assert caught.value.details == {"field": "zone"}


@dataclass
class StoredSchedule:
    """A schedule as some row might hold it, unchecked."""

    recurrence: Recurrence = Recurrence.DAILY
    time_of_day: time = time(8, 30)
    days_of_week: tuple[int, ...] | None = None
    start_date: date = date(2025, 1, 1)
    end_date: date | None = None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"recurrence": Recurrence.WEEKLY}, "days_of_week"),
        ({"recurrence": Recurrence.WEEKLY, "days_of_week": ()}, "days_of_week"),
        ({"days_of_week": (1,)}, "days_of_week"),
        ({"end_date": date(2024, 12, 31)}, "end_date"),
    ],
)
def test_a_stored_schedule_that_cannot_be_is_refused(changes, field):
    assert occurrences(StoredSchedule(), NEW_YORK, DUE, DUE + DAY) == [DUE]
    with pytest.raises(ValidationError) as caught:
        occurrences(StoredSchedule(**changes), NEW_YORK, DUE, DUE + DAY)
    assert caught.value.details == {"field": field}


@pytest.mark.parametrize("days", [(4,), [4], {4}])
@pytest.mark.parametrize("length", [DAY, 5 * DAY])
def test_what_has_the_fields_of_a_schedule_is_one(days, length):
    """A Peewee model has a list."""
    schedule = SimpleNamespace(
        recurrence=Recurrence.WEEKLY,
        time_of_day=time(8, fold=1),
        days_of_week=days,
        start_date=date(2026, 1, 1),
        end_date=None,
    )
    thursday = datetime(2026, 3, 5, tzinfo=UTC)
    found = occurrences(schedule, "UTC", thursday, thursday + length)
    assert found == [thursday.replace(hour=8)]
