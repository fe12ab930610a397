"""The ids of doses: those of the Node service byte for byte, and nothing else."""

import base64
import json
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homethrive_db import DoseKey, ValidationError, decode_dose_id, encode_dose_id

CONTRACT = json.loads(Path(__file__).parents[1].joinpath("data/dose_ids.json").read_text())

SCHEDULE = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
DUE = "2025-01-01T14:00:00.000Z"

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DUE_TIMES = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=OFFSETS, allow_imaginary=False
).map(lambda due: due.replace(microsecond=due.microsecond // 1000 * 1000))


def written(payload):
    """Write any payload as an id is written."""
    encoded = payload if isinstance(payload, bytes) else payload.encode()
    return "v1:" + base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def refuses(text):
    """Say that *text* is refused as an id, and not quoted."""
    with pytest.raises(ValidationError) as caught:
        decode_dose_id(text)
    assert caught.value.code == "INVALID_DOSE_ID"
    assert caught.value.details == {"field": "dose_id"}
    assert caught.value.message.startswith("dose_id: ")
    assert caught.value.__context__ is None
    return True


def decoded(text):
    """Read an id; None where it is refused."""
    with suppress(ValidationError):
        return decode_dose_id(text)
    assert refuses(text)
    return None


@pytest.mark.parametrize("case", CONTRACT["valid"], ids=lambda case: case["dose_id"])
def test_an_id_is_that_of_the_node_service_both_ways(case):
    key = DoseKey(uuid.UUID(case["schedule_id"]), datetime.fromisoformat(case["scheduled_for"]))
    assert encode_dose_id(*key) == case["dose_id"]
    assert encode_dose_id(case["schedule_id"].upper(), key.scheduled_for) == case["dose_id"]
    assert decode_dose_id(case["dose_id"]) == key


@pytest.mark.parametrize("case", CONTRACT["invalid"], ids=lambda case: case["dose_id"])
def test_what_the_node_service_refuses_is_refused(case):
    assert refuses(case["dose_id"])


@given(st.uuids(), DUE_TIMES)
def test_every_dose_has_an_id_that_leads_back_to_it(schedule_id, due):
    text = encode_dose_id(schedule_id, due)
    key = decode_dose_id(text)
    assert key == (schedule_id, due)
    assert key.scheduled_for.tzinfo is UTC
    assert encode_dose_id(*key) == text
    assert len(text) == 85


@pytest.mark.parametrize(
    "schedule_id",
    [SCHEDULE.upper(), f"{{{SCHEDULE}}}", f"urn:uuid:{SCHEDULE}", SCHEDULE.replace("-", ""),
     SCHEDULE[:-1], f" {SCHEDULE}", SCHEDULE.replace("6f96", "6f_6"), ""],
)  # fmt: skip
def test_a_schedule_has_one_spelling(schedule_id):
    assert refuses(written(f"{schedule_id}|{DUE}"))


@pytest.mark.parametrize(
    "instant",
    ["2025-01-01T14:00:00Z", "2025-01-01T14:00:00.0000Z", "2025-01-01T14:00:00.000001Z",
     "2025-01-01T14:00:00.0001Z", "2025-01-01T14:00:00.000", "2025-01-01T14:00:00.000+00:00",
     "2025-01-01T15:00:00.000+01:00", "2025-01-01 14:00:00.000Z", "2025-01-01T14:00:00,000Z",
     "2025-01-01t14:00:00.000z", "20250101T140000.000Z", "2025-W01-3T14:00:00.000Z",
     "2025-01-01T24:00:00.000Z", "2025-01-01T23:59:60.000Z", "2025-02-29T14:00:00.000Z",
     "2025-02-30T14:00:00.000Z", "0000-01-01T00:00:00.000Z", "+010000-01-01T00:00:00.000Z",
     "-000001-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000+14:00", "2025-01-01", "1735740000000",
     f"{DUE}|", f"{DUE} ", f"{DUE}\n", f"|{DUE}", "", "NaN"],
)  # fmt: skip
def test_an_instant_has_one_spelling(instant):
    """Also where another one means the same instant: two ids would be two doses to a client."""
    assert refuses(written(f"{SCHEDULE}|{instant}"))


GOOD = written(f"{SCHEDULE}|{DUE}")


@pytest.mark.parametrize(
    "text",
    [GOOD + "==", GOOD + "=", GOOD + "\n", " " + GOOD, GOOD[:20] + "\n" + GOOD[20:],
     GOOD[:20] + "!" + GOOD[20:], GOOD[:20] + "==" + GOOD[20:], GOOD[:-1], GOOD + "A",
     # the last character has four bits that say nothing
     GOOD[:-1] + "h", GOOD[:-1] + "v",
     "V1:" + GOOD[3:], GOOD[3:], "v1:" + GOOD, GOOD.replace(":", "\uff1a"), GOOD + "é",
     GOOD + "\ud800", "v1:" + "A" * 1_000_000],
)  # fmt: skip
def test_the_text_of_an_id_has_one_spelling(text):
    assert refuses(text)


def test_the_dose_of_those_spellings_is_a_good_one():
    assert decode_dose_id(GOOD) == (uuid.UUID(SCHEDULE), datetime.fromisoformat(DUE))


@pytest.mark.parametrize("value", [None, 1, GOOD.encode(), bytearray(GOOD.encode()), [GOOD]])
def test_what_is_no_text_is_no_id(value):
    assert refuses(value)


@given(
    st.text()
    | st.text().map("v1:".__add__)
    | st.binary().map(written)
    | st.text(st.characters(codec="utf-8")).map(lambda text: written(f"{SCHEDULE}|{text}"))
)
@example(GOOD)
def test_any_text_is_refused_or_is_the_id_of_its_dose(text):
    key = decoded(text)
    assert key is None or encode_dose_id(*key) == text


@given(st.uuids(), DUE_TIMES, st.data())
def test_an_id_with_a_character_changed_is_refused_or_that_of_another_dose(schedule_id, due, data):
    text = encode_dose_id(schedule_id, due)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.characters()) + text[place + 1 :]
    assert (decoded(changed) == (schedule_id, due)) is (changed == text)


@pytest.mark.parametrize(
    ("schedule_id", "due", "field"),
    [
        (SCHEDULE, datetime(2025, 1, 1, 14), "scheduled_for"),
        (SCHEDULE, datetime(2025, 1, 1, 14, 0, 0, 1, tzinfo=UTC), "scheduled_for"),
        (SCHEDULE, datetime(2025, 1, 1, 14, 0, 0, 999_999, tzinfo=UTC), "scheduled_for"),
        (SCHEDULE, DUE, "scheduled_for"),
        (f"{{{SCHEDULE}}}", datetime(2025, 1, 1, 14, tzinfo=UTC), "schedule_id"),
        (None, datetime(2025, 1, 1, 14, tzinfo=UTC), "schedule_id"),
    ],
)
def test_no_id_is_made_of_what_is_no_dose(schedule_id, due, field):
    """Least of all by rounding: that would be the id of another dose."""
    with pytest.raises(ValidationError) as caught:
        encode_dose_id(schedule_id, due)
    assert caught.value.details == {"field": field}
