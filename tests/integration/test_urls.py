"""Every way to name a server leads there; a wrong one is told in a line that shows no password."""

import re
from urllib.parse import quote, unquote, urlsplit

import pytest
from peewee import SQL, Select

from homethrive_db import ConfigurationError, UnavailableError, check_connection, create_db
from homethrive_db.statements import statement
from tests.secrecy import shown

PASSWORD = "p@ss/w:%rd #?ü"
LOGIN = statement(Select((), (SQL("current_user::text"), SQL("current_database()::text"))))
APPLICATION = statement(Select((), (SQL("current_setting('application_name')"),)))


def once(url, declared, make, **options):
    """Run a statement on a database of its own, closed afterwards."""
    db = create_db(url, **options)
    try:
        return db.first(declared, make)
    finally:
        db.close_all()


@pytest.fixture
def login(server):
    """Make a user who needs a password, on a server that otherwise trusts its socket."""
    server.recreate_database()
    rules = server.folder / "pg_hba.conf"
    trusting = rules.read_text()
    rules.write_text(f"local all someone scram-sha-256\n{trusting}")
    db = create_db(server.url)
    with db.connection_context():
        db.execute_sql("DROP ROLE IF EXISTS someone")
        db.execute_sql("CREATE ROLE someone LOGIN PASSWORD %s", (PASSWORD,))
        db.execute_sql("SELECT pg_reload_conf()")
    yield lambda password: server.url.replace("postgres@", f"someone:{password}@")
    rules.write_text(trusting)
    with db.connection_context():
        db.execute_sql("DROP ROLE someone")
        db.execute_sql("SELECT pg_reload_conf()")
    db.close_all()


def test_a_percent_encoded_password_opens_the_database(login):
    url = login(quote(PASSWORD, safe=""))
    assert once(url, LOGIN, lambda *row: row) == ("someone", "homethrive")


def test_a_wrong_password_is_told_without_it(login):
    """Neither what was given nor what would be right."""
    with pytest.raises(UnavailableError, match="someone") as caught:
        check_connection(create_db(login("s3cr3t")))
    assert caught.value.__cause__ is not None
    printed = shown(caught.value) + repr(caught.value)
    assert "s3cr3t" not in printed
    assert PASSWORD not in printed


def test_a_socket_folder_may_be_the_host(server):
    """As a query parameter, percent-encoded or not, and as the host itself."""
    folder = str(server.socket_folder)
    for url in (
        f"postgresql:///postgres?host={folder}&user=postgres",
        f"postgresql:///postgres?host={quote(folder, safe='')}&user=postgres",
        f"postgresql://postgres@{quote(folder, safe='')}/postgres",
    ):
        assert once(url, LOGIN, lambda *row: row) == ("postgres", "postgres")


def test_parameters_of_a_url_reach_the_server(homethrive_committed_url):
    joint = "&" if urlsplit(homethrive_committed_url).query else "?"
    url = f"{homethrive_committed_url}{joint}application_name=worker%20one"
    assert once(homethrive_committed_url, APPLICATION, str) == "homethrive_db"
    assert once(url, APPLICATION, str) == "worker one"
    assert once(url, APPLICATION, str, application_name="worker two") == "worker two"


def test_an_empty_url_is_none(homethrive_committed_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", homethrive_committed_url)
    with pytest.raises(ConfigurationError, match="it has no scheme"):
        create_db("")


def test_an_unnamed_url_is_that_of_the_environment(homethrive_committed_url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", homethrive_committed_url)
    (_, database) = once(None, LOGIN, lambda *row: row)
    assert database == unquote(urlsplit(homethrive_committed_url).path[1:])


@pytest.mark.parametrize(
    "place", ["localhost:1/d", "no-such-host.invalid/d", "/d?host=/no/such/folder"]
)
def test_a_server_that_is_not_there_is_told_in_a_line(place):
    separator = "" if place.startswith("/") else "user:s3cr3t@"
    with pytest.raises(UnavailableError) as caught:
        check_connection(create_db(f"postgresql://{separator}{place}"))
    assert caught.value.retryable
    assert re.fullmatch(r"[^\n]+", str(caught.value))
    assert "s3cr3t" not in shown(caught.value)
