"""The address and the password of the database on AWS; Secrets Manager is moto's."""

import itertools
import json
import logging
import os
import pickle
import socket
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from homethrive_db import ConfigurationError, UnavailableError, aws, check_connection
from homethrive_db.aws import client
from homethrive_db.settings import with_verified_tls
from tests import secrecy

PASSWORD = "p@ss/w:%rd #?ü'\\ s3cr3t"
SECRET = {"username": "someone", "password": PASSWORD}


def shown(error):
    """Give all that a log or an error tracker could print of an error."""
    lines = traceback.format_exception(error)
    chain = [error, error.__cause__, error.__context__]
    fields = (f"{one!r}{getattr(one, '__dict__', '')}" for one in chain)
    return "".join([*lines, *fields, secrecy.shown(error)])


def refused():
    with pytest.raises(ConfigurationError) as caught:
        aws.create_db()
    return caught.value


@pytest.fixture
def keep(store_secret, aws_environment):
    """Give what keeps a secret as JSON for a proxy at db.example."""
    aws_environment.setenv("DATABASE_PROXY_ENDPOINT", "db.example")
    return lambda **fields: store_secret(json.dumps(fields))


@pytest.fixture
def everything_logged(caplog):
    """Listen to every logger at its most talkative."""
    caplog.set_level(logging.NOTSET)
    return caplog


def test_the_password_is_the_secrets_and_the_host_is_the_proxys(keep):
    keep(**SECRET, host="server.example", engine="postgres")
    assert aws.connection_parameters() == {
        "host": "db.example",
        "port": "5432",
        "dbname": "homethrive",
        "user": "someone",
        "password": PASSWORD,
        **with_verified_tls({}),
    }


@pytest.mark.parametrize("port", [6432, "6432"])
def test_a_secret_may_name_host_port_and_database(keep, aws_environment, port):
    aws_environment.delenv("DATABASE_PROXY_ENDPOINT")
    keep(**SECRET, host="server.example", port=port, dbname="other")
    found = aws.connection_parameters()
    assert (found["host"], found["port"], found["dbname"]) == ("server.example", "6432", "other")
    aws_environment.setenv("DATABASE_NAME", "chosen")
    assert aws.connection_parameters()["dbname"] == "chosen"


def test_what_a_secret_leaves_empty_is_as_if_absent(keep):
    keep(**SECRET, port=None, dbname="")
    found = aws.connection_parameters()
    assert (found["port"], found["dbname"]) == ("5432", "homethrive")


def test_a_database_shows_no_password(keep):
    keep(**SECRET)
    db = aws.create_db(max_connections=3)
    assert db.database == "homethrive on db.example:5432 as someone"
    assert PASSWORD not in repr(db) + str(db)


def test_tls_may_be_stricter_but_never_absent(keep):
    keep(**SECRET)
    assert aws.create_db(sslmode="verify-full").connect_params["sslmode"] == "verify-full"
    for mode in ("disable", "prefer", None):
        with pytest.raises(ConfigurationError, match="TLS is required"):
            aws.create_db(sslmode=mode)


def test_a_server_without_tls_is_told_neither_user_nor_password(keep, aws_environment):
    """Libpq asks for TLS before all else; this server says no."""
    heard = []

    def decline(listener):
        connection, _ = listener.accept()
        with connection:
            heard.append(connection.recv(1024))
            connection.sendall(b"N")
            heard.append(connection.recv(1024))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        aws_environment.setenv("DATABASE_PROXY_ENDPOINT", "127.0.0.1")
        keep(**SECRET, port=listener.getsockname()[1])
        server = threading.Thread(target=decline, args=[listener])
        server.start()
        with pytest.raises(UnavailableError, match="SSL") as caught:
            check_connection(aws.create_db(gssencmode="disable"))
        server.join()
    ssl_request = b"\0\0\0\x08\x04\xd2\x16\x2f"
    assert heard == [ssl_request, b""]
    assert "s3cr3t" not in shown(caught.value)


