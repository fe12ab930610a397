"""The environment, and what a database URL means; no password ever shows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homethrive_db import ConfigurationError, Settings, create_db
from homethrive_db.settings import connection_parameters, describe, embedded_location

SECRET = "s3cr3t"


def test_settings_come_from_the_environment_and_show_no_url():
    url = f"postgresql://u:{SECRET}@h/d"
    settings = Settings.from_environment({"DATABASE_URL": url, "DATABASE_URL_TEST": url + "_test"})
    assert settings.required_database_url() == url
    assert settings.database_url_test == url + "_test"
    assert SECRET not in repr(settings)


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
     "postgresql://u:s3cr3t%ZZ@h/d", "postgresql://u:s3cr3t@h/d?nonsense=1", "s3cr3t://h"],
)  # fmt: skip
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError) as caught:
        connection_parameters(url)
    assert "s3cr3t@" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=6))
def test_no_password_shows_whatever_it_holds(password):
    """Also one that was not percent-encoded, and breaks the URL at a place of its own."""
    url = f"postgresql://user:{password}@nowhere.invalid/d"
    try:
        shown = describe(connection_parameters(url))
    except ConfigurationError as error:
        shown = str(error)
    for part in ("database URL", "percent-encode", "nowhere.invalid"):
        if part in password:
            return
    assert f":{password}@" not in shown


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


@pytest.mark.parametrize("options", [{"max_connections": 0}, {"pool_timeout": -1}])
def test_a_pool_without_connections_is_refused(options):
    with pytest.raises(ConfigurationError):
        create_db("postgresql://h/d", **options)
