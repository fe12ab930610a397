"""Bad input to a repository is refused before a connection is used."""

import datetime as dt
import inspect
import uuid
from types import SimpleNamespace

import pytest

from homethrive_db import (
    DoseFeed,
    DoseReport,
    NewDoseTaken,
    NewMedication,
    NewSchedule,
    Recurrence,
    ReminderLedger,
    Repositories,
    UnavailableError,
    ValidationError,
    check_connection,
    create_db,
    encode_dose_id,
    models,
    occurrences,
)
from tests.repositories import by_name

DUE = dt.datetime(2025, 3, 9, 12, 30, tzinfo=dt.UTC)
NAIVE = DUE.replace(tzinfo=None)
SCHEDULE = NewSchedule("daily", "08:30", dt.date(2025, 3, 9))
ID = uuid.UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")

USERS = dict.fromkeys(("user_id", "clerk_user_id", "caregiver_user_id"), "user_1")
IDS = dict.fromkeys(("recipient_id", "access_id", "medication_id", "schedule_id"), ID)
INSTANTS = dict.fromkeys(
    (
        "requested_at",
        "approved_at",
        "revoked_at",
        "at",
        "inactive_at",
        "scheduled_for",
        "start",
        "taken_at",
    ),
    DUE,
)
FLAGS = dict.fromkeys(("is_recipient", "is_caregiver", "include_inactive"), True)
GOOD = {
    **USERS, **IDS, **INSTANTS, **FLAGS,
    "recipient_user_id": "user_2", "email": "ana@example.org", "display_name": "Ana",
    "timezone": "Europe/Berlin", "name": "Aspirin", "instructions": None, "status": "approved",
    "medication": NewMedication("Aspirin"), "schedules": [SCHEDULE], "schedule_ids": [ID],
    "effective": DUE.date(), "on": DUE.date(),
    "end": DUE + dt.timedelta(days=1), "dose": NewDoseTaken(ID, DUE, DUE),
    "reports": [DoseReport("user_1", ID, DUE, DUE)],
    "dose_id": encode_dose_id(ID, DUE), "reason": None, "grace": dt.timedelta(hours=1),
    "after": (DUE, ID), "page_size": 10,
}  # fmt: skip
BAD = {
    **dict.fromkeys((*USERS, "recipient_user_id"), ("", "user\0", "\ud800", 1, None)),
    **dict.fromkeys(IDS, ("x", ID.hex, 1, None)),
    **dict.fromkeys((*INSTANTS, "end"), (NAIVE, "2025-03-09T12:30:00Z", DUE.date())),
    **dict.fromkeys(("effective", "on"), (DUE, "2025-03-09", None)),
    **dict.fromkeys(FLAGS, (1, "false", None)),
    "scheduled_for": (NAIVE, None, DUE.replace(microsecond=1)),
    "email": ("ana\0@example.org", None),
    "display_name": ("", "x" * 101, None),
    "timezone": ("Mars/Phobos", "", None),
    "name": ("", "x" * 101, None),
    "instructions": ("x" * 501, 1),
    "status": ("allowed", None),
    "schedule_ids": (["x"], [None], None, 1, str(ID)),
    "medication": ({"name": "Aspirin"}, "Aspirin", None),
    "schedules": ([{"recurrence": "daily"}], [None], {ID: [None]}, {ID: "daily"}, "daily", None),
    "dose": ({"schedule_id": ID}, DoseReport("user_1", ID, DUE, DUE), None),
    "reports": ([{"user_id": "user_1"}], [NewDoseTaken(ID, DUE, DUE)], [None], "x", None),
    "dose_id": ("", "v1:x", encode_dose_id(ID, DUE) + "=", encode_dose_id(ID, DUE).encode(), None),
    "grace": (dt.timedelta(seconds=-1), 60, None),
    "reason": ("x" * 256, "ill\0", 1),
    "after": (DUE, (DUE,), (NAIVE, ID), (DUE, "x"), [DUE, ID]),
    "page_size": (0, -1, True, 1.5, "10", None, 2**31),
}
NOWHERE = "postgresql://nobody@localhost:1/nothing"


