"""What ``atomic()`` promises beyond Peewee's own."""

import pytest

from homethrive_db import HomethriveDbError, NotFoundError


def test_commit_after_a_swallowed_error_is_refused(
    homethrive_committed_db, homethrive_committed_repositories
):
    """PostgreSQL turns that COMMIT into a ROLLBACK without a word; the caller must hear of it."""
    repositories = homethrive_committed_repositories
    with pytest.raises(HomethriveDbError) as caught, homethrive_committed_db.atomic():
        repositories.users.upsert("user_1")
        with pytest.raises(NotFoundError):
            repositories.care_recipients.create("nobody", display_name="Ana")
    assert caught.value.code == "TRANSACTION_ABORTED"
    assert repositories.users.find_by_clerk_user_id("user_1") is None


def test_an_error_inside_a_savepoint_leaves_the_rest(
    homethrive_committed_db, homethrive_committed_repositories
):
    """What may fail goes into a block of its own, as the message says."""
    repositories = homethrive_committed_repositories
    with homethrive_committed_db.atomic():
        repositories.users.upsert("user_1")
        with pytest.raises(NotFoundError), homethrive_committed_db.atomic():
            repositories.care_recipients.create("nobody", display_name="Ana")
    assert repositories.users.find_by_clerk_user_id("user_1") is not None


def test_a_statement_after_a_swallowed_error_says_what_happened(
    homethrive_committed_db, homethrive_committed_repositories
):
    users = homethrive_committed_repositories.users
    with pytest.raises(HomethriveDbError), homethrive_committed_db.atomic():
        with pytest.raises(NotFoundError):
            homethrive_committed_repositories.care_recipients.create("nobody", display_name="x")
        with pytest.raises(HomethriveDbError) as caught:
            users.find_by_clerk_user_id("user_1")
        assert caught.value.code == "TRANSACTION_ABORTED"


def test_a_session_of_peewees_is_a_transaction_until_it_ends(
    homethrive_committed_db, homethrive_committed_repositories
):
    db, users = homethrive_committed_db, homethrive_committed_repositories.users
    with db.connection_context():
        db.session_start()
        users.upsert("user_1")
        assert db.session_rollback()
        db.session_start()
        users.upsert("user_2")
        assert db.session_commit()
    found = [users.find_by_clerk_user_id(name) is not None for name in ("user_1", "user_2")]
    assert found == [False, True]
