"""Which dose a record is of: in zones around the world, and after the schedule has changed."""

import logging
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homethrive_db import DoseKey, DoseStatus, ValidationError
from homethrive_db.doses.agenda import Agenda, agendas
from homethrive_db.doses.agenda_rows import days_around, records_window
from homethrive_db.doses.dose import Dose

ID = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")
DAY = date(2025, 6, 4)
NEXT, BEFORE = DAY + timedelta(days=1), DAY - timedelta(days=1)
NEW_YORK = ZoneInfo("America/New_York")
TAKEN_AT = datetime(2025, 6, 5, 3, tzinfo=UTC)
FAR = ("Pacific/Kiritimati", "Pacific/Apia", "Asia/Tokyo", "Europe/London", "America/Los_Angeles",
       "Pacific/Pago_Pago", "Etc/GMT+12")  # fmt: skip
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
CLOCKS = ("00:00", "01:15", "08:30", "12:00", "22:30", "23:59")


def row(
    time_of_day="08:30",
    zone=None,
    recipient_zone="America/New_York",
    taken=(),
    skips=(),
    **values,
):
    """Make what the database gives of a schedule, daily from January on."""
    rows = [[at.isoformat(), TAKEN_AT.isoformat(), "user_1"] for at in taken]
    skipped = [[at.isoformat(), "ill"] for at in skips]
    fields = {
        "recurrence": "daily", "time_of_day": time_of_day, "days": None, "zone": zone,
        "start": date(2025, 1, 1), "end": None,
        "is_active": True, "inactive_at": None, **values,
    }  # fmt: skip
    told = (ID, uuid4(), uuid4(), "Aspirin", None, None)
    texts = (one.isoformat() if isinstance(one, date) else one for one in fields.values())
    return (*told, *texts, rows or None, skipped or None, recipient_zone)


def at(day, clock, zone):
    place = zone if isinstance(zone, ZoneInfo) else ZoneInfo(zone)
    return datetime.combine(day, time.fromisoformat(clock), place).astimezone(UTC)


def around(agenda, first=BEFORE, last=NEXT):
    """Tell what became of the doses of some dates."""
    since = datetime.combine(first - timedelta(days=2), time(), UTC)
    until = datetime.combine(last + timedelta(days=2), time(), UTC)
    return {
        one.local_date: one
        for one in agenda.occurrences(since, until)
        if first <= one.local_date <= last
    }


def taken_days(agenda, **window):
    return [day for day, one in around(agenda, **window).items() if one.status == DoseStatus.TAKEN]


@pytest.mark.parametrize("zone", FAR)
@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("reading", ["ours", "Node's"])
def test_without_a_zone_a_row_is_of_its_date_in_either_reading(zone, clock, reading):
    recorded = at(DAY, clock, zone if reading == "ours" else NEW_YORK)
    agenda = Agenda(row(clock, recipient_zone=zone, taken=[recorded]))
    assert taken_days(agenda) == [DAY]
    assert agenda.day_of(recorded) == agenda.due_settled_by(recorded).day == DAY
    assert around(agenda)[DAY].scheduled_for == at(DAY, clock, zone)
    assert around(agenda)[DAY].taken_at == TAKEN_AT


@pytest.mark.parametrize("zone", FAR)
@pytest.mark.parametrize("clock", CLOCKS)
def test_both_instants_name_one_dose(zone, clock):
    ours, nodes = at(DAY, clock, zone), at(DAY, clock, NEW_YORK)
    for key in (ours, nodes):
        dose = Dose(Agenda(row(clock, recipient_zone=zone)), DoseKey(ID, key))
        assert dose.instants == [ours, nodes]
        assert dose.new_record == key
        assert dose.stored.scheduled_for == ours
        assert dose.stored.local_date == DAY
        assert dose.stored.status is DoseStatus.SCHEDULED


@pytest.mark.parametrize("zone", FAR)
@pytest.mark.parametrize("clock", CLOCKS)
def test_with_a_zone_of_its_own_new_yorks_instant_is_no_dose(zone, clock):
    agenda = Agenda(row(clock, zone=zone))
    with pytest.raises(ValidationError) as caught:
        Dose(agenda, DoseKey(ID, at(DAY, clock, NEW_YORK)))
    assert caught.value.code == "NO_SUCH_DOSE"
    assert Dose(agenda, DoseKey(ID, at(DAY, clock, zone))).instants == [at(DAY, clock, zone)]


@pytest.mark.parametrize("zone", FAR)
@pytest.mark.parametrize("clock", CLOCKS)
def test_a_row_at_new_yorks_instant_stays_of_its_date_once_the_schedule_has_a_zone(zone, clock):
    """And of no other: 22:30 in New York is the next date in London, whose dose is still to come.

    It is found by its id, too.
    """
    recorded = at(DAY, clock, NEW_YORK)
    agenda = Agenda(row(clock, zone=zone, taken=[recorded]))
    assert taken_days(agenda) == [DAY]
    dose = Dose(agenda, DoseKey(ID, recorded))
    assert dose.stored == around(agenda)[DAY]