def bad_calls():
    """Give each bad value of each parameter of each public method, the others being good."""
    for name, repository in by_name(Repositories(create_db(NOWHERE))).items():
        for method, function in inspect.getmembers(type(repository), inspect.isfunction):
            parameters = inspect.signature(function).parameters.values()
            named = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - {"self"}
            for field in () if method.startswith("_") else sorted(named):
                good = {one: GOOD[one] for one in named if one in GOOD}
                if method == "create_many":
                    good["schedules"] = {ID: [SCHEDULE]}
                for value in BAD[field]:
                    yield pytest.param(
                        f"{name}.{method}", good, field, value, id=f"{method}-{field}-{value!r}"
                    )


def refused(method, **arguments):
    """Call a method over a database that is not there, which a connection would tell."""
    db = create_db(NOWHERE)
    repository, _, name = method.partition(".")
    with pytest.raises(ValidationError) as caught:
        getattr(getattr(Repositories(db), repository), name)(**arguments)
    field = caught.value.details["field"]
    assert caught.value.code == ("INVALID_DOSE_ID" if field == "dose_id" else "VALIDATION_ERROR")
    assert not db.stats().in_use
    return field


@pytest.mark.parametrize(("method", "good", "field", "value"), list(bad_calls()))
def test_every_parameter_of_every_method_is_checked_before_a_connection_is_used(
    method, good, field, value
):
    assert refused(method, **{**good, field: value}) == field


@pytest.mark.parametrize("method", ["users.find_by_clerk_user_id", "users.upsert"])
def test_good_input_does_ask_for_a_connection(method):
    """So the tests here would notice a check that came too late."""
    repository, _, name = method.partition(".")
    with pytest.raises(UnavailableError):
        getattr(getattr(Repositories(create_db(NOWHERE)), repository), name)("user_1")


@pytest.mark.parametrize(
    ("method", "field", "value"),
    [
        ("users.upsert", "email", "ana\0"),
        ("users.upsert", "display_name", ""),
        ("users.upsert", "display_name", "x" * 101),
        ("users.upsert", "image_url", b"x"),
        ("users.upsert", "timezone", "Europe/Berlin"),
        ("care_recipients.update", "display_name", None),
        ("care_recipients.update", "timezone", "localtime"),
        ("care_recipients.update", "user_id", None),
        ("medications.update", "name", None),
        ("medications.update", "instructions", "x" * 501),
        ("medications.update", "is_active", False),
        ("schedules.update", "recurrence", "hourly"),
        ("schedules.update", "time_of_day", "24:00"),
        ("schedules.update", "days_of_week", [0]),
        ("schedules.update", "timezone", "posix/Europe/Berlin"),
        ("schedules.update", "start_date", None),
        ("schedules.update", "end_date", DUE),
        ("schedules.update", "dosage_notes", "x" * 256),
        ("schedules.update", "medication_id", ID),
        ("schedules.revise", "time_of_day", "24:00"),
        ("schedules.revise", "start_date", DUE.date()),
        ("schedules.revise", "end_date", DUE.date() - dt.timedelta(days=1)),
    ],
)
def test_a_change_that_is_not_allowed_names_its_field(method, field, value):
    ids = {
        "users.upsert": {"clerk_user_id": "user_1"},
        "care_recipients.update": {"user_id": "user_1", "recipient_id": ID},
        "medications.update": {"user_id": "user_1", "medication_id": ID},
        "schedules.update": {"user_id": "user_1", "schedule_id": ID},
        "schedules.revise": {"user_id": "user_1", "schedule_id": ID, "effective": DUE.date()},
    }[method]
    assert refused(method, **{**ids, field: value}) == field


