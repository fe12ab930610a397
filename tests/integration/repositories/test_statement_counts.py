"""One call is one statement: counted by what the driver sends to the server."""

import inspect

import psycopg2.extensions
import pytest

from homethrive_db import (
    ConflictError,
    DoseReport,
    NewDoseTaken,
    NotFoundError,
    Repositories,
    create_db,
    encode_dose_id,
)
from homethrive_db.testing.factories import Factory
from tests.integration.repositories.calls import DUE, Things, calls, household
from tests.repositories import by_name


class Recorder:
    """Records each statement that a connection sends."""

    def __init__(self):
        self.statements = []

    def cursor_factory(self):
        statements = self.statements

        class Cursor(psycopg2.extensions.cursor):
            def execute(self, query, values=None):
                statements.append(query.split()[0])
                return super().execute(query, values)

        return Cursor


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def db(homethrive_committed_url, recorder):
    made = create_db(homethrive_committed_url, cursor_factory=recorder.cursor_factory())
    yield made
    made.close_all()


@pytest.fixture
def everything(db, recorder):
    """Give every public method of every repository as a call."""
    repositories = Repositories(db)
    factory = Factory(repositories)
    things = household(factory)
    access = factory.caregiver_access(
        factory.user("caregiver"), factory.user("owner"), status="pending_request"
    )
    invite = factory.caregiver_access(
        factory.user("invited"), factory.user("owner"), status="pending_invite"
    )
    users, recipients, accesses, doses = (
        repositories.users,
        repositories.care_recipients,
        repositories.caregiver_access,
        repositories.doses_taken,
    )
    onboarding = {"is_recipient": True, "is_caregiver": True}
    sides = {"caregiver_user_id": "owner", "recipient_user_id": "caregiver"}
    made = {
        "users.find_by_clerk_user_id": lambda: users.find_by_clerk_user_id("owner"),
        "users.upsert": lambda: users.upsert("owner", email="a@example.org"),
        "users.complete_onboarding": lambda: users.complete_onboarding(
            "owner", display_name="x", timezone="UTC", **onboarding
        ),
        "users.update_roles": lambda: users.update_roles("owner", **onboarding),
        "care_recipients.find_by_user_id": lambda: recipients.find_by_user_id("owner"),
        "care_recipients.list_for_caregiver": lambda: recipients.list_for_caregiver("owner"),
        "care_recipients.iter_for_caregiver": lambda: list(recipients.iter_for_caregiver("owner")),
        "care_recipients.create": lambda: recipients.create("owner", display_name="x"),
        "care_recipients.find_or_create_own_profile": lambda: recipients.find_or_create_own_profile(
            "owner", "x"
        ),
        "caregiver_access.find_user_by_email": lambda: accesses.find_user_by_email("a@b"),
        "caregiver_access.find_by_id": lambda: accesses.find_by_id(access.id),
        "caregiver_access.find_active_access": lambda: accesses.find_active_access("a", "b"),
        "caregiver_access.has_approved_access": lambda: accesses.has_approved_access("a", "b"),
        "caregiver_access.approved_recipient_user_ids": lambda: (
            accesses.approved_recipient_user_ids("a")
        ),
        "caregiver_access.list_caregivers_for_recipient": lambda: (
            accesses.list_caregivers_for_recipient("owner")
        ),
        "caregiver_access.list_recipients_for_caregiver": lambda: (
            accesses.list_recipients_for_caregiver("caregiver")
        ),
        "caregiver_access.create": lambda: accesses.create(
            **sides, status="approved", requested_at=DUE
        ),
        "caregiver_access.approve_request": lambda: accesses.approve_request(
            "owner", access.id, DUE
        ),
        "caregiver_access.accept_invite": lambda: accesses.accept_invite("invited", invite.id, DUE),
        "caregiver_access.update_status": lambda: accesses.update_status(access.id, "revoked"),
        "caregiver_access.revoke": lambda: accesses.revoke("owner", invite.id, DUE),
        **{name: call for name, (call, _) in calls(repositories, factory, "owner", things).items()},
        "doses_taken.mark_taken_many": lambda: doses.mark_taken_many(
            [DoseReport("owner", things.schedule, DUE, DUE)] * 3
        ),
    }
    db.close_all()
    recorder.statements.clear()
    return made


def test_every_public_method_is_among_the_calls(everything, db):
    repositories = Repositories(db)
    public = {
        f"{name}.{method}"
        for name, repository in by_name(repositories).items()
        for method, _ in inspect.getmembers(repository, inspect.ismethod)
        if not method.startswith("_")
    }
    assert set(everything) == public


STATEMENTS = {"doses.record": 2, "doses.skip": 2, "doses.undo": 2}
"""Of the calls that see first what there is; all others are one."""


