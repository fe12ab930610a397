"""Users: created and updated by one statement, onboarded once and again."""

import random
import string

import pytest

from homethrive_db import NotFoundError, ValidationError

ONBOARDING = {
    "display_name": "Ana",
    "timezone": "Europe/London",
    "is_recipient": True,
    "is_caregiver": False,
}


@pytest.fixture
def users(homethrive_repositories):
    return homethrive_repositories.users


def test_a_new_user_has_what_was_passed_and_nothing_else(users):
    user = users.upsert("user_1", email="ana@example.org")
    assert user == users.find_by_clerk_user_id("user_1")
    assert (user.email, user.display_name, user.image_url, user.timezone) == (
        "ana@example.org",
        None,
        None,
        None,
    )
    assert {user.is_recipient, user.is_caregiver, user.has_completed_onboarding} == {False}
    assert user.created_at == user.updated_at


def test_an_upsert_leaves_what_is_not_passed_and_clears_what_is_none(users):
    first = users.upsert("user_1", email="ana@example.org", display_name="Ana", image_url="i")
    again = users.upsert("user_1", display_name=None)
    assert (again.email, again.display_name, again.image_url) == ("ana@example.org", None, "i")
    assert again.created_at == first.created_at
    assert again.updated_at > first.updated_at


def test_an_upsert_of_nothing_creates_or_keeps_the_user(users):
    first = users.upsert("user_1")
    assert users.upsert("user_1").created_at == first.created_at


def test_a_user_who_is_not_there_is_not_found(users):
    assert users.find_by_clerk_user_id("nobody") is None


def test_onboarding_is_stored_and_may_be_repeated(users):
    users.upsert("user_1", email="ana@example.org")
    user = users.complete_onboarding("user_1", **ONBOARDING)
    assert user == users.find_by_clerk_user_id("user_1")
    assert user.has_completed_onboarding
    assert {name: getattr(user, name) for name in ONBOARDING} == ONBOARDING
    assert user.email == "ana@example.org"
    again = users.complete_onboarding("user_1", **{**ONBOARDING, "timezone": "CET"})
    assert (again.timezone, again.created_at) == ("Europe/Brussels", user.created_at)


def test_roles_change_without_touching_the_rest(users):
    users.upsert("user_1", display_name="Ana")
    user = users.update_roles("user_1", is_recipient=False, is_caregiver=True)
    assert (user.is_recipient, user.is_caregiver) == (False, True)
    assert user.display_name == "Ana"
    assert not user.has_completed_onboarding


def test_onboarding_and_roles_of_an_absent_user_are_refused(users):
    for call in (
        lambda: users.complete_onboarding("nobody", **ONBOARDING),
        lambda: users.update_roles("nobody", is_recipient=True, is_caregiver=True),
    ):
        with pytest.raises(NotFoundError) as caught:
            call()
        assert caught.value.code == "USER_NOT_FOUND"


@pytest.mark.parametrize("field", ["clerk_user_id", "email"])
def test_text_that_no_index_holds_is_refused_as_a_value(users, field):
    """PostgreSQL compresses it first, so that no length says which: random text is not shorter."""
    too_long = "".join(random.Random(0).choices(string.ascii_letters, k=10_000))
    with pytest.raises(ValidationError) as caught:
        users.upsert(**{"clerk_user_id": "user_1", field: too_long})
    assert caught.value.details["sqlstate"] == "54000"
    assert too_long not in str(caught.value)