def test_a_revision_lists_only_the_fields_that_it_takes():
    schedules = Repositories(create_db(NOWHERE)).schedules
    with pytest.raises(ValidationError) as caught:
        schedules.revise("user_1", ID, DUE.date(), foo=1)
    assert caught.value.message == (
        "foo: one of recurrence, time_of_day, days_of_week, timezone, end_date, dosage_notes "
        "expected"
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"recurrence": "weekly", "days_of_week": None}, "days_of_week"),
        ({"recurrence": "weekly", "days_of_week": []}, "days_of_week"),
        ({"recurrence": "daily", "days_of_week": [1]}, "days_of_week"),
        ({"start_date": dt.date(2025, 3, 9), "end_date": dt.date(2025, 3, 8)}, "end_date"),
    ],
)
def test_changes_that_contradict_each_other_are_refused(changes, field):
    assert refused("schedules.update", user_id="user_1", schedule_id=ID, **changes) == field


@pytest.mark.parametrize(
    ("take", "what"),
    [
        *(
            (take, what)
            for take in (Repositories, DoseFeed, ReminderLedger)
            for what in (None, NOWHERE, 3)
        ),
        *((check_connection, what) for what in (NOWHERE, "", 3)),
    ],
)
def test_what_needs_a_database_names_what_came_in_place_of_one(take, what):
    with pytest.raises(ValidationError, match=r"db: a Database expected, .* came") as caught:
        take(what)
    assert caught.value.details == {"field": "db"}


@pytest.mark.parametrize(
    "what",
    [
        {},
        None,
        "daily",
        # As Peewee reads a row: the time as text.
        models.MedicationSchedule(recurrence="daily", time_of_day="08:00", start_date=DUE.date()),
        SimpleNamespace(
            recurrence=Recurrence.DAILY,
            time_of_day=dt.time(8),
            days_of_week=None,
            start_date="2026-01-01",
            end_date=None,
        ),
    ],
    ids=lambda what: type(what).__name__,
)
def test_only_a_schedule_has_occurrences(what):
    with pytest.raises(ValidationError, match=r"schedule: a schedule expected, .* came") as caught:
        occurrences(what, "UTC", DUE, DUE)
    assert caught.value.details == {"field": "schedule"}


def test_only_what_can_be_called_is_run_in_a_transaction():
    db = create_db(NOWHERE)
    with pytest.raises(ValidationError) as caught:
        db.run(None)
    assert caught.value.details == {"field": "function"}


def test_a_caregiver_of_oneself_is_refused():
    sides = {"caregiver_user_id": "user_1", "recipient_user_id": "user_1"}
    field = refused("caregiver_access.create", **sides, status="approved", requested_at=DUE)
    assert field == "caregiver_user_id"


@pytest.mark.parametrize("schedules", [{ID: []}, {ID: [SCHEDULE], uuid.UUID(int=4): []}])
def test_a_medication_without_new_schedules_is_refused(schedules):
    assert refused("schedules.create_many", user_id="user_1", schedules=schedules) == "schedules"


def test_schedules_of_no_medication_are_refused():
    created = {"user_id": "user_1", "schedules": {"x": [SCHEDULE]}}
    assert refused("schedules.create_many", **created) == "medication_id"


def test_a_medication_is_created_with_a_schedule_at_least():
    created = {"user_id": "user_1", "recipient_id": ID, "medication": NewMedication("Aspirin")}
    field = refused("medications.create_with_schedules", **created, schedules=[])
    assert field == "schedules"


@pytest.mark.parametrize(
    ("method", "of"),
    [
        ("doses_taken.taken_map", {"schedule_ids": [ID]}),
        ("doses_taken.iter_by_recipient", {"recipient_id": ID}),
    ],
)
def test_a_window_that_ends_before_it_starts_is_refused(method, of):
    window = {"start": DUE, "end": DUE - dt.timedelta(milliseconds=1)}
    assert refused(method, user_id="user_1", **of, **window) == "start"


def test_upcoming_doses_of_a_window_that_ends_before_it_starts_are_refused():
    window = {"start": DUE, "end": DUE - dt.timedelta(milliseconds=1)}
    assert refused("doses.list_upcoming", user_id="user_1", recipient_id=ID, **window) == "start"
    only_end = {"end": window["end"].replace(year=2020)}
    assert refused("doses.list_upcoming", user_id="user_1", recipient_id=ID, **only_end) == "end"
