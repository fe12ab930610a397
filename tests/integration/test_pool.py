"""How the pool keeps its connections, on a server in order."""

import logging
import re
import select
import threading
import time
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from homethrive_db import (
    ConfigurationError,
    Repositories,
    UnavailableError,
    ValidationError,
    create_db,
)
from homethrive_db.liveness import Liveness
from homethrive_db.observing import StatementEvent


@pytest.fixture
def make_db(homethrive_committed_url):
    """Give ``create_db`` for the test's database; what it made is closed with the test."""
    made = []

    def make(**options):
        made.append(create_db(homethrive_committed_url, **options))
        return made[-1]

    yield make
    for db in made:
        db.close_all()


def pid(db):
    with db.connection_context():
        return db.connection().info.backend_pid


@pytest.fixture
def later(monkeypatch):
    """Let so many seconds pass: on the clock of the machine, which runs on while it sleeps."""
    real = time.time

    def pass_by(seconds):
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return pass_by


def test_the_last_one_returned_is_the_first_one_taken(make_db):
    db = make_db()
    first = pid(db)
    assert [pid(db) for _ in range(3)] == [first] * 3
    assert db.stats().opened == 1


def test_an_old_one_is_replaced(make_db):
    db = make_db(max_lifetime=0)
    assert pid(db) != pid(db)
    assert db.stats().dropped == {"expired": 1}


def test_lifetimes_differ_so_that_they_do_not_end_at_once(make_db):
    db = make_db(max_lifetime=1000)
    ends = set()
    for _ in range(5):
        db.connect()
        ends.add(round(db._state.slot.expires_at - time.monotonic()))
        db.manual_close()
    assert len(ends) > 1
    assert all(900 <= end <= 1000 for end in ends)


def test_one_that_was_idle_for_long_is_closed(make_db, later):
    db = make_db(max_idle=600)
    first = pid(db)
    later(500)
    assert pid(db) == first
    later(1200)
    assert pid(db) != first
    assert db.stats().dropped == {"idle": 1}


@pytest.fixture
def questions(monkeypatch):
    """Count the questions whether a connection still answers."""
    asked = []
    answers = Liveness._answers

    def ask(liveness, connection, deadlines):
        asked.append(connection)
        return answers(liveness, connection, deadlines)

    monkeypatch.setattr(Liveness, "_answers", ask)
    return asked


def test_it_is_asked_only_after_it_was_idle(make_db, later, questions):
    db = make_db(check_after=30)
    first = pid(db)
    assert pid(db) == first
    assert questions == []
    later(31)
    assert pid(db) == first
    assert len(questions) == 1


def test_one_on_which_the_server_has_spoken_is_asked_and_kept(make_db, questions):
    """Of a setting that was changed, say; so it speaks before it closes one, too."""
    db = make_db()
    first = pid(db)
    db.connect()
    listener = db.connection()
    db.execute_sql("LISTEN anything")
    db.close()
    other = make_db()
    with other.connection_context():
        other.execute_sql("NOTIFY anything")
    assert select.select([listener], [], [], 30)[0]
    assert pid(db) == first
    assert len(questions) == 1


def test_after_a_thaw_of_aws_lambda_it_is_asked(make_db, questions, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1")
    db = make_db()
    first = pid(db)
    assert pid(db) == first
    assert questions == []
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=2")
    assert pid(db) == first
    assert len(questions) == 1


def test_in_aws_lambda_it_is_asked_each_time_where_no_invocation_has_a_name(
    make_db, questions, monkeypatch
):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    db = make_db()
    assert pid(db) == pid(db)
    assert len(questions) == 1


def test_a_connection_left_in_a_transaction_is_not_handed_on(make_db):
    db = make_db()
    with db.connection_context():
        db.execute_sql("BEGIN")
    with db.connection_context():
        assert db.execute_sql("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
    assert db.stats().dropped == {"unclean": 1}


def test_statistics_count(make_db):
    db = make_db(max_connections=3)
    with db.connection_context():
        stats = db.stats()
        assert (stats.size, stats.in_use, stats.idle, stats.waiting) == (3, 1, 0, 0)
    stats = db.stats()
    assert (stats.in_use, stats.idle, stats.opened, stats.wait_seconds) == (0, 1, 1, 0)
    db.close_idle()
    assert (db.stats().idle, db.stats().dropped) == (0, {"closed": 1})


def test_who_waits_is_counted(make_db):
    db = make_db(max_connections=1)
    db.connect()
    waiting = threading.Thread(target=pid, args=[db])
    waiting.start()
    while not db.stats().waiting:
        pass
    db.close()
    waiting.join()
    assert db.stats().waiting == 0
    assert db.stats().wait_seconds > 0


def test_connections_of_other_threads_can_be_ended(make_db):
    db = make_db()
    taken, ended, errors = threading.Event(), threading.Event(), []

    def hold():
        with db.connection_context():
            taken.set()
            ended.wait()
            try:
                Repositories(db).users.update_roles("x", is_recipient=True, is_caregiver=True)
            except Exception as error:  # noqa: BLE001
                errors.append(error)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    assert db.close_stale(age=60) == 0
    assert db.close_stale(age=0) == 1
    ended.set()
    holder.join()
    assert [error.code for error in errors] == ["CONNECTION_LOST"]


@pytest.mark.parametrize("option", ["max_lifetime", "max_idle", "check_after", "leak_after"])
def test_a_time_is_not_negative(make_db, option):
    with pytest.raises(ConfigurationError, match=f"{option} must be 0 or more"):
        make_db(**{option: -1})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_connections": "10"}, "max_connections must be 1 or more"),
        ({"max_connections": 2.5}, "max_connections must be 1 or more"),
        ({"pool_timeout": "30"}, "pool_timeout must be 0 or more"),
        ({"pool_timeout": None}, "pool_timeout must be 0 or more"),
        ({"call_timeout": float("nan")}, "call_timeout must be 0 or more"),
        ({"slow_after": "1"}, "slow_after must be 0 or more"),
        ({"proxy": "false"}, "proxy must be True or False"),
        ({"settle_commits": 0}, "settle_commits must be True or False"),
        ({"prepared": None}, "prepared must be True or False"),
        ({"credentials": {"user": "ana"}}, "credentials must be callable"),
        ({"on_statement": "print"}, "on_statement must be callable"),
    ],
)
def test_an_option_of_a_wrong_kind_is_refused_before_it_is_used(make_db, options, says):
    with pytest.raises(ConfigurationError, match=says):
        make_db(**options)