@pytest.mark.parametrize("zone", [None, *FAR])
def test_a_date_stays_taken_when_the_schedule_moves_to_another_time(zone):
    place = zone or "America/New_York"
    for old in CLOCKS:
        for new in CLOCKS:
            recorded = at(DAY, old, place)
            agenda = Agenda(row(new, zone=zone, taken=[recorded]))
            assert taken_days(agenda) == [DAY]
            for key in (recorded, at(DAY, new, place)):
                dose = Dose(agenda, DoseKey(ID, key))
                assert dose.taken.scheduled_for == recorded
                assert dose.stored == around(agenda)[DAY]
                assert recorded in dose.records
                assert at(DAY, new, place) in dose.records


def test_a_date_stays_taken_when_the_days_of_the_week_change():
    """Its dose is not due any more, but its id still finds the row."""
    recorded = at(DAY, "08:30", NEW_YORK)  # a Wednesday
    agenda = Agenda(row(recurrence="weekly", days=[4], taken=[recorded]))
    assert around(agenda).keys() == {NEXT}
    assert taken_days(agenda) == []
    dose = Dose(agenda, DoseKey(ID, recorded))
    assert (dose.stored.status, dose.stored.scheduled_for) == (DoseStatus.TAKEN, recorded)
    assert dose.records == [recorded]
    with pytest.raises(ValidationError):
        _ = dose.new_record


def test_the_row_of_the_dose_itself_wins_over_all_others_of_its_date():
    recorded = [at(DAY, "07:00", "Europe/London"), at(DAY, "08:30", "America/New_York"),
                at(DAY, "08:30", "Europe/London")]  # fmt: skip
    for count in (1, 2, 3):
        for rows in (recorded[:count], recorded[:count][::-1]):
            agenda = Agenda(row(recipient_zone="Europe/London", taken=rows))
            dose = Dose(agenda, DoseKey(ID, recorded[2]))
            assert dose.taken.scheduled_for == recorded[count - 1]
            assert set(dose.records) == {*recorded[1:], *rows}
            assert taken_days(agenda) == [DAY]


def test_taken_wins_over_skipped_and_a_skip_settles_its_date_alone():
    due = at(DAY, "08:30", NEW_YORK)
    agenda = Agenda(row(skips=[due]))
    assert [one.status for one in around(agenda).values()] == ["scheduled", "skipped", "scheduled"]
    assert around(agenda)[DAY].skip_reason == "ill"
    moved = Agenda(row("10:00", skips=[due]))
    assert around(moved)[DAY].status is DoseStatus.SKIPPED
    both = around(Agenda(row(skips=[due], taken=[due])))[DAY]
    assert (both.status, both.skip_reason) == (DoseStatus.TAKEN, None)


def test_a_skip_of_the_dose_itself_wins_over_one_of_before_it_moved():
    agenda = Agenda(row("10:00"))
    old, new = at(DAY, "08:30", NEW_YORK), at(DAY, "10:00", NEW_YORK)
    for skips in ([old, new], [new, old]):
        dose = Dose(Agenda(row("10:00", skips=skips)), DoseKey(ID, new))
        assert dose.skip.scheduled_for == new
    assert agenda.recorded_at(DAY) == []


@pytest.mark.parametrize(
    ("day", "clock", "expected", "shown"),
    [
        (date(2025, 3, 9), "02:30", "2025-03-09T07:30", "03:30"),  # skipped
        (date(2025, 11, 2), "01:30", "2025-11-02T05:30", "01:30"),  # twice: the earlier
    ],
)
def test_at_a_clock_change_a_dose_keeps_its_date_and_tells_what_the_clock_shows(
    day, clock, expected, shown
):
    due = datetime.fromisoformat(expected).replace(tzinfo=UTC)
    agenda = Agenda(row(clock, taken=[due]))
    one = around(agenda, first=day, last=day)[day]
    assert (one.scheduled_for, one.status) == (due, DoseStatus.TAKEN)
    assert (one.time_of_day, one.local_time) == tuple(map(time.fromisoformat, (clock, shown)))
    assert one.zone == "America/New_York"
    later = due + timedelta(hours=1)  # the second 01:30, or 04:30
    with pytest.raises(ValidationError):
        Dose(Agenda(row(clock)), DoseKey(ID, later))


def test_a_date_that_its_zone_skipped_has_no_dose_by_new_yorks_clock_either():
    """Apia had no 30 December 2011."""
    skipped = date(2011, 12, 30)
    fields = {"recipient_zone": "Pacific/Apia", "start": date(2011, 1, 1)}
    nodes = at(skipped, "08:30", NEW_YORK)
    agenda = Agenda(row(**fields))
    days = around(agenda, first=date(2011, 12, 29), last=date(2011, 12, 31))
    assert list(days) == [date(2011, 12, 29), date(2011, 12, 31)]
    assert agenda.day_of(nodes) is None
    assert agenda.instants_of(skipped) == []
    with pytest.raises(ValidationError):
        Dose(agenda, DoseKey(ID, nodes))


