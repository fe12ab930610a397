"""Caregiver access: looked up by email, asked for, approved, revoked."""

import itertools
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from homethrive_db import AccessStatus, ConflictError, NotFoundError

AT = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
LATER = AT + timedelta(days=1)
REQUEST, INVITE, APPROVED, REVOKED = AccessStatus


@pytest.fixture
def accesses(homethrive_repositories, homethrive_factory):
    homethrive_factory.user("recipient", email="Rosa@Example.org", display_name="Rosa")
    homethrive_factory.user("caregiver", email="carl@example.org", display_name="Carl")
    return homethrive_repositories.caregiver_access


def create(accesses, status=REQUEST, **sides):
    return accesses.create(
        **{"caregiver_user_id": "caregiver", "recipient_user_id": "recipient", **sides},
        status=status,
        requested_at=AT,
    )


def test_an_email_is_looked_up_whatever_its_case(accesses):
    found = accesses.find_user_by_email("rosa@EXAMPLE.org")
    assert (found.clerk_user_id, found.email, found.display_name) == (
        "recipient",
        "Rosa@Example.org",
        "Rosa",
    )


@pytest.mark.parametrize("email", ["%", "r_sa@example.org", "rosa@example.org%", "rosa", "", " "])
def test_an_email_is_no_pattern(accesses, email):
    assert accesses.find_user_by_email(email) is None


def test_an_email_of_two_users_is_ambiguous(accesses, homethrive_factory):
    homethrive_factory.user("other", email="ROSA@example.org")
    with pytest.raises(ConflictError) as caught:
        accesses.find_user_by_email("rosa@example.org")
    assert caught.value.code == "AMBIGUOUS_EMAIL"
    assert "rosa" not in str(caught.value).lower()


@pytest.mark.parametrize("status", AccessStatus)
def test_an_access_is_created_in_any_state(accesses, status):
    access = create(accesses, str(status))
    assert access.status is status
    assert (access.requested_at, access.approved_at, access.revoked_at) == (AT, None, None)
    assert accesses.find_by_id(access.id) == accesses.find_by_id(str(access.id)) == access
    active = None if status is REVOKED else access
    assert accesses.find_active_access("caregiver", "recipient") == active
    assert accesses.find_active_access("recipient", "caregiver") is None
    assert accesses.has_approved_access("caregiver", "recipient") is (status is APPROVED)
    approved = ["recipient"] if status is APPROVED else []
    assert accesses.approved_recipient_user_ids("caregiver") == approved


def test_an_absent_access_is_not_found(accesses):
    assert accesses.find_by_id(uuid4()) is None
    assert accesses.update_status(uuid4(), APPROVED) is None
    assert accesses.approve_request("recipient", uuid4(), AT) is None
    assert accesses.accept_invite("caregiver", uuid4(), AT) is None
    assert accesses.revoke("caregiver", uuid4(), AT) is None


@pytest.mark.parametrize("first", [REQUEST, INVITE, APPROVED])
def test_a_second_active_access_is_refused_and_the_transaction_goes_on(accesses, first):
    access = create(accesses, first)
    for second in (REQUEST, INVITE, APPROVED):
        with pytest.raises(ConflictError) as caught:
            create(accesses, second)
        assert caught.value.code == "ACTIVE_ACCESS_EXISTS"
    assert accesses.find_active_access("caregiver", "recipient") == access


def test_after_a_revoked_access_a_new_one_may_be_asked_for(accesses):
    create(accesses, REVOKED)
    create(accesses, REVOKED)
    assert create(accesses, APPROVED).status is APPROVED


@pytest.mark.parametrize("side", ["caregiver_user_id", "recipient_user_id"])
def test_an_access_of_an_unknown_user_is_refused(accesses, side):
    with pytest.raises(NotFoundError) as caught, accesses._db.atomic():
        create(accesses, **{side: "nobody"})
    assert caught.value.code == "USER_NOT_FOUND"


LEGAL = {(REQUEST, APPROVED), (INVITE, APPROVED), (REQUEST, REVOKED), (INVITE, REVOKED),
         (APPROVED, REVOKED)}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), list(itertools.product(AccessStatus, AccessStatus)))
def test_only_legal_changes_of_state_are_made(accesses, old, new):
    access = create(accesses, old)
    if (old, new) in LEGAL:
        changed = accesses.update_status(access.id, str(new), approved_at=AT, revoked_at=LATER)
        assert (changed.status, changed.approved_at, changed.revoked_at) == (new, AT, LATER)
        assert changed == accesses.find_by_id(access.id)
    else:
        with pytest.raises(ConflictError) as caught:
            accesses.update_status(access.id, new)
        assert caught.value.code == "INVALID_ACCESS_STATE"
        assert accesses.find_by_id(access.id) == access


