"""Direct mode: statements that are prepared, which nobody can tell but by the clock."""

from datetime import UTC, datetime, timedelta

import psycopg2.extensions
import pytest

from homethrive_db import (
    ConfigurationError,
    DoseReport,
    HomethriveDbError,
    NotFoundError,
    Repositories,
    UnavailableError,
    create_db,
)
from homethrive_db.testing.factories import Factory

NOON = datetime(2025, 3, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def sent():
    """Record the first word of what is sent."""
    return []


@pytest.fixture
def db(homethrive_committed_url, sent):
    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query, values=None):
            sent.append(query.split()[0])
            return super().execute(query, values)

    made = create_db(homethrive_committed_url, prepared=True, cursor_factory=Cursor)
    yield made
    made.close_all()


@pytest.fixture
def users(db):
    return Repositories(db).users


def test_a_statement_is_prepared_once_per_connection(db, users, sent):
    users.upsert("user_1")
    for _ in range(3):
        assert users.find_by_clerk_user_id("user_1").clerk_user_id == "user_1"
    assert sent == ["PREPARE", "PREPARE", "EXECUTE", "EXECUTE"]
    db.close_idle()
    del sent[:]
    with db.connection_context():
        users.find_by_clerk_user_id("user_1")
    users.find_by_clerk_user_id("user_1")
    assert sent == ["PREPARE", "EXECUTE"]


def test_doses_are_listed_and_settled_by_prepared_statements(db, sent):
    """Of a dose with two instants, so that the lock is among them."""
    repositories = Repositories(db)
    factory = Factory(repositories)
    profile = factory.own_profile(factory.user("user_1"), timezone="Europe/London")
    factory.schedule(factory.medication(profile))
    del sent[:]
    for _ in range(2):
        listed = repositories.doses.list_upcoming("user_1", profile.id)
        for call in (repositories.doses.record, repositories.doses.undo, repositories.doses.skip):
            settled = call("user_1", listed[0].dose_id)
            assert repositories.doses.list_upcoming("user_1", profile.id)[0] == settled
        repositories.doses.undo("user_1", listed[0].dose_id)
    assert {*sent} == {"BEGIN", "PREPARE", "EXECUTE", "COMMIT"}


def test_a_plan_is_kept_from_the_first_use_on(db):
    """Also for a schedule without doses, of which planning anew would know."""
    factory = Factory(Repositories(db))
    for _ in range(20):
        factory.dose_taken()
    none, user_id = factory.schedule(), "user_1"
    with db.connection_context():
        db.execute_sql("ANALYZE")
        for _ in range(7):
            Repositories(db).doses_taken.taken_map(user_id, [none.id], NOON, NOON + DAY)
        kept, anew = db.execute_sql(
            "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
        ).fetchone()
    assert kept > 27
    assert anew == 0


def test_a_batch_of_many_is_planned_for_how_many_they_are(db, sent):
    """A prepared statement takes an array for short: with 5,000 doses it took six times as long."""
    repositories = Repositories(db)
    schedule = Factory(repositories).schedule()
    few, many = (
        [DoseReport("user_1", schedule.id, NOON + number * DAY, NOON) for number in range(count)]
        for count in (20, 2_000)
    )
    for reports, expected in ((few, ["PREPARE"]), (many, ["WITH"]), (few, ["EXECUTE"])):
        del sent[:]
        outcomes = list(repositories.doses_taken.mark_taken_many(reports))
        assert len(outcomes) == len(reports)
        assert sent == expected


def test_what_returns_nothing_tells_how_much_it_wrote(db, sent):
    doses = Repositories(db).doses_taken
    dose = Factory(Repositories(db)).dose_taken()
    key = (dose.taken_by_user_id, dose.schedule_id, dose.scheduled_for)
    del sent[:]
    assert [doses.unmark_taken(*key) for _ in range(2)] == [True, False]
    assert sent == ["PREPARE", "EXECUTE"]


