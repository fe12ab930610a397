"""The access rule, in every method that takes a user: what they may not see does not exist."""

import pytest

from homethrive_db import (
    AccessStatus,
    DoseReport,
    NewDoseTaken,
    NotFoundError,
    OutcomeStatus,
    Repositories,
    create_db,
)
from tests.integration.repositories.calls import DUE, Refused, Things, calls, household

REACHING = ("owner", "creator", "approved")
NOT_REACHING = ("pending_request", "pending_invite", "revoked", "caregiver of another", "nobody")


@pytest.fixture
def things(homethrive_factory, homethrive_db):
    """Make a household, and users who stand in every relation to it."""
    made = household(homethrive_factory)
    owner = homethrive_factory.user("owner")
    homethrive_factory.user("creator")
    homethrive_db.execute_sql("UPDATE care_recipients SET created_by_user_id = 'creator'")
    for status in AccessStatus:
        caregiver = homethrive_factory.user(str(status))
        homethrive_factory.caregiver_access(caregiver, owner, status=status)
        # An access of the owner to them is none of theirs to the owner.
        homethrive_factory.caregiver_access(owner, caregiver)
    homethrive_factory.caregiver_access(homethrive_factory.user("caregiver of another"))
    return made


@pytest.fixture
def answers(homethrive_repositories, homethrive_factory, homethrive_db):
    """Ask every method as a user, each on the household as it was."""

    def ask(user_id, things):
        found = {}
        for name, (call, missing) in calls(
            homethrive_repositories, homethrive_factory, user_id, things
        ).items():
            with homethrive_db.atomic() as savepoint:
                try:
                    found[name] = call(), missing
                except NotFoundError as error:
                    found[name] = (
                        (Refused, (error.code, str(error), sorted(error.details))),
                        missing,
                    )
                savepoint.rollback()
        return found

    return ask


@pytest.mark.parametrize("user_id", REACHING)
def test_those_who_may_reach_it(answers, things, user_id):
    for name, (answer, missing) in answers(user_id, things).items():
        assert answer != missing, name
        assert not (isinstance(answer, tuple) and answer[0] is Refused), name


@pytest.mark.parametrize("user_id", NOT_REACHING)
def test_those_who_may_not_find_it_absent(answers, things, user_id):
    """The answer for "not theirs" is the answer for "not there", to the letter."""
    absent = answers(user_id, Things.absent())
    for name, (answer, missing) in answers(user_id, things).items():
        refused = isinstance(answer, tuple) and answer[0] is Refused
        assert refused if missing is Refused else answer == missing, name
        assert answer == absent[name][0], name


def test_an_access_ends_with_its_revocation(
    answers, things, homethrive_repositories, homethrive_factory
):
    access = homethrive_repositories.caregiver_access.find_active_access("approved", "owner")
    homethrive_repositories.caregiver_access.revoke("owner", access.id, DUE)
    for answer, missing in answers("approved", things).values():
        assert answer == missing or answer[0] is Refused


@pytest.mark.parametrize("user_id", [*REACHING, *NOT_REACHING])
def test_lists_and_batches_hold_to_it_too(homethrive_repositories, things, user_id):
    listed = homethrive_repositories.care_recipients.list_for_caregiver(user_id)
    assert (things.recipient in {one.id for one in listed}) is (user_id in REACHING)
    assert list(homethrive_repositories.care_recipients.iter_for_caregiver(user_id)) == listed
    (outcome,) = homethrive_repositories.doses_taken.mark_taken_many(
        [DoseReport(user_id, things.schedule, DUE, DUE)]
    )
    reached = outcome.status is not OutcomeStatus.NOT_FOUND
    assert reached is (user_id in REACHING)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_access_that_another_revokes_and_the_own_transaction_grants_anew_is_one(
    homethrive_committed_db, homethrive_committed_url, homethrive_committed_factory, level
):
    """The transaction sees both: the one as it was, since it began before, and its own."""
    factory, other = homethrive_committed_factory, create_db(homethrive_committed_url)
    owner, caregiver = factory.user("owner"), factory.user("caregiver")
    schedule = factory.schedule(factory.medication(profile := factory.own_profile(owner)))
    former = factory.caregiver_access(caregiver, owner)
    ours, theirs = Repositories(homethrive_committed_db), Repositories(other)
    with homethrive_committed_db.atomic(isolation_level=level):
        assert ours.care_recipients.find_by_id("caregiver", profile.id) is not None
        theirs.caregiver_access.revoke("owner", former.id, DUE)
        ours.caregiver_access.create(
            caregiver_user_id="caregiver",
            recipient_user_id="owner",
            status="approved",
            requested_at=DUE,
        )
        assert ours.care_recipients.find_by_id("caregiver", profile.id) is not None
        ours.doses_taken.mark_taken("caregiver", NewDoseTaken(schedule.id, DUE, DUE))
    other.close_all()
