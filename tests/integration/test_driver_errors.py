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
SCHEDULE = (
    "INSERT INTO medication_schedules"
    " (medication_id, recurrence, time_of_day, start_date, created_by_user_id)"
    f" VALUES (gen_random_uuid(), 'daily', '{SECRET}', '2025-01-01', '{SECRET}')"
)


@pytest.mark.parametrize(
    ("sql", "kind", "details"),
    [
        (f"{USER}; {USER}", ConflictError, {"sqlstate": "23505", "constraint": "users_pkey"}),
        (
            SCHEDULE,
            ValidationError,
            {"sqlstate": "23514", "constraint": "medication_schedules_time_of_day_format"},
        ),
        (f"SELECT 99999::smallint, '{SECRET}'", ValidationError, {"sqlstate": "22003"}),
        (f"SELECT '{SECRET}'::recurrence_type_enum", ValidationError, {"sqlstate": "22P02"}),
        (f"SELECT '{SECRET}', no_column FROM users", MigrationError, {"sqlstate": "42703"}),
        (f"SELECT '{SECRET}'::no_type", MigrationError, {"sqlstate": "42704"}),
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


def test_a_repositorys_own_call_is_cut_off_too(homethrive_committed_db):
    """Amid an exception of the caller's, which stays out of the chain as well."""
    recipients = Repositories(homethrive_committed_db).care_recipients
    try:
        raise KeyError(SECRET)
    except KeyError:
        with pytest.raises(NotFoundError) as caught, homethrive_committed_db.atomic():
            recipients.create("nobody", display_name=SECRET)
    assert caught.value.code == "USER_NOT_FOUND"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize(
    "change",
    [
        "start_date = '20250-01-01'",
        "end_date = '20250-01-01'",
        "start_date = '0044-03-15 BC'",
        "created_at = '20250-01-01'",
        "updated_at = '9999-12-31 23:30-05'",
    ],
)
@pytest.mark.parametrize("options", [{}, {"prepared": True}, {"slow_after": 60}])
def test_a_stored_date_that_python_has_not_is_our_error(
    homethrive_committed_factory, homethrive_committed_url, change, options
):
    """And the connection stays as good as it was, inside a transaction too."""
    factory = homethrive_committed_factory
    schedule = factory.schedule(factory.medication(factory.own_profile(factory.user("user_1"))))
    db = create_db(homethrive_committed_url, **options)
    schedules = Repositories(db).schedules
    with db.atomic():
        db.execute_sql("SET LOCAL TimeZone = 'America/New_York'")
        db.execute_sql(f"UPDATE medication_schedules SET {change}")
        for read in (
            lambda: schedules.find_by_id("user_1", schedule.id),
            lambda: schedules.list_by_medication("user_1", schedule.medication_id),
        ):
            with pytest.raises(ConflictError) as caught:
                read()
            assert (caught.value.code, dict(caught.value.details)) == ("BROKEN_ROW", {})
            assert caught.value.__cause__ is caught.value.__context__ is None
        mended = schedule.start_date, schedule.created_at, schedule.created_at
        mend = "UPDATE medication_schedules SET start_date = %s, created_at = %s, updated_at = %s"
        db.execute_sql(f"{mend}, end_date = NULL", mended)
        assert schedules.find_by_id("user_1", schedule.id)
    assert db.stats().opened == 1
    db.close_all()


def test_a_missing_row_that_is_no_user_is_not_found_either(homethrive_committed_db):
    error = raised_by(
        homethrive_committed_db,
        f"{USER}; INSERT INTO medications (recipient_id, name, created_by_user_id)"
        f" VALUES (gen_random_uuid(), '{SECRET}', '{SECRET}')",
    )
    assert isinstance(error, NotFoundError)
    assert error.code == "NOT_FOUND"
    assert error.details["constraint"] == "medications_recipient_id_care_recipients_id_fk"
    assert SECRET not in "".join(traceback.format_exception(error, limit=0))


def test_two_transactions_in_each_others_way_may_be_tried_again(
    homethrive_committed_db, homethrive_committed_url
):
    """The second to write a row that both have read, as the server itself says it."""
    users, other = Repositories(homethrive_committed_db).users, create_db(homethrive_committed_url)
    users.upsert("user_1", display_name="Ana")
    with (
        pytest.raises(UnavailableError) as caught,
        homethrive_committed_db.atomic(isolation_level="repeatable read"),
    ):
        users.find_by_clerk_user_id("user_1")
        Repositories(other).users.upsert("user_1", display_name="Eva")
        users.upsert("user_1", display_name="Mia")
    other.close_all()
    assert (caught.value.code, caught.value.retryable) == ("SERIALIZATION_FAILURE", True)
    assert users.find_by_clerk_user_id("user_1").display_name == "Eva"


@pytest.mark.parametrize(
    ("sql", "kind", "state"),
    [
        ("SET LOCAL statement_timeout = 20; SELECT pg_sleep(30)", UnavailableError, "57014"),
        (f"SET TRANSACTION READ ONLY; {USER}", UnavailableError, "25006"),
        ("DO $$ BEGIN RAISE EXCEPTION 'no'; END $$", HomethriveDbError, "P0001"),
    ],
)
def test_what_the_server_refuses_for_another_reason_keeps_its_cause(
    homethrive_committed_db, sql, kind, state
):
    error = raised_by(homethrive_committed_db, sql)
    assert type(error) is kind
    assert error.details == {"sqlstate": state}
    assert error.__cause__.pgcode == state


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
