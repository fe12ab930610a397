"""TLS with a server whose certificate is checked: PgBouncer's, by an authority of our own."""

import json
import os

import pytest
import trustme

from homethrive_db import UnavailableError, aws, create_db, settings
from tests.faults import pgbouncer
from tests.faults.conftest import DATABASE
from tests.waiting import wait_until

NAME = "localhost"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Make an authority; give it with the file of its certificate."""
    made = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "authority.pem"
    made.cert_pem.write_to_path(file)
    return made, file


@pytest.fixture(scope="module")
def encrypted(one_server, authority):
    """Run PgBouncer with a certificate for one name; it takes no connection without TLS."""
    certificate = authority[0].issue_cert(NAME)
    with pgbouncer.running(one_server.port, certificate=certificate) as made:
        yield made


@pytest.fixture
def trusted(authority, monkeypatch):
    """Let the machine trust the authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[1]))


@pytest.fixture
def others_trusted(tmp_path, monkeypatch):
    """Let the machine trust another one."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))


def url_of(bouncer, host=NAME, parameters=""):
    return f"postgresql://postgres@{host}:{bouncer.port}/{DATABASE}{parameters}"


def is_encrypted(db):
    with db.connection_context():
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
        return bool(db.connection().info.ssl_in_use)


def test_a_certificate_that_the_machine_trusts_is_taken(encrypted, trusted, make_db):
    assert is_encrypted(make_db(url_of(encrypted), proxy=True))


def test_an_authority_may_be_named_in_the_url(encrypted, others_trusted, authority, make_db):
    url = url_of(encrypted, parameters=f"?sslrootcert={authority[1]}")
    assert is_encrypted(make_db(url, proxy=True))


def test_a_cancel_request_gets_through_to_it(one_server, encrypted, trusted, make_db):
    """So that no statement goes on, unseen, behind a proxy that wants TLS."""
    db = make_db(url_of(encrypted), proxy=True)
    with db.connection_context():
        db.execute_sql("SELECT 1")
        with pytest.raises(UnavailableError), db.deadline(0.2):
            db.execute_sql("SELECT pg_sleep(61)")
    running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%sleep(61)' AND state = 'active'"
    wait_until(lambda: not one_server.execute(running))


def refusal_of(db):
    with pytest.raises(UnavailableError) as caught:
        db.connect()
    assert caught.value.retryable
    return str(caught.value)


def test_one_that_nobody_vouches_for_is_refused(encrypted, others_trusted, make_db):
    db = make_db(url_of(encrypted), proxy=True)
    assert "certificate verify failed" in refusal_of(db)


def test_nothing_is_checked_where_the_url_asks_for_no_check(encrypted, others_trusted, make_db):
    assert is_encrypted(make_db(url_of(encrypted, parameters="?sslmode=require"), proxy=True))


def test_one_for_another_name_is_refused(encrypted, trusted, make_db):
    db = make_db(url_of(encrypted, host="127.0.0.1"), proxy=True)
    assert "does not match host name" in refusal_of(db)


def test_a_server_without_tls_is_refused_unless_the_url_says_otherwise(bouncer, trusted, make_db):
    assert "does not support SSL" in refusal_of(make_db(url_of(bouncer), proxy=True))
    plain = make_db(url_of(bouncer, parameters="?sslmode=disable"), proxy=True)
    assert not is_encrypted(plain)


@pytest.fixture
def secret(aws_environment, store_secret, encrypted):
    """Keep the login of the server in a secret."""
    store_secret(json.dumps({"username": "postgres", "password": "s3cr3t", "port": encrypted.port}))
    aws_environment.setenv("DATABASE_PROXY_ENDPOINT", NAME)
    aws_environment.setenv("DATABASE_NAME", DATABASE)
    return aws_environment


@pytest.fixture
def make_aws_db():
    made = []

    def make(**options):
        made.append(aws.create_db(**options))
        return made[-1]

    yield make
    for db in made:
        db.close_all()


def test_with_a_login_of_aws_it_is_checked_too(secret, encrypted, trusted, make_aws_db):
    assert is_encrypted(make_aws_db())
    secret.setenv("DATABASE_PROXY_ENDPOINT", "127.0.0.1")
    assert "does not match host name" in refusal_of(make_aws_db())


def test_with_a_login_of_aws_the_check_may_be_left_out(secret, others_trusted, make_aws_db):
    """Though not TLS."""
    assert is_encrypted(make_aws_db(sslmode="require"))


def test_with_a_login_of_aws_no_other_authority_will_do(secret, others_trusted, make_aws_db):
    assert "certificate verify failed" in refusal_of(make_aws_db())


@pytest.mark.parametrize("kind", ["secret", "token"])
def test_credentials_of_aws_are_given_to_nobody_else(secret, encrypted, trusted, make_db, kind):
    """``credentials=`` alone brings the check along, unless the URL says otherwise."""
    credentials = {
        "secret": lambda: aws.SecretCredentials(os.environ["DATABASE_SECRET_ARN"]),
        "token": lambda: aws.TokenCredentials(NAME, str(encrypted.port), "postgres"),
    }[kind]()
    assert is_encrypted(make_db(url_of(encrypted), credentials=credentials))
    stranger = make_db(url_of(encrypted, host="127.0.0.1"), credentials=credentials)
    assert "does not match host name" in refusal_of(stranger)
    url = url_of(encrypted, host="127.0.0.1", parameters="?sslmode=require")
    assert is_encrypted(make_db(url, credentials=credentials))


def test_the_machines_authorities_are_found_where_python_knows_of_none(tmp_path, monkeypatch):
    """Debian without its package openssl, say; libpq's own file is where its wheel was built."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setattr(settings, "AUTHORITIES", (str(tmp_path / "none.pem"), str(bundle)))
    db = create_db("postgresql://db.example/x", proxy=True)
    assert db.connect_params["sslrootcert"] == "system"
    bundle.write_text("")
    db = create_db("postgresql://db.example/x", proxy=True)
    assert db.connect_params["sslrootcert"] == str(bundle)