@pytest.mark.parametrize(
    "secret",
    [
        b'{"username": "u", "password": "s3cr3t"}',
        "s3cr3t",
        '"s3cr3t"',
        '["s3cr3t"]',
        '{"username": "u", "password": "s3cr3t"',
        '{"s3cr3t": ' * 5000,
        "[" * 60_000,
    ],
    ids=["binary", "text", "string", "list", "cut", "nested", "deep"],
)
def test_a_secret_that_is_no_json_object_is_refused_unseen(store_secret, secret):
    store_secret(secret)
    error = refused()
    assert str(error) == "the secret of DATABASE_SECRET_ARN holds no JSON object"
    assert "s3cr3t" not in shown(error)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": None}, "username"),
        ({"username": ""}, "username"),
        ({"username": 531_531}, "username"),
        ({"password": ""}, "password"),
        ({"password": ["s3cr3t"]}, "password"),
        ({"password": "s3cr3t\0"}, "password"),
        ({"password": "s3cr3t\ud800"}, "password"),
        ({"dbname": {"s3cr3t": 1}}, "dbname"),
    ],
)
def test_a_wrong_field_of_a_secret_is_named_and_its_value_is_not(keep, changes, field):
    keep(**{**SECRET, **changes})
    error = refused()
    assert error.details == {"field": field}
    assert field in str(error)
    assert not [value for value in ("s3cr3t", "531", "someone") if value in shown(error)]


@pytest.mark.parametrize("missing", ["username", "password"])
def test_a_secret_without_login_is_incomplete(keep, missing):
    keep(**{name: value for name, value in SECRET.items() if name != missing})
    assert str(refused()) == f"the secret has no {missing}"


@pytest.mark.parametrize("port", [0, -1, 65536, 54.32, True, [5432], "s3cr3t", "5432x", "٥٤٣٢"])
def test_a_wrong_port_is_refused(keep, port):
    keep(**SECRET, port=port)
    error = refused()
    assert str(error) == "the secret's port: a number from 1 to 65535 expected"
    assert "s3cr3t" not in shown(error)


def test_without_a_host_in_either_place_both_are_named(keep, aws_environment):
    aws_environment.delenv("DATABASE_PROXY_ENDPOINT")
    keep(**SECRET)
    assert str(refused()) == "DATABASE_PROXY_ENDPOINT is not set, and the secret has no host"


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(aws_environment, value):
    if value is not None:
        aws_environment.setenv("DATABASE_SECRET_ARN", value)
    assert str(refused()) == "DATABASE_SECRET_ARN is not set"
    aws_environment.setenv("DATABASE_IAM_USER", "worker")
    assert str(refused()) == "DATABASE_PROXY_ENDPOINT is not set"


def test_the_pool_is_that_of_create_db(keep):
    keep(**SECRET)
    with pytest.raises(ConfigurationError, match="max_connections"):
        aws.create_db(max_connections=0)


@pytest.fixture
def iam(aws_environment):
    """Choose IAM for a proxy."""
    aws_environment.setenv("DATABASE_IAM_USER", "worker")
    aws_environment.setenv("DATABASE_PROXY_ENDPOINT", "db.example")
    return aws_environment


def test_a_user_of_iam_gets_a_token_in_place_of_a_secret(iam):
    iam.setenv("DATABASE_SECRET_ARN", "unused")
    iam.setenv("DATABASE_PORT", "6432")
    found = aws.connection_parameters()
    token = urlsplit(f"https://{found.pop('password')}")
    assert found == {
        "host": "db.example",
        "port": "6432",
        "dbname": "homethrive",
        "user": "worker",
        **with_verified_tls({}),
    }
    query = parse_qs(token.query)
    assert token.netloc == "db.example:6432"
    assert (query["Action"], query["DBUser"]) == (["connect"], ["worker"])
    assert query["X-Amz-Expires"] == ["900"]
    assert "/eu-central-1/rds-db/" in query["X-Amz-Credential"][0]


def test_a_token_is_for_port_5432_and_the_database_that_is_named(iam):
    iam.setenv("DATABASE_NAME", "chosen")
    found = aws.connection_parameters()
    assert found["password"].startswith("db.example:5432/?")
    assert (found["port"], found["dbname"]) == ("5432", "chosen")


def test_a_wrong_port_of_the_environment_is_refused(iam):
    iam.setenv("DATABASE_PORT", "five")
    assert str(refused()) == "DATABASE_PORT: a number from 1 to 65535 expected"


def test_no_log_holds_a_password(keep, everything_logged):
    """Botocore logs whole responses, at DEBUG."""
    keep(**SECRET)
    everything_logged.clear()
    aws.connection_parameters()
    assert "botocore" in everything_logged.text
    assert "s3cr3t" not in everything_logged.text


def test_no_log_holds_a_token(iam, everything_logged):
    token = aws.connection_parameters()["password"]
    signature = token.rpartition("=")[2]
    assert "botocore" in everything_logged.text
    assert signature not in everything_logged.text


def test_what_botocore_logs_for_others_is_left_alone(iam, everything_logged):
    aws.connection_parameters()
    logging.getLogger("botocore.auth").debug("somebody else's")
    assert "somebody else's" in everything_logged.text


