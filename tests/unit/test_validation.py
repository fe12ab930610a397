"""The rules of input: what is taken, what is refused, and by which field's name."""

import datetime as dt
import uuid
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homethrive_db import AccessStatus, Recurrence, ValidationError, validation

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
OFFSETS = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
    lambda offset: dt.timezone(dt.timedelta(minutes=offset // dt.timedelta(minutes=1)))
)
INSTANTS = st.datetimes(
    dt.datetime(1900, 1, 1),
    dt.datetime(2200, 1, 1),
    timezones=OFFSETS,
)


def refuses(rule, value, field="field", **options):
    """Say that *rule* refuses *value*, naming the field and nothing of the value."""
    with pytest.raises(ValidationError) as caught:
        rule(value, field, **options)
    assert caught.value.code == "VALIDATION_ERROR"
    assert caught.value.details == {"field": field}
    assert caught.value.message.startswith(f"{field}: ")
    return True


LENGTHS = [
    (validation.display_name, 1, 100),
    (validation.medication_name, 1, 100),
    (validation.instructions, 0, 500),
    (validation.dosage_notes, 0, 255),
]


@pytest.mark.parametrize(("rule", "minimum", "maximum"), LENGTHS)
@pytest.mark.parametrize("character", ["a", "é", "李", "💊"])
def test_lengths_count_characters_at_both_edges(rule, minimum, maximum, character):
    """A character is a code point, whatever bytes it takes."""
    assert rule(character * maximum, "field") == character * maximum
    assert rule(character * minimum, "field") == character * minimum
    assert refuses(rule, character * (maximum + 1))
    if minimum:
        assert refuses(rule, "")


@given(STORABLE)
def test_storable_text_passes_unchanged(text):
    assert validation.text(text, "field") == text


@given(STORABLE, st.sampled_from(["\0", "\ud800", "\udfff"]), STORABLE)
def test_text_that_postgresql_cannot_store_is_refused(before, bad, after):
    assert refuses(validation.text, before + bad + after)


@pytest.mark.parametrize("value", [None, 1, b"x", ["x"]])
def test_what_is_no_text_is_refused(value):
    assert refuses(validation.text, value)
    assert refuses(validation.user_id, value)


def test_an_empty_user_id_is_refused():
    assert refuses(validation.user_id, "")


@given(st.uuids())
def test_an_id_may_be_a_uuid_or_its_usual_text(value):
    assert validation.uuid(value, "id") == value
    assert validation.uuid(str(value), "id") == value
    assert validation.uuid(str(value).upper(), "id") == value


@pytest.mark.parametrize(
    "value",
    ["", "x", "6f9619ff8b86d011b42d00c04fc964ff", "{6f9619ff-8b86-d011-b42d-00c04fc964ff}",
     "urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964f",
     "6f9619ff-8b86-d011-b42d-00c04fc964fg", " 6f9619ff-8b86-d011-b42d-00c04fc964ff", 5, None],
)  # fmt: skip
def test_a_malformed_uuid_is_refused(value):
    assert refuses(validation.uuid, value)


@given(INSTANTS)
def test_an_instant_is_given_in_utc(value):
    checked = validation.instant(value, "field")
    assert checked == value
    assert checked.tzinfo is dt.UTC


@given(st.datetimes())
def test_a_naive_datetime_is_refused(value):
    assert refuses(validation.instant, value)


@pytest.mark.parametrize(
    "value", ["2025-01-01T00:00:00Z", dt.date(2025, 1, 1), 0, None,
              dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))]
)  # fmt: skip
def test_what_is_no_instant_is_refused(value):
    assert refuses(validation.instant, value)


