"""What the server refuses arrives as our error, and never with a value of a row in it."""

import traceback

import psycopg2
import pytest

from homethrive_db import (
    ConflictError,
    HomethriveDbError,
    MigrationError,
    NotFoundError,
    Repositories,
    UnavailableError,
    ValidationError,
    create_db,
)
from homethrive_db.errors import Translation

SECRET = "takes-sertraline"


def raised_by(db, sql):
    """Run *sql* as a repository would, and give the error."""
    with pytest.raises(HomethriveDbError) as caught, db.atomic(), Translation():
        db.execute_sql(sql)
    return caught.value


USER = f"INSERT INTO users (clerk_user_id) VALUES ('{SECRET}')"
RECIPIENT = f"INSERT INTO care_recipients (user_id, display_name) VALUES ('{SECRET}', 'x')"


@pytest.mark.parametrize(
    ("sql", "kind", "details"),
    [
        (f"{USER}; {USER}", ConflictError, {"sqlstate": "23505", "constraint": "users_pkey"}),
        (
            RECIPIENT,
            NotFoundError,
            {
                "sqlstate": "23503",
                "constraint": "care_recipients_user_id_users_clerk_user_id_fk",
            },
        ),
        (
            f"INSERT INTO care_recipients (timezone) VALUES ('{SECRET}')",
            ValidationError,
            {"sqlstate": "23502"},
        ),
        (f"SELECT '{SECRET}'::uuid", ValidationError, {"sqlstate": "22P02"}),
        (f"SELECT '{SECRET}', * FROM nowhere", MigrationError, {"sqlstate": "42P01"}),
        (f"SELECT '{SECRET}' FROM users WHERE", HomethriveDbError, {"sqlstate": "42601"}),
    ],
)
def test_an_error_that_quotes_values_is_cut_off_from_the_drivers(
    homethrive_committed_db, sql, kind, details
):
    """Neither the error nor the traceback that a log would print holds a value."""
    error = raised_by(homethrive_committed_db, sql)
    assert type(error) is kind
    assert error.details == details
    assert error.__cause__ is None
    assert error.__context__ is None
    printed = "".join(traceback.format_exception(error, limit=0))
    assert SECRET not in printed + repr(error)


def test_an_error_without_values_keeps_its_cause(homethrive_committed_db):
    error = raised_by(
        homethrive_committed_db,
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$",
    )
    assert isinstance(error, UnavailableError)
    assert (error.code, error.retryable) == ("SERIALIZATION_FAILURE", True)
    assert isinstance(error.__cause__, psycopg2.Error)


@pytest.mark.parametrize("state", ["53300", "57P01", "57014", "58030", "08006"])
def test_a_server_that_cannot_serve_is_unavailable(homethrive_committed_db, state):
    error = raised_by(
        homethrive_committed_db,
        f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$",
    )
    assert isinstance(error, UnavailableError)
    assert error.details == {"sqlstate": state}


def test_a_deadlock_says_that_nothing_was_written(homethrive_committed_db):
    error = raised_by(
        homethrive_committed_db,
        "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END $$",
    )
    assert (error.code, error.retryable) == ("DEADLOCK", True)


def test_missing_tables_say_to_migrate(homethrive_databases):
    db = create_db(homethrive_databases.server_url)
    with pytest.raises(MigrationError, match="homethrive-db migrate") as caught:
        Repositories(db).users.find_by_clerk_user_id("user_1")
    assert caught.value.code == "SCHEMA_OUTDATED"
    db.close_all()


def test_an_error_of_the_callers_own_passes_unchanged(homethrive_db):
    with pytest.raises(ZeroDivisionError), homethrive_db.atomic(), Translation():
        raise ZeroDivisionError


@pytest.mark.parametrize(("in_block", "retryable"), [(True, True), (False, False)])
def test_a_lost_connection_is_retryable_only_where_nothing_can_be_written(
    homethrive_committed_db, homethrive_committed_url, in_block, retryable
):
    """Outside of a transaction the statement may have taken effect."""
    db = homethrive_committed_db
    users = Repositories(db).users
    with psycopg2.connect(homethrive_committed_url) as other, db.connection_context():
        mine = db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]

        def lose():
            other.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", (mine,))
            users.upsert("user_1")

        with pytest.raises(UnavailableError) as caught:
            if in_block:
                with db.atomic():
                    lose()
            else:
                lose()
    other.close()
    assert caught.value.retryable is retryable
    assert users.find_by_clerk_user_id("user_1") is None