def test_the_edges_of_a_schedule_hold_for_both_readings():
    for zone in FAR:
        agenda = Agenda(row(recipient_zone=zone, start=DAY, end=DAY))
        for place in (zone, NEW_YORK):
            assert agenda.day_of(at(DAY, "08:30", place)) == DAY
            for day in (BEFORE, NEXT):
                assert agenda.day_of(at(day, "08:30", place)) is None
        assert list(around(agenda)) == [DAY]


@pytest.mark.parametrize(
    ("is_active", "inactive_at", "days"),
    [
        (True, None, [BEFORE, DAY, NEXT]),
        (True, at(DAY, "08:30", NEW_YORK), [BEFORE, DAY, NEXT]),
        (False, at(DAY, "08:30", NEW_YORK), [BEFORE, DAY]),
        (False, at(DAY, "08:29", NEW_YORK), [BEFORE]),
        (False, None, []),
    ],
)
def test_nothing_is_due_after_the_medication_is_inactive(is_active, inactive_at, days):
    agenda = Agenda(row(is_active=is_active, inactive_at=inactive_at))
    assert list(around(agenda)) == days


@pytest.mark.parametrize(
    "values",
    [
        {"recurrence": "weekly", "days": []},
        {"recurrence": "weekly", "days": [[1, 2]]},
        {"zone": ""},
        {"zone": "EST5EDT4"},
        {"recipient_zone": "Mars/Phobos"},
        {"end": date(2024, 12, 31)},
    ],
)
def test_a_schedule_that_cannot_be_is_logged_once_with_its_id_and_left_out(values, caplog):
    broken_id = uuid4()
    broken = list(row(**values))
    broken[0] = broken_id
    caplog.set_level(logging.WARNING)
    for _ in range(2):
        (left,) = agendas([broken, row()])
        assert around(left)
    (record,) = caplog.records
    assert str(broken_id) in record.getMessage()


ZONES = st.sampled_from([*FAR, "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo"])
MINUTES = st.integers(0, 1439).map(lambda one: f"{one // 60:02}:{one % 60:02}")
DAYS = st.dates(date(2025, 1, 3), date(2026, 12, 30))


@given(st.none() | ZONES, ZONES, MINUTES, MINUTES, DAYS, st.booleans())
def test_whatever_was_recorded_is_of_one_date_and_within_the_window_that_is_read(
    zone, recipient_zone, old, new, day, by_node
):
    """A row of before a move, or in New York's reading, is read with the dose of its date."""
    effective = zone or recipient_zone
    recorded = at(day, old, NEW_YORK if by_node else effective)
    agenda = Agenda(row(new, zone, recipient_zone, taken=[recorded]))
    settled = agenda.due_settled_by(recorded).day
    found = taken_days(agenda, first=day - timedelta(days=3), last=day + timedelta(days=3))
    assert found == [settled]
    due, *others = agenda.instants_of(settled)
    window = records_window(due, due)
    assert window["records_since"] <= recorded < window["records_until"]
    for key in (due, *others):
        wide = records_window(key, key, beyond=timedelta(days=1))
        assert wide["records_since"] <= recorded < wide["records_until"]


@given(ZONES, MINUTES, DAYS)
def test_the_dates_around_a_window_have_all_that_is_due_in_it(zone, clock, day):
    (due,) = Agenda(row(clock, zone)).instants_of(day)[:1]
    dates = days_around(due, due + timedelta(microseconds=1))
    assert dates["first_day"] <= day <= dates["last_day"]


@pytest.mark.parametrize("edge", [EARLIEST, LATEST])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_ends_of_the_calendar_have_no_dose(edge, zone):
    agenda = Agenda(row(recipient_zone=zone, start=date.min))
    assert agenda.day_of(edge) is None
    with pytest.raises(ValidationError):
        Dose(agenda, DoseKey(ID, edge))
    assert records_window(edge, edge)
    assert days_around(edge, edge)


@pytest.mark.parametrize(
    ("inactive_at", "is_due"),
    [
        ("0001-01-01 00:23:28+05:53:28", False),
        ("0044-03-15 00:00:00-04:56:02 BC", False),
        ("-infinity", False),
        ("infinity", True),
        ("20250-01-01 00:00:00+00", True),
        ("9999-12-31 23:30:00-05", True),
    ],
)
def test_an_instant_that_python_has_not_is_at_its_end_of_the_calendar(inactive_at, is_due):
    agenda = Agenda(row(is_active=False, inactive_at=inactive_at))
    start = datetime(2025, 6, 4, tzinfo=UTC)
    assert bool(agenda.between(start, start + timedelta(days=1))) is is_due
