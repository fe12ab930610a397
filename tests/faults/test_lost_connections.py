"""Connections that are lost: in the pool, while held, in a transaction, during COMMIT."""

import math
import os
import signal
import threading
import time

import pytest

from homethrive_db import (
    CommitUncertainError,
    Repositories,
    UnavailableError,
    transactions,
)
from tests.faults.conftest import DATABASE
from tests.faults.servers import halted
from tests.secrecy import shown
from tests.waiting import wait_until

WRITE = "INSERT INTO written VALUES (%s)"


def pid_of(db):
    return db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]


def terminate(server, pid):
    server.execute("SELECT pg_terminate_backend(%s)", pid)
    wait_until(lambda: pid not in server.backends(DATABASE))


def test_after_a_restart_the_next_call_succeeds_at_once(server, url, make_db):
    """Fault 1: the pool is idle, and no exception is seen."""
    db = make_db(url)
    users = Repositories(db).users
    users.upsert("user_1")
    server.restart()
    began = time.monotonic()
    assert users.find_by_clerk_user_id("user_1").clerk_user_id == "user_1"
    assert time.monotonic() - began < db.options.check_timeout
    assert db.stats().dropped == {"dead": 1}


@pytest.mark.parametrize("seconds", [math.inf, 30], ids=["no deadline", "deadline"])
def test_no_password_is_shown_where_a_lost_connection_cannot_be_replaced(server, make_db, seconds):
    """Not where it is lost, nor where the next call connects anew."""
    db = make_db(server.url(DATABASE).replace("postgres@", "postgres:s3cretpw@"))
    with db.connection_context(), db.deadline(seconds):
        server.stop()
        for reason in ("terminating|closed", "Connection refused"):
            with pytest.raises(UnavailableError, match=reason) as caught:
                Repositories(db).users.find_by_clerk_user_id("nobody")
            assert "s3cretpw" not in shown(caught.value)


@pytest.mark.parametrize("block", ["connection_context", "none"])
def test_a_held_connection_that_is_terminated_costs_one_error_at_most(server, url, make_db, block):
    """Fault 2."""
    db = make_db(url)
    users = Repositories(db).users
    if block == "none":
        with db.connection_context():
            pid = pid_of(db)
        terminate(server, pid)
        assert users.find_by_clerk_user_id("nobody") is None
        return
    with db.connection_context():
        terminate(server, pid_of(db))
        with pytest.raises(UnavailableError) as caught:
            users.find_by_clerk_user_id("nobody")
        assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)
        assert users.find_by_clerk_user_id("nobody") is None
    assert users.find_by_clerk_user_id("nobody") is None


def test_plain_peewee_in_a_block_goes_on_after_one_error(server, url, make_db):
    db = make_db(url)
    with db.connection_context():
        terminate(server, pid_of(db))
        with pytest.raises(UnavailableError) as caught:
            db.execute_sql("SELECT 1")
        assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", False)
        assert db.execute_sql("SELECT 1").fetchone() == (1,)


def test_a_lost_transaction_writes_nothing_and_says_so(server, url, make_db, written):
    """Fault 3: also to whoever goes on inside the block, and it leaves the pool clean."""
    db = make_db(url, max_connections=1)
    with pytest.raises(UnavailableError) as caught, db.atomic():
        db.execute_sql(WRITE, ("lost",))
        terminate(server, pid_of(db))
        with pytest.raises(UnavailableError):
            Repositories(db).users.find_by_clerk_user_id("nobody")
        Repositories(db).users.find_by_clerk_user_id("nobody")
    assert caught.value.retryable
    assert written() == []
    with db.atomic():
        db.execute_sql(WRITE, ("kept",))
    assert written() == ["kept"]
    assert db.stats().in_use == 0


def test_a_savepoint_of_a_lost_transaction_says_so_too(server, url, make_db):
    """In our error, though it is Peewee that sends it."""
    db = make_db(url)
    with pytest.raises(UnavailableError) as caught, db.atomic():
        terminate(server, pid_of(db))
        with db.atomic():
            pytest.fail("it was not to begin")
    assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)


