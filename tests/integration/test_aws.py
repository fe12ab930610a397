"""Migrating from AWS Lambda, on a real PostgreSQL; over its socket, where libpq needs no TLS."""

import json
import os
import subprocess
import sys
import time

import pytest

from homethrive_db import UnavailableError, aws
from homethrive_db.migrate import migrate
from homethrive_db.migrate.lock import migration_lock
from tests import catalog
from tests.migrations import NAMES
from tests.waiting import wait_until

# A process with a Secrets Manager of its own.
HANDLER = """
import json, os
import boto3
from moto import mock_aws
from homethrive_db.aws import migrate_handler
with mock_aws():
    secret = json.dumps({"username": "postgres", "password": "s3cr3t"})
    made = boto3.client("secretsmanager", "eu-central-1").create_secret(
        Name="database", SecretString=secret
    )
    os.environ["DATABASE_SECRET_ARN"] = made["ARN"]
    print(json.dumps(migrate_handler({}, None)))
"""


class Context:
    """Lambda's context, with so many seconds left."""

    def __init__(self, seconds):
        self.seconds = seconds

    def get_remaining_time_in_millis(self):
        return int(self.seconds * 1000)


@pytest.fixture
def at_server(aws_environment, server):
    """Let the proxy's endpoint be the server's socket."""
    aws_environment.setenv("DATABASE_PROXY_ENDPOINT", str(server.socket_folder))
    return aws_environment


@pytest.fixture
def by_secret(at_server, store_secret):
    """Let the password come out of a secret."""
    store_secret(json.dumps({"username": "postgres", "password": "s3cr3t"}))
    return at_server


def has_other_connections(db):
    query = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    return db.execute_sql(query).fetchone()[0] > 0


def test_it_applies_what_is_pending_and_then_nothing(empty_db, by_secret):
    assert aws.migrate_handler({}, Context(60)) == {
        "success": True,
        "message": f"applied {len(NAMES)}",
        "applied": NAMES,
        "error": None,
    }
    with empty_db.connection_context():
        assert catalog.shared_part(catalog.read_catalog(empty_db)) == catalog.CONTRACT
        wait_until(lambda: not has_other_connections(empty_db))
    again = aws.migrate_handler({}, Context(60))
    assert (again["success"], again["message"], again["applied"]) == (True, "nothing to apply", [])


def test_handlers_and_migrators_may_start_together(empty_db, server, at_server):
    url = {"DATABASE_URL": server.url}
    started = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for arguments in 3 * [("-c", HANDLER), ("-m", "homethrive_db.cli", "migrate")]
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [status for *_, status in ended] == 6 * [0]
    results = [json.loads(output) for output, *_ in ended[::2]]
    assert all(result["success"] for result in results)
    by_handlers = [name for result in results for name in result["applied"]]
    by_others = [name for name in NAMES for output, *_ in ended[1::2] if name in output.decode()]
    assert sorted(by_handlers + by_others) == NAMES


def test_it_waits_for_another_migrator_no_longer_than_it_lives(empty_db, by_secret):
    with empty_db.connection_context(), migration_lock(empty_db, wait=0, on_wait=print):
        result = aws.migrate_handler({}, Context(aws.MARGIN_SECONDS + 0.1))
    assert (result["success"], result["applied"]) == (False, [])
    assert result["error"]["code"] == "MIGRATION_LOCKED"
    assert result["message"] == f"failed after 0 applied: {result['error']['message']}"


def test_a_failure_is_a_result_and_the_connection_is_closed(empty_db, by_secret):
    with empty_db.connection_context():
        empty_db.execute_sql("CREATE TABLE users (id int)")
        result = aws.migrate_handler({}, Context(60))
        wait_until(lambda: not has_other_connections(empty_db))
    assert result["error"]["code"] == "NEEDS_ADOPTION"
    assert "homethrive-db adopt" in result["message"]
    assert "s3cr3t" not in json.dumps(result)


def test_a_table_that_stays_in_use_is_a_result_in_time(empty_db, by_secret):
    list(migrate(empty_db, NAMES[0]))
    with empty_db.atomic():
        empty_db.execute_sql("SELECT 1 FROM users")
        began = time.monotonic()
        result = aws.migrate_handler({}, Context(2))
    assert time.monotonic() - began < 6
    assert (result["success"], result["error"]["code"]) == (False, "DEADLINE_EXCEEDED")


def test_a_database_that_cannot_be_reached_is_a_result(empty_db, by_secret):
    by_secret.setenv("DATABASE_NAME", "nowhere")
    result = aws.migrate_handler({}, None)
    assert (result["success"], result["error"]["code"]) == (False, "DATABASE_UNAVAILABLE")
    assert "nowhere" in result["message"]
    assert "s3cr3t" not in json.dumps(result)


def test_of_a_strangers_error_only_the_class_is_told(empty_db, by_secret):
    class Broken:
        def get_remaining_time_in_millis(self):
            raise ValueError("s3cr3t")

    with empty_db.connection_context():
        result = aws.migrate_handler({}, Broken())
        wait_until(lambda: not has_other_connections(empty_db))
    assert result["error"] == {"code": "INTERNAL_ERROR", "message": "ValueError"}


def test_a_deadline_follows_the_time_that_the_function_has_left(empty_db, by_secret):
    db = aws.create_db()
    with (
        db.connection_context(),
        pytest.raises(UnavailableError) as caught,
        aws.lambda_deadline(db, Context(0.7)),
    ):
        db.execute_sql("SELECT pg_sleep(60)")
    assert caught.value.code == "DEADLINE_EXCEEDED"
    with pytest.raises(UnavailableError), aws.lambda_deadline(db, Context(0.1)):
        db.connect()
    db.close_all()
