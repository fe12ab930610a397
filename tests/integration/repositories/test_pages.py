"""Long lists, read by pages: the same rows, little memory, and no connection between two pages."""

import tracemalloc
from datetime import timedelta

import pytest

from homethrive_db import Repositories, value_types
from homethrive_db.testing.factories import Factory
from tests.integration.repositories.calls import DUE

MANY = 20_000
START, END = DUE - timedelta(days=1), DUE + timedelta(days=365)


@pytest.fixture
def profile(homethrive_factory):
    """Make five profiles of one user, and for one of them five medications with two schedules."""
    user = homethrive_factory.user("owner")
    for _ in range(4):
        homethrive_factory.care_recipient(user)
    mine = homethrive_factory.own_profile(user)
    for _ in range(5):
        medication = homethrive_factory.medication(mine)
        for _ in range(2):
            homethrive_factory.schedule(medication)
    return mine


@pytest.fixture
def pairs(homethrive_repositories, homethrive_db, profile):
    """Give each list with its twin; some rows were created at one and the same instant."""
    for table in ("care_recipients", "medications", "medication_schedules"):
        homethrive_db.execute_sql(
            f"UPDATE {table} SET created_at = date_trunc('minute', created_at)"
        )
    r = homethrive_repositories
    of = ("owner", profile.id)
    return [
        (r.care_recipients.list_for_caregiver, r.care_recipients.iter_for_caregiver, ("owner",)),
        (r.medications.list_by_recipient, r.medications.iter_by_recipient, of),
        (r.schedules.list_by_recipient, r.schedules.iter_by_recipient, of),
    ]


@pytest.mark.parametrize("page_size", [1, 2, 5, 7, 1000])
def test_pages_give_the_rows_of_the_list_in_its_order(pairs, page_size):
    for listed, paged, arguments in pairs:
        expected = listed(*arguments)
        assert len(expected) >= 5
        assert list(paged(*arguments, page_size=page_size)) == expected


def test_it_goes_on_behind_every_row(pairs):
    for listed, paged, arguments in pairs:
        expected = listed(*arguments)
        for number, row in enumerate(expected, 1):
            key = (row.created_at, str(row.id))
            assert list(paged(*arguments, after=key, page_size=2)) == expected[number:]


def test_inactive_medications_come_on_request(homethrive_repositories, profile):
    medications = homethrive_repositories.medications
    first = medications.list_by_recipient("owner", profile.id)[0]
    medications.set_inactive("owner", first.id, DUE)
    assert len(list(medications.iter_by_recipient("owner", profile.id))) == 4
    everything = medications.iter_by_recipient("owner", profile.id, include_inactive=True)
    assert len(list(everything)) == 5


def fill(db, schedule, count):
    """Record doses of a schedule, one a minute."""
    with db.connection_context():
        db.execute_sql(
            "INSERT INTO dose_taken (recipient_id, medication_id, schedule_id, scheduled_for,"
            " taken_at, taken_by_user_id) SELECT m.recipient_id, m.id, s.id,"
            " %s + n * interval '1 minute', now(), s.created_by_user_id FROM medication_schedules s"
            " JOIN medications m ON m.id = s.medication_id, generate_series(0, %s - 1) n"
            " WHERE s.id = %s",
            (DUE, count, str(schedule.id)),
        )


@pytest.fixture
def doses(homethrive_committed_db):
    """Give the repository, over many doses of two schedules of the user "owner"'s own profile."""
    repositories = Repositories(homethrive_committed_db)
    factory = Factory(repositories)
    mine = factory.own_profile(factory.user("owner"))
    for _ in range(2):
        fill(homethrive_committed_db, factory.schedule(factory.medication(mine)), MANY // 2)
    return repositories.doses_taken, ("owner", mine.id, START, END)


def test_doses_come_in_the_order_they_were_due_from_start_to_before_end(doses):
    repository, (user, recipient, *_) = doses
    end = DUE + timedelta(minutes=10)
    rows = list(repository.iter_by_recipient(user, recipient, DUE, end, page_size=3))
    assert [row.scheduled_for for row in rows] == [
        DUE + timedelta(minutes=n // 2) for n in range(20)
    ]
    assert rows == sorted(rows, key=lambda row: (row.scheduled_for, row.id))
    for number, row in enumerate(rows, 1):
        key = (row.scheduled_for, row.id)
        rest = repository.iter_by_recipient(user, recipient, DUE, end, after=key, page_size=3)
        assert list(rest) == rows[number:]


def peak(rows):
    """Measure the memory that it takes to count rows."""
    tracemalloc.start()
    try:
        return sum(1 for _ in rows()), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_a_page_however_many_rows_there_are(doses, monkeypatch):
    monkeypatch.setattr(value_types, "_KEPT_IDS", 100)  # else they take most of it
    repository, arguments = doses
    pages, few = peak(lambda: repository.iter_by_recipient(*arguments, page_size=100))
    whole, many = peak(lambda: repository.iter_by_recipient(*arguments, page_size=MANY + 1))
    assert pages == whole == MANY
    assert few < many / 20


def test_no_connection_is_held_between_two_rows(doses, homethrive_committed_db):
    repository, arguments = doses
    rows = repository.iter_by_recipient(*arguments, page_size=2)
    for _ in range(5):
        next(rows)
        assert homethrive_committed_db.stats().in_use == 0


def test_what_a_user_may_no_longer_reach_ends(doses, homethrive_committed_db):
    repository, (_, *arguments) = doses
    factory = Factory(Repositories(homethrive_committed_db))
    accesses = Repositories(homethrive_committed_db).caregiver_access
    caregiver = factory.user("caregiver")
    access = accesses.create(
        caregiver_user_id=caregiver.clerk_user_id,
        recipient_user_id="owner",
        status="approved",
        requested_at=DUE,
    )
    rows = repository.iter_by_recipient("caregiver", *arguments, page_size=2)
    next(rows)
    accesses.revoke("owner", access.id, DUE)
    assert len(list(rows)) == 1