def test_a_transaction_that_was_lost_unseen_does_not_commit(server, url, make_db, written):
    """Nor is it uncertain: the server has said that it ends before COMMIT is sent."""
    db = make_db(url)
    with pytest.raises(UnavailableError) as caught, db.atomic():
        db.execute_sql(WRITE, ("lost",))
        terminate(server, pid_of(db))
    assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)
    assert written() == []


def test_a_function_whose_transaction_was_lost_unseen_is_run_again(server, url, make_db, written):
    db = make_db(url)
    calls = []

    def write():
        calls.append(pid_of(db))
        db.execute_sql(WRITE, ("once",))
        if len(calls) == 1:
            terminate(server, calls[0])

    db.run(write)
    assert len(calls) == 2
    assert written() == ["once"]


def test_a_notice_before_commit_is_no_loss(url, make_db, written):
    db = make_db(url)
    with db.connection_context():
        db.execute_sql("LISTEN somebody")
        with db.atomic():
            db.execute_sql(WRITE, ("heard",))
            other = make_db(url)
            with other.connection_context():
                other.execute_sql("NOTIFY somebody")
    assert written() == ["heard"]


def test_a_transaction_whose_loss_was_caught_inside_it_does_not_commit(
    server, url, make_db, written
):
    """Least of all on the connection that would take the lost one's place."""
    for settle_commits in (False, True):
        db = make_db(url, settle_commits=settle_commits)
        with pytest.raises(UnavailableError) as caught, db.atomic():
            db.execute_sql(WRITE, ("lost",))
            terminate(server, pid_of(db))
            with pytest.raises(UnavailableError):
                Repositories(db).users.find_by_clerk_user_id("nobody")
        assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)
        assert written() == []


def test_what_goes_on_after_a_commit_that_was_rolled_back_is_not_written(
    server, url, make_db, written, monkeypatch
):
    """In the middle of a block: its rest has no transaction any more."""
    db = make_db(url, settle_commits=True)
    send = db.execute_sql

    def lose_commit(sql, params=None):
        if sql == "COMMIT":
            terminate(server, db.connection().info.backend_pid)
        return send(sql, params)

    monkeypatch.setattr(db, "execute_sql", lose_commit)
    with pytest.raises(UnavailableError), db.atomic() as transaction:
        db.execute_sql(WRITE, ("lost",))
        with pytest.raises(UnavailableError):
            transaction.commit()
        db.execute_sql(WRITE, ("on its own",))
    assert written() == []


@pytest.mark.parametrize("prepared", [False, True])
def test_a_server_that_stays_away_is_told_by_each_call_of_a_block(server, url, make_db, prepared):
    db = make_db(url, prepared=prepared)
    users = Repositories(db).users
    with db.connection_context():
        server.stop()
        for _ in range(3):
            with pytest.raises(UnavailableError):
                users.find_by_clerk_user_id("nobody")
        server.start()
        assert users.find_by_clerk_user_id("nobody") is None


def test_peewees_own_block_keeps_no_connection_where_it_does_not_begin(proxy, proxy_url, make_db):
    db = make_db(proxy_url)
    proxy.swallow_answer_to("BEGIN", times=2)
    with pytest.raises(UnavailableError), db:
        pytest.fail("it was not to begin")
    assert db.stats().in_use == 0


def test_the_deadline_also_ends_the_question_what_became_of_a_commit(url, make_db, monkeypatch):
    db = make_db(url, settle_commits=True)
    send, stopped = db.execute_sql, []

    def stop_at_commit(sql, params=None):
        if sql == "COMMIT":
            stopped.append(db.connection().info.backend_pid)
            os.kill(stopped[0], signal.SIGSTOP)
        return send(sql, params)

    monkeypatch.setattr(db, "execute_sql", stop_at_commit)
    began = time.monotonic()
    with pytest.raises(CommitUncertainError), db.deadline(1), db.atomic():
        send(WRITE, ("perhaps",))
    assert time.monotonic() - began < 6
    os.kill(stopped[0], signal.SIGCONT)


def test_a_lost_answer_to_commit_is_uncertain(proxy, proxy_url, make_db, written):
    """Fault 4: it is written, and nothing can know it."""
    db = make_db(proxy_url)
    with pytest.raises(CommitUncertainError) as caught, db.atomic():
        db.execute_sql(WRITE, ("once",))
        proxy.swallow_answer_to("COMMIT")
    assert (caught.value.code, caught.value.retryable) == ("COMMIT_UNCERTAIN", False)
    assert written() == ["once"]


