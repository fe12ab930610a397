"""The environment, and what a database URL means; no password ever shows."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homethrive_db import ConfigurationError, Settings, create_db
from homethrive_db.settings import connection_parameters, describe, embedded_location

SECRET = "s3cr3t"


def test_settings_come_from_the_environment_and_show_no_url():
    url = f"postgresql://u:{SECRET}@h/d"
    read = Settings.from_environment({"DATABASE_URL": url, "DATABASE_URL_TEST": url + "_test"})
    assert read.required_database_url() == url
    assert read.database_url_test == url + "_test"
    assert SECRET not in repr(read)


@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": ""}])
def test_an_unset_url_names_both_ways_to_set_it(environment):
    with pytest.raises(ConfigurationError, match=r"postgresql://.*embedded://"):
        Settings.from_environment(environment).required_database_url()


def test_a_url_is_read_as_libpq_reads_it():
    parameters = connection_parameters(
        "postgresql://us%40er:p%2Fw%3A%25@h:5433/d%20b?sslmode=require&application_name=w"
    )
    assert parameters == {
        "user": "us@er",
        "password": "p/w:%",
        "host": "h",
        "port": "5433",
        "dbname": "d b",
        "sslmode": "require",
        "application_name": "w",
    }
    assert connection_parameters("postgresql:///d?host=/a/socket")["host"] == "/a/socket"


@pytest.mark.parametrize(
    "url",
    ["", "d", "postgres://u:s3cr3t@h/d", "mysql://u:s3cr3t@h/d", "u:s3cr3t@h/d",
     "postgresql://u:s3cr3t%ZZ@h/d", "postgresql://u:s3cr3t@h/d?nonsense=1", "s3cr3t://h",
     "postgresql://u:s3cr3t@h:nonsense/d", "postgresql://u:s3cr3t@[h/d"],
)  # fmt: skip
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError) as caught:
        connection_parameters(url)
    assert "s3cr3t@" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_driver_in_the_scheme_is_named():
    with pytest.raises(ConfigurationError, match=r"it begins with postgresql\+psycopg2://$"):
        connection_parameters("postgresql+psycopg2://u:s3cr3t@h/d")


PRINTABLE = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1)
UNREADABLE = (
    "the database URL cannot be read: percent-encode special characters in its user and "
    "password, and use only parameters of libpq after the question mark"
)


@given(PRINTABLE)
@example("pass@word")
@example("pass/word")
@example("12/34")
@example("pass@wo/rd")
@example("1?2/3@4")
@example("50%")
@example("100%zz")
@example("@")
def test_a_password_that_was_not_percent_encoded_never_shows(password):
    """It may break the URL at a place of its own: what is said is the same as for any other."""
    try:
        shown = describe(connection_parameters(f"postgresql://user:{password}@nowhere.invalid/d"))
    except ConfigurationError as error:
        shown = f"{error}{dict(error.details) or ''}"
    assert shown in (UNREADABLE, "d on nowhere.invalid as user")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_password_can_be_percent_encoded(password):
    parameters = connection_parameters(f"postgresql://user:{quote(password, safe='')}@h/d")
    assert parameters["password"] == password
    assert describe(parameters) == "d on h as user"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://", {}),
        ("postgresql://h", {"host": "h"}),
        ("postgresql://u@h", {"user": "u", "host": "h"}),
        ("postgresql://u:p@[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
        ("postgresql://u:p@a:1,b:2/d", {"host": "a,b", "port": "1,2"}),
        ("postgresql:///d?host=%2Fa%20socket&user=u", {"host": "/a socket", "user": "u"}),
        ("postgresql://u:p@h/my%40d", {"host": "h", "dbname": "my@d"}),
        ("postgresql://u@h/my@d", {"user": "u", "host": "h", "dbname": "my@d"}),
        ("postgresql://h/d?password=p@ss/w", {"host": "h", "password": "p@ss/w"}),
    ],
)
def test_every_form_of_a_uri_that_libpq_knows_is_read(url, named):
    assert connection_parameters(url).items() >= named.items()


def test_a_database_is_described_without_its_password():
    parameters = connection_parameters(f"postgresql://u:{SECRET}@h:5433/d")
    assert describe(parameters) == "d on h:5433 as u"
    assert describe({}) == "the default database on the local socket"
    assert create_db(f"postgresql://u:{SECRET}@h:5433/d").database == "d on h:5433 as u"


def test_an_embedded_url_names_a_folder_and_a_version():
    assert embedded_location("embedded://").folder is None
    assert embedded_location("embedded:///a/b%20c?version=16").folder == Path("/a/b c")
    assert embedded_location("embedded:///a/b?version=16").postgres_version == 16


@pytest.mark.parametrize(
    "url", ["embedded://a/b", "embedded:///a?version=x", "embedded:///a?sslmode=require"]
)
def test_a_wrong_embedded_url_is_refused(url):
    with pytest.raises(ConfigurationError):
        embedded_location(url)


@pytest.mark.parametrize("url", [3, 0, b"postgresql://h/d", Path("/h/d")])
def test_what_is_no_text_is_no_url(url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    with pytest.raises(ConfigurationError, match=r"a database URL is text, .* came"):
        create_db(url)


@pytest.mark.parametrize("options", [{"max_connections": 0}, {"pool_timeout": -1}])
def test_a_pool_without_connections_is_refused(options):
    with pytest.raises(ConfigurationError):
        create_db("postgresql://h/d", **options)
