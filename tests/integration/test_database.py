"""Connections: borrowed per call, kept by a block, bounded; and what a transaction promises."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from peewee import SQL, InterfaceError, Select

from homethrive_db import (
    ConfigurationError,
    Repositories,
    UnavailableError,
    ValidationError,
    check_connection,
    create_db,
    get_db,
    models,
    reset_db,
)
from homethrive_db.statements import param, statement

PID = statement(Select((), (SQL("pg_backend_pid()"),)))
NOBODY = "postgresql://someone:s3cr3t@localhost:1/nothing"


def backend(db):
    return db.first(PID, int)


def checked_out(db):
    return db.stats().in_use


@pytest.fixture
def db(homethrive_committed_url):
    """Give a pool of two that does not wait."""
    made = create_db(homethrive_committed_url, max_connections=2, pool_timeout=0)
    yield made
    made.close_all()


def test_a_call_borrows_a_connection_and_returns_it(db):
    assert backend(db) == backend(db)
    assert checked_out(db) == 0
    assert db.is_closed()


def test_a_call_that_fails_returns_it_too(db):
    with pytest.raises(ValidationError):
        Repositories(db).users.upsert("")
    with pytest.raises(ValidationError):
        db.first(statement(Select((), (param("x", "date"),))), str, x="nonsense")
    assert checked_out(db) == 0


def test_more_threads_than_connections_all_get_their_turn(homethrive_committed_url):
    made = create_db(homethrive_committed_url, max_connections=3)
    with ThreadPoolExecutor(10) as threads:
        backends = set(threads.map(lambda _: backend(made), range(50)))
    assert 1 <= len(backends) <= 3
    assert checked_out(made) == 0
    made.close_all()


def test_calls_that_fail_in_many_threads_leave_no_connection_behind(db):
    """Two connections, no waiting: a single one left behind would fail a later call."""
    fails = statement(Select((), (SQL("1 / 0"),)))
    for _ in range(5):
        with ThreadPoolExecutor(2) as threads:
            failed = [threads.submit(db.first, fails, int) for _ in range(2)]
        assert {type(one.exception()) for one in failed} == {ValidationError}
    assert checked_out(db) == 0
    assert backend(db)


def test_a_thread_that_ends_in_the_middle_of_a_block_has_returned_its_connection(db):
    def block():
        with db.atomic():
            backend(db)
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as threads:
        assert isinstance(threads.submit(block).exception(), ZeroDivisionError)
    assert checked_out(db) == 0


def test_a_connection_that_died_in_the_pool_is_replaced(db, homethrive_committed_url):
    """A server that restarts, or an administrator, ends connections that nobody is using."""
    died = backend(db)
    other = create_db(homethrive_committed_url)
    ended = statement(Select((), (SQL("pg_terminate_backend(%s, 5000)", (died,)),)))
    assert other.first(ended, bool)
    other.close_all()
    assert backend(db) != died
    assert checked_out(db) == 0


def test_a_block_keeps_one_connection(db):
    for block in (db.connection_context, db.atomic):
        with block():
            pid = backend(db)
            with ThreadPoolExecutor(1) as threads:
                other = threads.submit(backend, db).result()
            assert backend(db) == pid != other
            assert checked_out(db) == 1
        assert checked_out(db) == 0


def test_blocks_nest_in_one_connection(db):
    with db.connection_context(), db.atomic():
        pid = backend(db)
        with db.connection_context(), db.atomic():
            assert backend(db) == pid
        assert backend(db) == pid
    assert checked_out(db) == 0


def test_an_exception_rolls_back_and_returns_the_connection(db):
    users = Repositories(db).users
    with pytest.raises(ZeroDivisionError), db.atomic():
        users.upsert("user_1")
        raise ZeroDivisionError
    assert users.find_by_clerk_user_id("user_1") is None
    assert checked_out(db) == 0


def test_an_inner_block_is_a_savepoint(db):
    users = Repositories(db).users
    with db.atomic():
        users.upsert("outer")
        with pytest.raises(ZeroDivisionError), db.atomic():
            users.upsert("inner")
            raise ZeroDivisionError
    assert users.find_by_clerk_user_id("outer")
    assert users.find_by_clerk_user_id("inner") is None


def test_atomic_decorates_a_function_and_gives_peewees_transaction(db):
    users = Repositories(db).users

    @db.atomic()
    def add(user_id):
        users.upsert(user_id)
        return db.in_transaction()

    assert add("user_1")
    assert add("user_2")
    with db.atomic() as transaction:
        users.upsert("user_3")
        transaction.rollback()
    found = [users.find_by_clerk_user_id(f"user_{number}") for number in (1, 2, 3)]
    assert [one is not None for one in found] == [True, True, False]


def test_a_plain_query_without_a_block_says_which_to_use(db):
    with db.bind_ctx(models.MODELS):
        with pytest.raises(InterfaceError, match=r"db\.connection_context\(\).*db\.atomic\(\)"):
            models.User.select().count()
        with db.connection_context():
            assert models.User.select().count() == 0


def test_a_pool_in_use_makes_the_next_wait_and_then_give_up(homethrive_committed_url):
    made = create_db(homethrive_committed_url, max_connections=1, pool_timeout=1)
    held, release = threading.Event(), threading.Event()

    def hold():
        with made.connection_context():
            held.set()
            release.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with pytest.raises(UnavailableError) as caught:
        backend(made)
    assert (caught.value.code, caught.value.retryable) == ("POOL_EXHAUSTED", True)
    assert caught.value.details == {"max_connections": 1}
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(check_connection, made)
        release.set()
        assert waiting.exception() is None
    holder.join()
    made.close_all()


def test_a_pool_that_may_not_wait_gives_up_at_once(homethrive_committed_url):
    made = create_db(homethrive_committed_url, max_connections=1, pool_timeout=0)
    with made.connection_context(), ThreadPoolExecutor(1) as threads:
        refused = threads.submit(check_connection, made).exception()
    assert isinstance(refused, UnavailableError)
    assert refused.code == "POOL_EXHAUSTED"
    assert checked_out(made) == 0
    made.close_all()


def test_instants_come_back_in_utc_whatever_the_sessions_zone(homethrive_committed_url):
    made = create_db(homethrive_committed_url, options="-c timezone=Asia/Kathmandu")
    user = Repositories(made).users.upsert("user_1")
    assert user.created_at.tzinfo is dt.UTC
    assert abs(user.created_at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    made.close_all()


def test_the_process_has_one_database_until_it_is_reset(homethrive_committed_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", homethrive_committed_url)
    reset_db()
    first = get_db()
    assert get_db() is first
    check_connection()
    with first.atomic():
        assert models.User.select().count() == 0
    reset_db()
    assert get_db() is not first
    reset_db()
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigurationError):
        get_db()


def test_threads_that_ask_at_once_get_the_same_database(homethrive_committed_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", homethrive_committed_url)
    reset_db()
    together = threading.Barrier(16)

    def ask(_):
        together.wait()
        return get_db()

    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(ask, range(16)))) == 1
    reset_db()


def test_a_reset_closes_connections_in_use(homethrive_committed_url, monkeypatch):
    """A thread that is amid a transaction hears of it, and what it had done is gone."""
    monkeypatch.setenv("DATABASE_URL", homethrive_committed_url)
    reset_db()
    held, was_reset = threading.Event(), threading.Event()

    def add():
        with get_db().atomic():
            Repositories(get_db()).users.upsert("user_1")
            held.set()
            was_reset.wait()

    with ThreadPoolExecutor(1) as threads:
        adding = threads.submit(add)
        held.wait()
        reset_db()
        was_reset.set()
        assert isinstance(adding.exception(), UnavailableError)
    assert Repositories(get_db()).users.find_by_clerk_user_id("user_1") is None
    reset_db()


def test_a_reset_of_what_was_never_made_does_nothing():
    reset_db()
    reset_db()


def test_a_server_that_is_not_there_is_unavailable_and_may_be_tried_again():
    with pytest.raises(UnavailableError) as caught:
        check_connection(create_db(NOBODY))
    assert caught.value.retryable
    assert "s3cr3t" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_a_database_that_is_not_there_is_unavailable(homethrive_databases):
    missing = create_db(homethrive_databases.url_of("no_such_database"))
    with pytest.raises(UnavailableError, match="no_such_database"):
        check_connection(missing)


def test_a_keyword_that_libpq_does_not_know_is_a_wrong_setting():
    of_peewee = ("autoconnect", "stale_timeout", "thread_safe", "encoding", "dsn", "async_")
    for keyword in ("nonsense", "database", *of_peewee):
        with pytest.raises(ConfigurationError, match=f'"{keyword}" is no option'):
            create_db(NOBODY, **{keyword: "1"})


@pytest.mark.parametrize("level", ["serializable", "READ", 3, []])
def test_what_is_no_level_of_isolation_is_a_wrong_setting(level):
    with pytest.raises(ConfigurationError, match="isolation_level must be one of READ UNCOMM"):
        create_db(NOBODY, isolation_level=level)


def test_a_connection_context_inside_a_transaction_leaves_it_open(db):
    """As does Peewee's own ``with db:``; only the outermost block returns the connection."""
    users = Repositories(db).users
    with db.atomic():
        users.upsert("user_1")
        with db.connection_context(), db.bind_ctx(models.MODELS):
            assert models.User.select().count() == 1
        with db:
            users.upsert("user_2")
        assert users.find_by_clerk_user_id("user_1")
    assert checked_out(db) == 0


@pytest.mark.parametrize("encoding", ["latin1", "SQL_ASCII"])
def test_names_of_people_are_written_and_read_whatever_the_encoding_of_the_client(
    homethrive_committed_url, monkeypatch, encoding
):
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    for keywords in ({}, {"client_encoding": encoding}):
        db = create_db(homethrive_committed_url, **keywords)
        users = Repositories(db).users
        users.upsert("user_1", display_name="Ana \u674e \u20ac")
        assert users.find_by_clerk_user_id("user_1").display_name == "Ana \u674e \u20ac"
        db.close_all()