def test_instants_that_are_not_passed_stay(accesses):
    access = create(accesses)
    accesses.update_status(access.id, APPROVED, approved_at=AT)
    revoked = accesses.update_status(access.id, REVOKED, revoked_at=LATER)
    assert (revoked.approved_at, revoked.revoked_at) == (AT, LATER)


ACTING = {
    ("approve_request", "recipient", REQUEST): APPROVED,
    ("accept_invite", "caregiver", INVITE): APPROVED,
    **{
        ("revoke", side, status): REVOKED
        for side in ("recipient", "caregiver")
        for status in (REQUEST, INVITE, APPROVED)
    },
}
SIDES = {"approve_request": {"recipient"}, "accept_invite": {"caregiver"},
         "revoke": {"recipient", "caregiver"}}  # fmt: skip


@pytest.mark.parametrize("method", SIDES)
@pytest.mark.parametrize("user_id", ["recipient", "caregiver", "stranger"])
@pytest.mark.parametrize("status", AccessStatus)
def test_the_acting_user_is_checked_with_the_state(accesses, method, user_id, status):
    access = create(accesses, status)
    act = getattr(accesses, method)
    wanted = ACTING.get((method, user_id, status))
    if user_id not in SIDES[method]:
        assert act(user_id, access.id, LATER) is None
    elif wanted is None:
        with pytest.raises(ConflictError) as caught:
            act(user_id, access.id, LATER)
        assert caught.value.code == "INVALID_ACCESS_STATE"
    else:
        changed = act(user_id, access.id, LATER)
        assert changed.status is wanted
        at = changed.approved_at if wanted is APPROVED else changed.revoked_at
        assert at == LATER
    if wanted is None:
        assert accesses.find_by_id(access.id) == access


def test_each_side_sees_the_other(accesses, homethrive_factory, homethrive_repositories):
    access = create(accesses, APPROVED)
    (caregiver,) = accesses.list_caregivers_for_recipient("recipient")
    assert caregiver.id == access.id
    assert (caregiver.caregiver_display_name, caregiver.caregiver_email) == (
        "Carl",
        "carl@example.org",
    )
    assert (caregiver.recipient_display_name, caregiver.recipient_email) == (None, None)
    assert (caregiver.recipient_care_recipient_id, caregiver.recipient_timezone) == (None, None)

    (recipient,) = accesses.list_recipients_for_caregiver("caregiver")
    assert (recipient.recipient_display_name, recipient.recipient_care_recipient_id) == (None, None)
    own = homethrive_repositories.care_recipients.find_or_create_own_profile("recipient", "Rosie")
    (recipient,) = accesses.list_recipients_for_caregiver("caregiver")
    assert recipient.recipient_display_name == "Rosie"
    assert recipient.recipient_email == "Rosa@Example.org"
    assert recipient.recipient_care_recipient_id == own.id
    assert recipient.recipient_timezone == "America/New_York"
    assert (recipient.caregiver_display_name, recipient.caregiver_email) == (None, None)


def test_a_caregivers_name_is_the_profiles_then_the_users_then_the_email(
    accesses, homethrive_repositories
):
    create(accesses)
    users = homethrive_repositories.users

    def shown():
        return accesses.list_caregivers_for_recipient("recipient")[0].caregiver_display_name

    users.upsert("caregiver", display_name=None)
    assert shown() == "carl@example.org"
    users.upsert("caregiver", display_name="Carl")
    assert shown() == "Carl"
    homethrive_repositories.care_recipients.find_or_create_own_profile("caregiver", "Carlo")
    assert shown() == "Carlo"


def test_lists_leave_out_the_revoked_and_are_oldest_first(accesses, homethrive_factory):
    create(accesses, REVOKED)
    users = [homethrive_factory.user() for _ in range(3)]
    made = [create(accesses, caregiver_user_id=one.clerk_user_id).id for one in users]
    assert [one.id for one in accesses.list_caregivers_for_recipient("recipient")] == made
    made = [create(accesses, APPROVED, recipient_user_id=one.clerk_user_id).id for one in users]
    assert [one.id for one in accesses.list_recipients_for_caregiver("caregiver")] == made
    assert accesses.approved_recipient_user_ids("caregiver") == [one.clerk_user_id for one in users]