def test_outside_of_a_block_a_call_is_one_statement_and_nothing_else(everything, recorder):
    """No BEGIN, no COMMIT, no SET, no question to the connection."""
    del everything["schedules.revise"]
    for name, call in everything.items():
        call()
        assert len(recorder.statements) == STATEMENTS.get(name, 1), (name, recorder.statements)
        assert {*recorder.statements} <= {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, name
        recorder.statements.clear()


def test_inside_of_a_block_it_is_one_statement_between_begin_and_commit(everything, db, recorder):
    del everything["schedules.revise"]
    for name, call in everything.items():
        with db.atomic():
            call()
        assert len(recorder.statements) == STATEMENTS.get(name, 1) + 2, name
        assert (recorder.statements[0], recorder.statements[-1]) == ("BEGIN", "COMMIT")
        recorder.statements.clear()


def test_a_dose_is_one_statement_when_new_and_two_otherwise(db, recorder):
    factory = Factory(Repositories(db))
    things = household(factory)
    doses = Repositories(db).doses_taken
    recorder.statements.clear()
    doses.mark_taken("owner", NewDoseTaken(things.schedule, DUE, DUE))
    assert len(recorder.statements) == 1
    doses.mark_taken("owner", NewDoseTaken(things.schedule, DUE, DUE))
    assert len(recorder.statements) == 3
    with pytest.raises(NotFoundError):
        doses.mark_taken("owner", NewDoseTaken(Things.absent().schedule, DUE, DUE))
    assert len(recorder.statements) == 5


def test_a_dose_by_its_id_is_seen_first_and_then_recorded(db, recorder):
    """Under a lock where it has two instants, which the table's key does not keep apart."""
    repositories = Repositories(db)
    things = household(Factory(repositories))
    dose_id = encode_dose_id(things.schedule, DUE)
    doses, sent = repositories.doses, recorder.statements
    for call, expected in (
        (doses.record, ["SELECT", "INSERT"]),
        (doses.record, ["SELECT"]),
        (doses.undo, ["SELECT", "WITH"]),
        (doses.undo, ["SELECT"]),
        (doses.skip, ["SELECT", "INSERT"]),
        (doses.skip, ["SELECT"]),
    ):
        sent.clear()
        call("owner", dose_id)
        assert sent == expected
    repositories.care_recipients.update("owner", things.recipient, timezone="Europe/London")
    doses.undo("owner", dose_id)
    sent.clear()
    doses.record("owner", dose_id)
    assert sent == ["SELECT", "BEGIN", "SELECT", "SELECT", "INSERT", "COMMIT"]
    sent.clear()
    doses.record("owner", dose_id)
    assert sent == ["SELECT"]


def test_an_own_profile_is_one_statement_when_complete_and_two_when_new(db, recorder):
    factory = Factory(Repositories(db))
    factory.user("owner")
    recorder.statements.clear()
    recipients = Repositories(db).care_recipients
    for _ in range(3):
        assert recipients.find_or_create_own_profile("owner", "Ana").display_name == "Ana"
    assert recorder.statements == ["SELECT", "WITH", "SELECT", "SELECT"]


def test_a_change_of_state_is_one_statement_where_it_is_legal_and_two_otherwise(db, recorder):
    factory = Factory(Repositories(db))
    access = factory.caregiver_access(
        factory.user("caregiver"), factory.user("owner"), status="approved"
    )
    recorder.statements.clear()
    accesses = Repositories(db).caregiver_access
    accesses.revoke("owner", access.id, DUE)
    assert recorder.statements == ["UPDATE"]
    with pytest.raises(ConflictError):
        accesses.revoke("owner", access.id, DUE)
    assert recorder.statements == ["UPDATE", "UPDATE", "SELECT"]


def test_a_revision_is_one_statement_under_a_lock(everything, db, recorder):
    """The lock comes first, so that what was marked before it is seen."""
    everything["schedules.revise"]()
    assert recorder.statements == ["BEGIN", "WITH", "WITH", "COMMIT"]


def test_a_batch_is_one_statement_per_five_thousand(db, recorder):
    factory = Factory(Repositories(db))
    things = household(factory)
    recorder.statements.clear()
    outcomes = Repositories(db).doses_taken.mark_taken_many(
        [DoseReport("owner", things.schedule, DUE, DUE)] * 12_000
    )
    assert len(outcomes) == 12_000
    assert len(recorder.statements) == 3


def test_nothing_is_sent_for_nothing(db, recorder):
    repositories = Repositories(db)
    assert repositories.doses_taken.mark_taken_many([]) == []
    assert repositories.schedules.create_many("owner", {}) == []
    assert recorder.statements == []
