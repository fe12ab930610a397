"""Care recipients: profiles of one's own, and of those who do not sign in."""

import pytest

from homethrive_db import NotFoundError


@pytest.fixture
def recipients(homethrive_repositories):
    return homethrive_repositories.care_recipients


@pytest.fixture
def user(homethrive_factory):
    return homethrive_factory.user("user_1")


def test_a_profile_of_another_has_a_creator_and_no_user(recipients, user):
    recipient = recipients.create("user_1", display_name="Grandma", timezone="Asia/Kathmandu")
    assert (recipient.user_id, recipient.created_by_user_id) == (None, "user_1")
    assert (recipient.display_name, recipient.timezone) == ("Grandma", "Asia/Kathmandu")
    assert recipients.find_by_id("user_1", recipient.id) == recipient
    assert recipients.find_by_id("user_1", str(recipient.id)) == recipient
    assert recipients.find_by_user_id("user_1") is None


def test_a_profile_is_in_new_york_unless_told_otherwise(recipients, user):
    assert recipients.create("user_1", display_name="x").timezone == "America/New_York"
    assert recipients.find_or_create_own_profile("user_1", "x").timezone == "America/New_York"


def test_the_own_profile_is_made_once(recipients, user):
    made = recipients.find_or_create_own_profile("user_1", "Ana")
    assert (made.user_id, made.created_by_user_id, made.display_name) == ("user_1", "user_1", "Ana")
    assert recipients.find_or_create_own_profile("user_1", "Another") == made
    assert recipients.find_by_user_id("user_1") == made


def test_a_missing_creator_of_the_own_profile_is_filled_in(recipients, user, homethrive_db):
    made = recipients.find_or_create_own_profile("user_1", "Ana")
    homethrive_db.execute_sql("UPDATE care_recipients SET created_by_user_id = NULL")
    filled = recipients.find_or_create_own_profile("user_1", "Another")
    assert filled.created_by_user_id == "user_1"
    assert (filled.id, filled.display_name) == (made.id, "Ana")
    assert recipients.find_by_user_id("user_1") == filled


def test_another_creator_of_the_own_profile_is_kept(
    recipients, user, homethrive_db, homethrive_factory
):
    homethrive_factory.user("user_2")
    recipients.find_or_create_own_profile("user_1", "Ana")
    homethrive_db.execute_sql("UPDATE care_recipients SET created_by_user_id = 'user_2'")
    assert recipients.find_or_create_own_profile("user_1", "x").created_by_user_id == "user_2"


def test_profiles_are_listed_oldest_first(recipients, homethrive_factory):
    caregiver = homethrive_factory.user("user_1")
    made = [homethrive_factory.care_recipient(caregiver) for _ in range(3)]
    made.append(recipients.find_or_create_own_profile("user_1", "Ana"))
    assert recipients.list_for_caregiver("user_1") == made
    assert recipients.list_for_caregiver("nobody") == []


def test_only_what_is_passed_changes(recipients, user):
    recipient = recipients.create("user_1", display_name="Grandma", timezone="Asia/Tokyo")
    renamed = recipients.update("user_1", recipient.id, display_name="Nana")
    assert (renamed.display_name, renamed.timezone) == ("Nana", "Asia/Tokyo")
    assert renamed.updated_at > recipient.updated_at
    moved = recipients.update("user_1", recipient.id, timezone="UTC")
    assert (moved.display_name, moved.timezone) == ("Nana", "UTC")
    assert recipients.update("user_1", recipient.id) == moved


def test_an_unknown_user_creates_nothing(recipients):
    for call in (
        lambda: recipients.create("nobody", display_name="x"),
        lambda: recipients.find_or_create_own_profile("nobody", "x"),
    ):
        with pytest.raises(NotFoundError) as caught, recipients._db.atomic():
            call()
        assert caught.value.code == "USER_NOT_FOUND"