def test_a_connection_that_was_lost_is_prepared_anew(db, users, sent, homethrive_committed_db):
    users.find_by_clerk_user_id("user_1")
    with db.connection_context():
        pid = db.connection().info.backend_pid
    with homethrive_committed_db.connection_context():
        homethrive_committed_db.execute_sql("SELECT pg_terminate_backend(%s, 10000)", (pid,))
    del sent[:]
    assert users.find_by_clerk_user_id("user_1") is None
    assert sent[-1] == "PREPARE"


CHANGE = "ALTER TABLE users ALTER COLUMN display_name TYPE varchar(200)"


def test_a_change_of_the_schema_is_not_noticed(db, users, sent):
    """But for "cached plan must not change result type"."""
    users.upsert("user_1", display_name="Ana")
    users.find_by_clerk_user_id("user_1")
    with db.atomic():
        db.execute_sql(CHANGE)
    del sent[:]
    assert users.find_by_clerk_user_id("user_1").display_name == "Ana"
    assert sent == ["EXECUTE", "PREPARE"]
    assert users.find_by_clerk_user_id("user_1").display_name == "Ana"


def test_inside_a_transaction_it_is_to_be_repeated(db, users):
    users.find_by_clerk_user_id("user_1")
    with db.atomic():
        db.execute_sql(CHANGE)
    with pytest.raises(UnavailableError) as caught, db.atomic():
        users.find_by_clerk_user_id("user_1")
    assert (caught.value.code, caught.value.retryable) == ("SCHEMA_CHANGED", True)
    with db.atomic():
        assert users.find_by_clerk_user_id("user_1") is None
    with db.atomic():
        db.execute_sql("ALTER TABLE users ALTER COLUMN display_name TYPE text")
    assert db.run(lambda: users.find_by_clerk_user_id("user_1")) is None


def test_somebody_who_deallocates_is_borne(db, users):
    users.find_by_clerk_user_id("user_1")
    with db.connection_context():
        db.execute_sql("DISCARD ALL")
        assert users.find_by_clerk_user_id("user_1") is None


def test_a_first_use_that_fails_does_not_spoil_the_next(db):
    """There the statement is prepared, and only not executed."""
    recipients = Repositories(db).care_recipients
    for _ in range(2):
        with pytest.raises(NotFoundError):
            recipients.create("nobody", display_name="Ana")
    Repositories(db).users.upsert("user_1")
    assert recipients.create("user_1", display_name="Ana").display_name == "Ana"


def test_a_signal_before_it_is_sent_does_not_spoil_the_next(homethrive_committed_url):
    """Whether the handler raises, or uses the same statement: to neither it is prepared."""
    handlers = []

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query, values=None):
            if "EXECUTE" in query and handlers:
                handlers.pop()()
            return super().execute(query, values)

    def interrupt():
        raise KeyboardInterrupt

    db = create_db(homethrive_committed_url, prepared=True, cursor_factory=Cursor)
    users = Repositories(db).users
    with db.connection_context():
        handlers.append(interrupt)
        with pytest.raises(KeyboardInterrupt):
            users.find_by_clerk_user_id("user_1")
        with db.atomic():
            assert users.find_by_clerk_user_id("user_1") is None
        handlers.append(lambda: users.upsert("user_1"))
        with db.atomic():
            assert users.upsert("user_1").clerk_user_id == "user_1"
    db.close_all()


def test_it_works_after_a_failed_transaction(db, users):
    with pytest.raises(ZeroDivisionError), db.atomic():
        users.upsert("user_1")
        raise ZeroDivisionError
    assert users.find_by_clerk_user_id("user_1") is None
    with db.atomic():
        with pytest.raises(NotFoundError), db.atomic():
            Repositories(db).care_recipients.create("nobody", display_name="Ana")
        users.upsert("user_1")
    with pytest.raises(HomethriveDbError) as caught, db.atomic():
        with pytest.raises(NotFoundError):
            Repositories(db).care_recipients.create("nobody", display_name="Ana")
        users.find_by_clerk_user_id("user_1")
    assert caught.value.code == "TRANSACTION_ABORTED"
    assert users.find_by_clerk_user_id("user_1").clerk_user_id == "user_1"


def test_it_is_refused_behind_a_proxy():
    with pytest.raises(ConfigurationError, match="prepared"):
        create_db("postgresql://db.example/x", prepared=True, proxy=True)