@pytest.mark.parametrize("seconds", [None, "5", True, float("nan")])
def test_what_is_no_number_of_seconds_is_no_deadline(make_db, seconds):
    db = make_db()
    with pytest.raises(ValidationError, match="seconds: a number"), db.deadline(seconds):
        pytest.fail("the block ran")
    with pytest.raises(ValidationError, match="patience: a number"):
        db.run(lambda: pytest.fail("the function ran"), patience=seconds)


def test_a_hook_hears_of_each_statement(make_db):
    heard = []
    db = make_db(on_statement=heard.append)
    users = Repositories(db).users
    users.upsert("user_1")
    users.find_by_clerk_user_id("nobody")
    with pytest.raises(Exception, match="no such user"):
        users.update_roles("nobody", is_recipient=True, is_caregiver=True)
    assert [(one.name, one.row_count, one.error) for one in heard] == [
        ("users.upsert", 1, None),
        ("users.find", 0, None),
        ("users.update_roles", 0, None),
    ]
    assert all(0 < one.seconds < 10 for one in heard)
    assert isinstance(heard[0], StatementEvent)


@pytest.mark.parametrize("change", ["approve_request", "accept_invite", "revoke"])
def test_changes_of_an_access_are_told_apart(make_db, change):
    heard = []
    repositories = Repositories(make_db(on_statement=heard.append))
    assert (
        getattr(repositories.caregiver_access, change)("user_1", uuid4(), datetime.now(UTC)) is None
    )
    assert [one.name for one in heard] == [
        f"access_states.{change}",
        f"access_states.explain_{change}",
    ]


def test_a_change_has_one_name_whatever_it_changes(make_db):
    heard = []
    repositories = Repositories(make_db(on_statement=heard.append))
    for changes in ({"dosage_notes": "x"}, {"end_date": date(2026, 3, 9)}):
        assert repositories.schedules.update("user_1", uuid4(), **changes) is None
    repositories.medications.update("user_1", uuid4(), name="x")
    names = [one.name for one in heard]
    assert names == ["schedule_changes.update", "schedule_changes.update", "medications.update"]


def test_a_hook_hears_of_errors_by_their_codes(make_db):
    heard = []
    db = make_db(on_statement=heard.append)
    recipients = Repositories(db).care_recipients
    with pytest.raises(Exception, match="no such user"):
        recipients.create("nobody", display_name="Ana")
    assert [one.error for one in heard] == ["USER_NOT_FOUND"]


def test_a_hook_that_fails_does_no_harm(make_db, caplog):
    def fail(event):
        raise ZeroDivisionError

    users = Repositories(make_db(on_statement=fail)).users
    assert users.upsert("user_1").clerk_user_id == "user_1"
    assert "the hook on_statement failed" in caplog.text


def test_slow_statements_are_logged_without_their_values(make_db, caplog):
    users = Repositories(make_db(slow_after=0)).users
    with caplog.at_level(logging.WARNING):
        users.upsert("user_1", email="somebody@example.org")
    (record,) = caplog.records
    assert record.name == "homethrive_db.observing"
    assert re.fullmatch(r"users\.upsert took \d+\.\d+ s for 1 rows", record.getMessage())
    assert "somebody" not in caplog.text
    with pytest.raises(ValidationError):
        users.upsert("")


def test_fast_statements_are_not(make_db, caplog):
    Repositories(make_db(slow_after=60)).users.upsert("user_1")
    assert not caplog.records


def test_the_stock_instrumentation_of_opentelemetry_works(make_db):
    from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = Psycopg2Instrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        db = make_db()
        users = Repositories(db).users
        with db.atomic():
            users.upsert("user_1")
        assert users.find_by_clerk_user_id("user_1").clerk_user_id == "user_1"
        with db.connection_context(), pytest.raises(UnavailableError), db.deadline(0.5):
            db.execute_sql("SELECT pg_sleep(60)")
    finally:
        instrumentor.uninstrument()
    names = [span.name for span in spans.get_finished_spans()]
    assert names == ["BEGIN", "INSERT", "COMMIT", "SELECT", "SELECT"]
