"""The local times that a window may touch: never too few, in all zones, at all of their changes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homethrive_db import NewSchedule, occurrences
from homethrive_db.doses.feed_places import ClockPlace, Position, behind, start_of
from homethrive_db.doses.local_windows import WHOLE_DAY, Span, local_minutes, local_spans
from tests.unit.test_recurrence import DAY, MINUTE, TIMES, ZONES, clock_of

NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2025, 6, 4, 12, tzinfo=UTC)
LONG_AGO = datetime(1, 1, 1).date()


@st.composite
def windows(draw):
    """Draw a zone, and a window near one of its changes or anywhere."""
    zone = draw(st.sampled_from(sorted({*ZONES} - {"Factory"})))  # no place: a schedule has none
    changes = clock_of(zone).changes
    start = draw(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
    if changes and draw(st.booleans()):
        start = draw(st.sampled_from(changes))[0] + draw(st.timedeltas(-DAY, DAY))
    return zone, start.replace(tzinfo=UTC), draw(st.timedeltas(timedelta(), 25 * 60 * MINUTE))


@settings(max_examples=500)
@given(windows(), TIMES)
def test_a_time_that_has_a_dose_in_the_window_is_among_them(window, time_of_day):
    zone, start, length = window
    schedule = NewSchedule("daily", time_of_day, LONG_AGO)
    if occurrences(schedule, zone, start, start + length):
        minute = time_of_day.hour * 60 + time_of_day.minute
        spans = local_minutes(ZoneInfo(zone), start, start + length)
        assert any(first <= minute < last for first, last in spans)


@given(windows())
def test_they_are_apart_and_in_their_order(window):
    zone, start, length = window
    edges = [edge for span in local_minutes(ZoneInfo(zone), start, start + length) for edge in span]
    assert edges == sorted(set(edges))
    assert set(edges) <= set(range(24 * 60 + 1))


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (NOON, 15 * MINUTE, [(480, 495)]),
        (NOON, timedelta(), []),
        (NOON + timedelta(seconds=1), 15 * MINUTE, [(481, 496)]),
        (NOON - 8 * 60 * MINUTE - 5 * MINUTE, 15 * MINUTE, [(0, 10), (1435, 1440)]),
        (NOON - 8 * 60 * MINUTE - 5 * MINUTE, 5 * MINUTE, [(1435, 1440)]),
        (NOON, DAY, [(0, 1440)]),
        (datetime(2025, 3, 9, 7, tzinfo=UTC), 15 * MINUTE, [(120, 135), (180, 195)]),
        (datetime.min.replace(tzinfo=UTC), MINUTE, [(0, 1440)]),
    ],
)
def test_they_are_no_more_than_the_window(start, length, expected):
    """In New York; the last but one is an hour that the clock skips."""
    assert local_minutes(NEW_YORK, start, start + length) == expected


def test_an_unknown_zone_has_the_whole_day():
    spans = local_spans(["Mars/Phobos", "Europe/Berlin"], NOON, NOON + MINUTE)
    assert spans == [
        Span("Europe/Berlin", "14:00", "14:01"),
        Span("Mars/Phobos", "00:00", "24:00"),
    ]


FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
BERLIN = ClockPlace("Europe/Berlin", "08:00", UUID(int=7))


@pytest.mark.parametrize(
    ("span", "start"),
    [
        (Span("America/Lima", "00:00", "24:00"), None),
        (Span("Europe/Berlin", "07:00", "08:00"), None),
        (Span("Europe/Berlin", "07:00", "08:15"), Position("08:00", UUID(int=7))),
        (Span("Europe/Berlin", "08:00", "08:15"), Position("08:00", UUID(int=7))),
        (Span("Europe/Berlin", "09:00", "09:15"), Position("09:00", FIRST)),
        (Span("Europe/London", "07:00", "07:15"), Position("07:00", FIRST)),
        (WHOLE_DAY, Position("00:00", FIRST)),
    ],
)
def test_a_span_begins_with_what_is_behind_the_cursor(span, start):
    assert start_of(span, BERLIN) == start


def test_what_has_no_zone_is_behind_all_that_have_one():
    place = BERLIN._replace(zone=None)
    assert start_of(Span("UTC", "00:00", "24:00"), place) is None
    assert start_of(WHOLE_DAY, place) == Position("08:00", UUID(int=7))


def test_behind_the_last_id_comes_the_next_time_of_day():
    assert behind(Position("08:00", UUID(int=7))) == Position("08:00", UUID(int=8))
    place = behind(Position("08:00", LAST))
    assert Position("08:00", LAST) < place < Position("08:01", FIRST)