@given(INSTANTS)
def test_a_dose_is_due_in_whole_milliseconds(value):
    whole = value.replace(microsecond=value.microsecond // 1000 * 1000)
    assert validation.scheduled_instant(whole) == whole
    if value != whole:
        assert refuses(validation.scheduled_instant, value, "scheduled_for")


@pytest.mark.parametrize("microsecond", [1, 10, 100, 500, 999, 1_001, 1_100, 999_999])
def test_a_dose_key_finer_than_a_millisecond_is_refused(microsecond):
    """The Node service would cut it off, and see a second dose."""
    due = dt.datetime(2025, 3, 9, 12, 30, 0, microsecond, tzinfo=dt.UTC)
    assert refuses(validation.scheduled_instant, due)


@given(st.times())
def test_a_time_of_day_is_whole_minutes_without_a_zone(value):
    whole = value.replace(second=0, microsecond=0)
    assert validation.time_of_day(whole) == whole
    assert validation.time_of_day(f"{whole:%H:%M}") == whole
    if value != whole:
        assert refuses(validation.time_of_day, value)
    assert refuses(validation.time_of_day, whole.replace(tzinfo=dt.UTC))


@pytest.mark.parametrize(
    "value",
    ["8:30", "24:00", "08:60", "08:30:00", "08:30\n", "٠٨:٣٠", "", 8, None,
     dt.datetime(2025, 1, 1)],
)  # fmt: skip
def test_what_is_no_time_of_day_is_refused(value):
    assert refuses(validation.time_of_day, value)


@given(st.lists(st.integers(1, 7)))
def test_days_are_kept_sorted_without_duplicates_and_none_as_none(days):
    assert validation.days_of_week(days) == (tuple(sorted(set(days))) or None)


@given(st.lists(st.integers(), min_size=1).filter(lambda days: not set(days) <= set(range(1, 8))))
def test_days_outside_of_the_iso_week_are_refused(days):
    assert refuses(validation.days_of_week, days)


@pytest.mark.parametrize("value", ["135", 1, [True], [1.0], ["1"], [None]])
def test_what_is_no_day_is_refused(value):
    assert refuses(validation.days_of_week, value)


@pytest.mark.parametrize("value", [dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "2025-01-01", 0, None])
def test_what_is_no_date_is_refused(value):
    assert refuses(validation.day, value)


@given(st.dates(), st.dates())
def test_a_schedule_ends_on_the_day_it_starts_or_later(start, end):
    validation.schedule_dates(min(start, end), max(start, end))
    validation.schedule_dates(start, None)
    if start != end:
        with pytest.raises(ValidationError) as caught:
            validation.schedule_dates(max(start, end), min(start, end))
        assert caught.value.details == {"field": "end_date"}


@given(st.sets(st.integers(1, 7), min_size=1))
def test_weekly_has_days_and_daily_has_none(days):
    validation.schedule_days(Recurrence.WEEKLY, tuple(days))
    validation.schedule_days(Recurrence.DAILY, None)
    for wrong in ((Recurrence.WEEKLY, None), (Recurrence.DAILY, tuple(days))):
        with pytest.raises(ValidationError) as caught:
            validation.schedule_days(*wrong)
        assert caught.value.details == {"field": "days_of_week"}


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_what_is_no_truth_value_is_refused(value):
    assert refuses(validation.boolean, value)


def test_every_iana_zone_is_taken_and_abbreviations_stored_canonical():
    """PostgreSQL reads CET, MET, EET and WET as abbreviations, which know no summer time."""
    names = set(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}
    stored = {name: validation.zone(name) for name in names}
    changed = {name: to for name, to in stored.items() if name != to}
    assert changed == {
        "CET": "Europe/Brussels",
        "MET": "Europe/Brussels",
        "EET": "Europe/Athens",
        "WET": "Europe/Lisbon",
    }


@pytest.mark.parametrize(
    "value",
    ["", "america/new_york", "Mars/Phobos", "posix/Europe/Berlin", "right/UTC", "localtime",
     "posixrules", "Factory", "UTC+3", "EST5", "../UTC", "/usr/share/zoneinfo/UTC",
     "Europe/Berlin ", "Europe/Berlin\n", "x" * 65, None, 3],
)  # fmt: skip
def test_what_is_no_iana_zone_is_refused(value):
    assert refuses(validation.zone, value)


def test_members_of_an_enum_may_be_their_values():
    assert validation.member("approved", AccessStatus, "status") is AccessStatus.APPROVED
    assert validation.recurrence(Recurrence.DAILY) is Recurrence.DAILY
    for value in ("DAILY", "hourly", "", None, 1):
        assert refuses(validation.recurrence, value, "recurrence")


def test_only_named_fields_can_change():
    with pytest.raises(ValidationError) as caught:
        validation.changes(validation.MEDICATION, {"is_active": False})
    assert caught.value.details == {"field": "is_active"}


@given(st.none() | st.uuids())
def test_an_optional_value_may_be_absent(value):
    rule = validation.optional(validation.uuid)
    assert rule(value, "field") == value
    assert refuses(rule, uuid.UUID(int=1).hex)
