"""No password is shown where local variables are: in long tracebacks, by error trackers."""

import os
import traceback
from functools import partial

import psycopg2
import pytest

from homethrive_db import (
    ConfigurationError,
    HomethriveDbError,
    Repositories,
    Settings,
    UnavailableError,
    check_connection,
    create_db,
    get_db,
    reset_db,
)
from homethrive_db.cli.migrations import reset
from homethrive_db.cli.tools import psql
from homethrive_db.migrate import migrate, status
from homethrive_db.settings import connection_parameters
from homethrive_db.testing.databases import TestDatabases, let_forget, server_url
from tests.secrecy import shown

SECRET = "s3cretpw"
NOWHERE = f"postgresql://u:{SECRET}@localhost:1/x_test"


def failing(call):
    """Give what *call* raises."""
    with pytest.raises(HomethriveDbError) as caught:
        call()
    return caught.value


def find_a_user(db):
    Repositories(db).users.find_by_clerk_user_id("user_1")


def begin(db):
    with db.atomic():
        raise AssertionError("there is no server")


def begin_within_a_deadline(db):
    with db.deadline(5):
        begin(db)


def run_on_one_beside(db):
    with type(db).beside(db) as beside:
        beside.run(lambda: None, patience=0)


USES = {
    "repository": find_a_user,
    "check_connection": check_connection,
    "atomic": begin,
    "deadline": begin_within_a_deadline,
    "beside": run_on_one_beside,
    "migrate": lambda db: list(migrate(db)),
    "status": status,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_password_is_shown_where_no_server_is(use):
    error = failing(lambda: use(create_db(NOWHERE)))
    assert isinstance(error, UnavailableError)
    assert isinstance(error.__cause__, psycopg2.OperationalError)
    assert "Connection refused" in str(error.__cause__)
    assert SECRET not in shown(error)


def test_where_it_failed_is_still_told():
    """The lines of the cause's frames stay: only their variables are gone."""
    error = failing(lambda: check_connection(create_db(NOWHERE)))
    names = [frame.name for frame in traceback.extract_tb(error.__cause__.__traceback__)]
    assert names[-2:] == ["_open", "connect"]


def test_no_password_of_credentials_is_shown():
    """Neither the one that was refused, nor the one that came after it."""

    def credentials(*, refresh):
        return {"user": "u", "password": f"{SECRET}{refresh}"}

    db = create_db("postgresql://localhost:1/x_test", credentials=credentials)
    assert SECRET not in shown(failing(lambda: check_connection(db)))


def test_no_password_is_shown_where_credentials_fail():
    def credentials(*, refresh):
        if refresh:
            raise ConfigurationError("the store is gone")
        return {"user": "u", "password": SECRET}

    error = failing(lambda: check_connection(create_db(NOWHERE, credentials=credentials)))
    assert str(error) == "the store is gone"
    assert SECRET not in shown(error)


def test_the_variables_of_what_was_under_way_before_stay():
    """An error of the caller's own, in whose handler there is no server, is not touched."""

    def fail():
        kept = "kept"
        raise LookupError(kept)

    def recover():
        try:
            fail()
        except LookupError:
            check_connection(create_db(NOWHERE))

    last = failing(recover)
    while not isinstance(last, LookupError):
        last = last.__context__
    assert last.__traceback__.tb_next.tb_frame.f_locals == {"kept": "kept"}


UNREADABLE = [
    f"mysql://u:{SECRET}@h/x_test",
    f"postgresql://u:{SECRET}%zz@h/x_test",
    f"postgresql://u:{SECRET}@h/x_test?nope=1",
]


@pytest.mark.parametrize("url", UNREADABLE)
@pytest.mark.parametrize(
    "call",
    [
        create_db,
        connection_parameters,
        let_forget,
        lambda url: TestDatabases(url, "0" * 12),
        lambda url: server_url("run", {"DATABASE_URL_TEST": url}),
    ],
    ids=["create_db", "connection_parameters", "let_forget", "TestDatabases", "server_url"],
)
def test_no_url_is_shown_that_cannot_be_read(url, call):
    error = failing(partial(call, url))
    assert isinstance(error, ConfigurationError)
    assert SECRET not in shown(error)


@pytest.mark.parametrize(
    "option",
    [{"max_connections": 0}, {"check_after": "soon"}, {"proxy": True, "options": "-c x=1"}],
    ids=["max_connections", "check_after", "proxy"],
)
def test_no_url_is_shown_with_an_option_that_is_wrong(option):
    assert SECRET not in shown(failing(lambda: create_db(NOWHERE, **option)))


@pytest.mark.parametrize("character", ["\udcff", "\0"])
def test_no_password_is_shown_that_libpq_cannot_take(character):
    """It would end at a NUL, and of a lone surrogate Python's error has the text around it."""
    password = f"{SECRET}{character}"

    def credentials(*, refresh):
        return {"user": "u", "password": password}

    given = failing(lambda: create_db("postgresql://u@localhost:1/x_test", password=password))
    db = create_db("postgresql://localhost:1/x_test", credentials=credentials)
    for error in (given, failing(lambda: check_connection(db))):
        assert isinstance(error, ConfigurationError)
        assert str(error) == "password: text must hold no NUL and no lone surrogate"
        assert SECRET not in shown(error)


def test_no_password_is_shown_that_is_an_option():
    error = failing(lambda: create_db("postgresql://u@localhost:1/x_test", password=SECRET, nope=1))
    assert "nope is no option" in str(error).replace('"', "")
    assert SECRET not in shown(error)


@pytest.mark.parametrize("name", ["DATABASE_URL", "PGPASSWORD"])
def test_nothing_of_the_environment_is_shown(name, monkeypatch):
    """The repr of the whole of it would show every password that it holds."""
    monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("DATABASE_PROXY", "perhaps")
    for call in (Settings.from_environment, partial(server_url, "run")):
        assert SECRET not in shown(failing(call))
    assert SECRET in repr(os.environ)


def test_no_password_of_the_process_is_shown(monkeypatch):
    reset_db()
    monkeypatch.setenv("DATABASE_URL", NOWHERE)
    try:
        assert SECRET not in shown(failing(lambda: find_a_user(get_db())))
    finally:
        reset_db()
    monkeypatch.setenv("DATABASE_URL", UNREADABLE[0])
    assert SECRET not in shown(failing(get_db))


@pytest.mark.parametrize(
    ("command", "arguments", "url"),
    [(reset, {"yes": True}, NOWHERE), (psql, {"arguments": ()}, f"{NOWHERE}?sslpassword=x")],
    ids=["reset", "psql"],
)
def test_no_command_shows_a_password(command, arguments, url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    assert SECRET not in shown(failing(lambda: command.callback(**arguments)))


@pytest.mark.parametrize("call", [let_forget, lambda url: TestDatabases(url, "0" * 12)])
def test_databases_for_tests_fail_as_any_other_does(call):
    error = failing(partial(call, NOWHERE))
    assert isinstance(error, UnavailableError)
    assert SECRET not in shown(error)


def test_a_connection_shows_no_password_either(homethrive_committed_url):
    """It is a variable of the frames of every statement; psycopg2 shows the passphrase of a key."""
    db = create_db(homethrive_committed_url, password=SECRET, sslpassword=SECRET)
    with db.connection_context():
        assert f"sslpassword={SECRET}" in db.connection().dsn
        error = failing(lambda: db.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())"))
    db.close_all()
    assert "'connection': '<connection at" in shown(error)
    assert SECRET not in shown(error)
