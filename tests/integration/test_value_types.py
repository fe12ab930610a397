"""How values of a row are read."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from homethrive_db import value_types


@pytest.fixture
def read(homethrive_db):
    """Read one value as the package's connections do."""

    def value(expression, *values):
        return homethrive_db.execute_sql(f"SELECT {expression}", values or None).fetchone()[0]

    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[]", []),
        (
            '[["2026-03-05T11:30:00+00:00", "ü]", null]]',
            [["2026-03-05T11:30:00+00:00", "ü]", None]],
        ),
        ("  [1, 2.5]  ", [1, 2.5]),
        ('{"a": [true]}', {"a": [True]}),
        (' {"a": {}} ', {"a": {}}),
        ('"["', "["),
        ("null", None),
    ],
)
def test_json(read, text, value):
    assert read("%s::json", text) == value
    assert read("NULL::json") is None


def test_ids_stay_themselves_however_many_are_read(read):
    ids = [uuid4() for _ in range(3 * value_types._KEPT_IDS)]
    found = read("%s::uuid[]", [str(one) for one in ids * 2])
    assert found == ids * 2
    assert all(type(one) is UUID for one in found)
    assert {one.is_safe for one in found} == {ids[0].is_safe}
    assert len(value_types._kept_ids) <= value_types._KEPT_IDS
    assert read("NULL::uuid") is None
    assert read("ARRAY[NULL::uuid]") == [None]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_instants_are_in_utc_whatever_the_sessions_zone(read, homethrive_db, zone):
    homethrive_db.execute_sql(f"SET LOCAL TimeZone = '{zone}'")
    found = read("timestamptz '2026-03-05 11:30:00.25+00'")
    assert found == datetime(2026, 3, 5, 11, 30, 0, 250_000, UTC)
    assert found.tzinfo is UTC
    assert read("NULL::timestamptz") is None
