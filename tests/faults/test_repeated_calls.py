"""Calls whose answer is lost: what is repeated unseen, and what never is."""

from datetime import UTC, datetime, timedelta

import pytest

from homethrive_db import (
    DoseReport,
    NewDoseTaken,
    Repositories,
    UnavailableError,
    create_db,
    encode_dose_id,
    occurrences,
)
from homethrive_db.testing.factories import Factory
from tests.faults.conftest import DATABASE


@pytest.fixture
def losing(db_through_proxy, proxy):
    """Lose the answer to the next statement that begins so."""
    return proxy.swallow_answer_to


@pytest.fixture
def db_through_proxy(proxy_url, make_db):
    return make_db(proxy_url)


def test_a_read_is_repeated_once(db_through_proxy, losing):
    users = Repositories(db_through_proxy).users
    losing("SELECT")
    assert users.find_by_clerk_user_id("nobody") is None


def test_a_read_whose_answer_is_lost_again_is_not_repeated_for_ever(db_through_proxy, proxy):
    proxy.swallow_answer_to("SELECT", times=3)
    with pytest.raises(UnavailableError) as caught:
        Repositories(db_through_proxy).users.find_by_clerk_user_id("nobody")
    assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)
    assert len(proxy.statements) == 2


@pytest.fixture
def household(server):
    """Give a user with a schedule, made on a way of its own."""
    db = create_db(server.url(DATABASE))
    factory = Factory(Repositories(db))
    user = factory.user("owner")
    factory.user("new")
    yield user, factory.schedule(factory.medication(factory.own_profile(user)))
    with db.atomic():
        db.execute_sql("TRUNCATE users CASCADE")
    db.close_all()


DUE = datetime(2026, 3, 9, 12, tzinfo=UTC)

IDEMPOTENT = {
    "upsert": lambda all_of_them, _: all_of_them.users.upsert("user_1").clerk_user_id == "user_1",
    "own profile": lambda all_of_them, _: (
        all_of_them.care_recipients.find_or_create_own_profile("new", "Ana").user_id == "new"
    ),
    "mark_taken": lambda all_of_them, schedule: (
        all_of_them.doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE)).taken_at
        == DUE
    ),
    "mark_taken_many": lambda all_of_them, schedule: (
        all_of_them.doses_taken.mark_taken_many([DoseReport("owner", schedule.id, DUE, DUE)])[
            0
        ].dose
        is not None
    ),
}


@pytest.mark.parametrize("name", IDEMPOTENT)
def test_an_idempotent_write_is_repeated_once(db_through_proxy, losing, household, name):
    losing("WITH" if name in {"own profile", "mark_taken_many"} else "INSERT")
    assert IDEMPOTENT[name](Repositories(db_through_proxy), household[1])
    assert db_through_proxy.stats().dropped == {"lost": 1}


def undo(all_of_them, schedule):
    (at,) = occurrences(schedule, "America/New_York", DUE, DUE + timedelta(days=1))
    dose_id = encode_dose_id(schedule.id, at)
    all_of_them.doses.record("owner", dose_id)
    all_of_them.doses.undo("owner", dose_id)


OTHERS = {
    "WITH": undo,
    "UPDATE": lambda all_of_them, _: all_of_them.users.update_roles(
        "owner", is_recipient=True, is_caregiver=False
    ),
    "INSERT": lambda all_of_them, _: all_of_them.care_recipients.create("owner", display_name="A"),
    "DELETE": lambda all_of_them, schedule: all_of_them.doses_taken.unmark_taken(
        "owner", schedule.id, DUE
    ),
}


@pytest.mark.parametrize("begins", OTHERS)
def test_no_other_write_is_repeated(db_through_proxy, losing, household, proxy, begins):
    """To take a mark back twice could take back another caregiver's."""
    losing(begins)
    with pytest.raises(UnavailableError) as caught:
        OTHERS[begins](Repositories(db_through_proxy), household[1])
    assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", False)
    assert len([one for one in proxy.statements if one.startswith(begins)]) == 1


def test_nothing_is_repeated_in_a_block_of_the_callers(db_through_proxy, losing, proxy):
    users = Repositories(db_through_proxy).users
    losing("SELECT")
    with pytest.raises(UnavailableError), db_through_proxy.connection_context():
        users.find_by_clerk_user_id("nobody")
    losing("INSERT")
    with pytest.raises(UnavailableError), db_through_proxy.atomic():
        users.upsert("user_1")
    assert len([one for one in proxy.statements if one.startswith(("SELECT", "INSERT"))]) == 2