def test_without_boto3_the_extra_is_named(iam):
    iam.setitem(sys.modules, "boto3", None)
    assert str(refused()) == "boto3 is an extra: pip install 'homethrive-db[aws]'"


@pytest.mark.parametrize("service", ["iam", "secret"])
def test_without_a_region_the_variable_is_named(iam, service):
    iam.delenv("AWS_REGION")
    if service == "secret":
        iam.delenv("DATABASE_IAM_USER")
        iam.setenv("DATABASE_SECRET_ARN", "arn")
    assert str(refused()) == "no region is set: set AWS_REGION"


def test_the_region_may_be_named_as_boto3_names_it(iam):
    iam.delenv("AWS_REGION")
    iam.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert "us-west-2" in aws.connection_parameters()["password"]


def test_missing_credentials_are_a_wrong_setting(iam):
    iam.delenv("AWS_ACCESS_KEY_ID")
    iam.delenv("AWS_SECRET_ACCESS_KEY")
    assert "credentials are missing" in str(refused())


def test_an_unknown_profile_is_a_wrong_setting(iam):
    iam.setenv("AWS_PROFILE", "nobody")
    assert str(refused()) == "AWS could not be asked (ProfileNotFound)"


def test_a_secret_that_is_not_there_is_a_wrong_setting(keep, aws_environment):
    aws_environment.setenv("DATABASE_SECRET_ARN", "no-such-secret")
    error = refused()
    assert error.details == {"aws_code": "ResourceNotFoundException"}
    assert "check DATABASE_SECRET_ARN" in str(error)


class Answer(BaseHTTPRequestHandler):
    """Answers as Secrets Manager does where it cannot or will not."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"__type": self.server.code, "message": "not now"}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Keep standard error clean."""


@pytest.fixture
def answer(aws_environment):
    """Give what lets boto3 reach, over HTTP and once, a service with an answer of the test's."""
    aws_environment.setitem(client.PATIENCE, "retries", {"total_max_attempts": 1})
    aws_environment.setenv("DATABASE_SECRET_ARN", "arn")
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        place = f"http://127.0.0.1:{server.server_port}"
        aws_environment.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", place)
        serving = threading.Thread(target=server.serve_forever, args=[0.01])
        serving.start()

        def choose(status, code):
            server.status, server.code = status, code

        yield choose
        server.shutdown()
        serving.join()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (429, "SomethingNew"),
        (500, "InternalServiceError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_what_passes_may_be_tried_again(answer, status, code):
    answer(status, code)
    with pytest.raises(UnavailableError) as caught:
        aws.create_db()
    assert caught.value.retryable
    assert caught.value.details == {"aws_code": code}
    assert caught.value.__cause__ is not None
    assert pickle.loads(pickle.dumps(caught.value)).details == {"aws_code": code}


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidRequestException",
        "ExpiredTokenException",
    ],
)
def test_what_does_not_pass_is_a_wrong_setting(answer, code):
    answer(400, code)
    assert f"AWS answered GetSecretValue with {code}" in str(refused())


def test_an_answer_without_a_secret_is_refused(answer):
    answer(200, "nothing")
    assert "holds no JSON object" in str(refused())


def test_a_service_that_cannot_be_reached_may_be_tried_again(answer, aws_environment):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    aws_environment.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{port}")
    with pytest.raises(UnavailableError, match="EndpointConnectionError") as caught:
        aws.create_db()
    assert caught.value.retryable


def test_a_token_is_used_for_ten_minutes(iam, monkeypatch):
    credentials = aws.TokenCredentials("db.example", "5432", "worker")
    now = time.monotonic()
    made = []
    monkeypatch.setattr(credentials, "_make_token", lambda: made.append(1) or f"token {len(made)}")
    for seconds in (0, 599, 601, 1200):
        monkeypatch.setattr(time, "monotonic", lambda at=now + seconds: at)
        credentials(refresh=False)
    assert len(made) == 2
    assert credentials(refresh=True) == {"user": "worker", "password": "token 3"}
    assert credentials(refresh=False)["password"] == "token 3"


def test_secrets_manager_is_asked_after_pauses_that_grow(keep, monkeypatch):
    """Each connect that the server refuses asks for another password."""
    keep(**SECRET)
    credentials = aws.SecretCredentials(os.environ["DATABASE_SECRET_ARN"])
    now = time.monotonic()
    asked = []
    monkeypatch.setattr(credentials, "_read_again", lambda: asked.append(time.monotonic() - now))
    for tenth in range(200):
        monkeypatch.setattr(time, "monotonic", lambda at=now + tenth / 10: at)
        credentials(refresh=True)
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.5, abs=0.11)
    assert pauses[-1] == pytest.approx(5, abs=0.11)