def test_a_lost_answer_to_commit_is_settled_by_asking(proxy, proxy_url, make_db, written):
    """Fault 4, with ``settle_commits``."""
    db = make_db(proxy_url, settle_commits=True)
    with db.atomic():
        db.execute_sql(WRITE, ("once",))
        proxy.swallow_answer_to("COMMIT")
    assert written() == ["once"]
    assert db.run(lambda: db.execute_sql("SELECT 1").fetchone()) == (1,)


def test_a_commit_of_which_the_server_knows_nothing_stays_uncertain(
    proxy, proxy_url, make_db, monkeypatch
):
    """After a failover, say: an error is no answer."""
    db = make_db(proxy_url, settle_commits=True)
    monkeypatch.setattr(transactions, "_SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(db, "_transaction_id", lambda: "99999999999")
    with pytest.raises(CommitUncertainError), db.atomic():
        db.execute_sql(WRITE, ("perhaps",))
        proxy.swallow_answer_to("COMMIT")


def test_a_commit_in_the_middle_of_a_block_is_uncertain_too(proxy, proxy_url, make_db):
    db = make_db(proxy_url)
    with pytest.raises(CommitUncertainError), db.atomic() as transaction:
        db.execute_sql(WRITE, ("perhaps",))
        proxy.swallow_answer_to("COMMIT")
        transaction.commit()


def test_a_commit_that_did_not_arrive_is_settled_as_rolled_back(
    server, proxy, proxy_url, make_db, written, monkeypatch
):
    db = make_db(proxy_url, settle_commits=True)
    send = db.execute_sql

    def lose_commit(sql, params=None):
        if sql == "COMMIT":
            terminate(server, db.connection().info.backend_pid)
        return send(sql, params)

    monkeypatch.setattr(db, "execute_sql", lose_commit)
    with pytest.raises(UnavailableError) as caught, db.atomic():
        db.execute_sql(WRITE, ("lost",))
    assert caught.value.retryable
    assert not isinstance(caught.value, CommitUncertainError)
    assert written() == []


def test_chaos(server, url, make_db, written):
    """Fault 5: backends die all the while, and each transaction is written once."""
    db = make_db(url, max_connections=8, settle_commits=True)
    threads, rounds, errors, killed = 8, 200, [], []

    def work(number):
        for turn in range(rounds):
            if turn % 40 == 39:  # somebody else's, in whatever it does
                killed.append(server.terminate_one_backend(DATABASE))
            try:
                db.run(lambda row=f"{number}-{turn}": db.execute_sql(WRITE, (row,)))
            except Exception as error:  # noqa: BLE001
                errors.append(error)

    working = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    assert errors == []
    assert sorted(written()) == sorted(f"{n}-{t}" for n in range(threads) for t in range(rounds))
    assert sum(killed) >= 25
    assert db.stats().dropped["lost"] > 0


def test_a_begin_that_finds_its_connection_lost_is_sent_again(server, url, make_db, written):
    db = make_db(url)
    with db.connection_context():
        terminate(server, pid_of(db))
        with db.atomic():
            db.execute_sql(WRITE, ("kept",))
    assert written() == ["kept"]


def test_a_stopped_backend_is_found_in_time_and_delays_nobody_else(server, url, make_db):
    """Fault 9: the connection is idle in the pool."""
    db = make_db(url, check_after=0, check_timeout=3)
    returning = []
    with db.connection_context():
        pid = pid_of(db)
    checking = threading.Thread(target=db.connect)
    other = threading.Thread(target=lambda: returning.extend(return_one(db) for _ in range(3)))
    with halted(pid):
        began = time.monotonic()
        checking.start()
        wait_until(lambda: db.stats().in_use == 1)
        other.start()
        other.join()
        assert checking.is_alive()
        assert min(returning) < 0.5  # the best of them: the machine may be busy
        checking.join()
        assert time.monotonic() - began < 2 * 3
    assert db.stats().dropped["unresponsive"] == 1


def return_one(db):
    db.connect()
    began = time.monotonic()
    db.close()
    return time.monotonic() - began
