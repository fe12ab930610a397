"""Passwords that change, and servers that let nobody in for a while."""

import json
import os
import signal
import threading
import time

import psycopg2
import pytest

from homethrive_db import Repositories, UnavailableError, aws
from tests.faults.conftest import DATABASE
from tests.faults.servers import running
from tests.secrecy import shown
from tests.waiting import wait_until

ROLE = "rotating"


@pytest.fixture
def guarded(server):
    """Let one user in by password only; give what sets it."""
    rules = server.folder / "data/pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n{before}")
    server.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER PASSWORD 'first'")
    server.execute("SELECT pg_reload_conf()")
    yield lambda password: server.execute(f"ALTER ROLE {ROLE} PASSWORD %s", password)
    rules.write_text(before)
    server.execute("SELECT pg_reload_conf()")
    server.terminate_backends(DATABASE)
    server.execute(f"DROP ROLE {ROLE}")


class Provider:
    """A store of a password, that remembers it until it is told to look again."""

    def __init__(self, password):
        self.stored = self._known = password
        self.calls = []

    def __call__(self, *, refresh):
        self.calls.append(refresh)
        if refresh:
            self._known = self.stored
        return {"user": ROLE, "password": self._known}


def test_a_password_that_is_rotated_under_load(guarded, url, make_db):
    """Fault 13: nothing fails once the new one is out, and existing connections stay."""
    provider = Provider("first")
    db = make_db(url, credentials=provider, max_connections=8)
    users = Repositories(db).users
    errors, done, calls = [], threading.Event(), []

    def work():
        while not done.is_set():
            try:
                users.find_by_clerk_user_id("nobody")
                calls.append(time.monotonic())
                db.manual_close()
                db.connect()
                db.manual_close()
            except Exception as error:  # noqa: BLE001
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with db.connection_context():
        pid = db.connection().info.backend_pid
        for thread in threads:
            thread.start()
        wait_until(lambda: len(calls) > 50)
        provider.stored = "second"
        guarded("second")
        so_far = len(calls)
        wait_until(lambda: len(calls) > so_far + 200)
        done.set()
        for thread in threads:
            thread.join()
        assert db.connection().info.backend_pid == pid
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
    assert errors == []
    assert provider.calls.count(True) in range(1, 9)


def test_it_is_asked_for_once_more_where_a_connect_may_take_any_time(guarded, url, make_db):
    guarded("second")
    provider = Provider("first")
    provider.stored = "second"
    db = make_db(f"{url}?connect_timeout=0", credentials=provider)
    db.connect()
    assert provider.calls == [False, True]


def test_a_password_that_is_wrong_is_asked_for_once_more(guarded, url, make_db):
    guarded("another")
    provider = Provider("first")
    db = make_db(url, credentials=provider)
    with pytest.raises(UnavailableError) as caught:
        db.connect()
    assert provider.calls == [False, True]
    assert "first" not in shown(caught.value) + repr(db)
    assert db.stats().in_use == 0


def test_a_second_login_has_the_time_that_is_left(guarded, url, make_db):
    """Though it took long to look for it."""
    guarded("another")

    class Slow(Provider):
        def __call__(self, *, refresh):
            if refresh:
                threading.Event().wait(0.4)
                self.stored = "another"
            return super().__call__(refresh=refresh)

    db = make_db(url, credentials=Slow("first"))
    with pytest.raises(UnavailableError) as caught, db.deadline(0.3):
        db.connect()
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert "first" not in shown(caught.value)


def test_a_refused_login_is_no_timeout(proxy, proxy_url, make_db):
    """Where nothing answers, another password does not help."""
    proxy.is_black_hole = True
    provider = Provider("first")
    db = make_db(proxy_url, credentials=provider, connect_timeout=2)
    with pytest.raises(UnavailableError) as caught:
        db.connect()
    assert provider.calls == [False]
    assert "first" not in shown(caught.value)


def test_a_secret_is_read_again_and_its_pending_version_tried(
    guarded, server, aws_environment, store_secret
):
    """In a rotation the database changes before the secret's current version does."""
    import boto3

    store_secret(json.dumps({"username": ROLE, "password": "first", "port": server.port}))
    aws_environment.setenv("DATABASE_PROXY_ENDPOINT", "127.0.0.1")
    aws_environment.setenv("DATABASE_NAME", DATABASE)
    arn = os.environ["DATABASE_SECRET_ARN"]
    credentials = aws.SecretCredentials(arn)
    assert credentials(refresh=False)["password"] == "first"
    client = boto3.client("secretsmanager", "eu-central-1")
    client.put_secret_value(
        SecretId=arn,
        SecretString=json.dumps({"username": ROLE, "password": "second"}),
        VersionStages=["AWSPENDING"],
    )
    assert credentials(refresh=False)["password"] == "first"
    assert credentials(refresh=True)["password"] == "second"


@pytest.fixture
def writer(url, make_db):
    """Give a database, and what writes a row to it."""
    db = make_db(url)
    return db, lambda: db.execute_sql("INSERT INTO written VALUES ('once')")


def test_a_server_that_shuts_down_is_waited_for(server, writer, written):
    """Fault 14: ``run`` tries again with pauses."""
    db, write = writer
    somebody = psycopg2.connect(server.url())  # for whom it waits, and lets nobody else in
    server.daemon.send(signal.SIGTERM)
    wait_until(lambda: not server.answers())
    with pytest.raises(UnavailableError, match="shutting down") as caught:
        db.run(write, patience=0.1)
    assert caught.value.retryable
    somebody.close()
    server.daemon.wait()
    starting = threading.Timer(0.3, server.start, kwargs={"wait": False})
    starting.start()
    db.run(write, patience=30)
    starting.join()
    assert written() == ["once"]


def test_a_server_in_recovery_is_waited_for(server, writer, written):
    """Fault 14: it answers, and takes no writes."""
    db, write = writer
    with server.in_recovery():
        with pytest.raises(UnavailableError) as caught, db.atomic():
            Repositories(db).users.upsert("user_1")
        assert (caught.value.code, caught.value.retryable) == ("READ_ONLY", True)
        promoting = threading.Timer(0.3, server.promote)
        promoting.start()
        db.run(write)
        promoting.join()
    assert written() == ["once"]
    assert db.stats().opened > 1


def test_a_server_with_too_many_clients_is_waited_for(make_db):
    """Fault 14: 53300."""
    with running(max_connections=5, superuser_reserved_connections=0) as server:
        db = make_db(server.url())
        others = [make_db(server.url()) for _ in range(10)]
        with pytest.raises(UnavailableError) as caught:
            for other in others:
                other.connect()
        assert caught.value.retryable
        threading.Timer(0.2, others[0].close_all).start()
        assert db.run(lambda: db.execute_sql("SELECT 1").fetchone(), patience=30) == (1,)
        for other in others:
            other.close_all()
