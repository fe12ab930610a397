"""What statements send arrives as it was given, whatever it holds."""

import pickle
from datetime import UTC, datetime
from uuid import UUID

import psycopg2.extensions
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from peewee import SQL, Select, Value, fn

from homethrive_db import create_db
from homethrive_db.models import User
from homethrive_db.statements import array, input_rows, json_rows, json_text, param, statement

STORABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))

SMALL = st.integers(-(2**15), 2**15 - 1)

ROWS = input_rows("input", value="text", number="smallint")
ECHO_ROWS = statement(
    Select((ROWS,), (ROWS.c.position, ROWS.c.value, ROWS.c.number))
    .order_by(ROWS.c.position)
    .with_cte(ROWS)
)

JSON_ROWS = json_rows("objects", value="text", numbers="smallint[]")
ECHO_JSON_ROWS = statement(
    Select((JSON_ROWS,), (JSON_ROWS.c.position, JSON_ROWS.c.value, JSON_ROWS.c.numbers))
    .order_by(JSON_ROWS.c.position)
    .with_cte(JSON_ROWS)
)

ONES = {number: statement(Select((), (number,))) for number in (1, 2)}


def as_it_is(*row):
    return row


@pytest.fixture(scope="module")
def db(homethrive_worker_db):
    """Only read from: one connection serves every example."""
    with homethrive_worker_db.connection_context():
        yield homethrive_worker_db


@given(st.lists(st.tuples(st.none() | STORABLE, st.none() | SMALL)))
@example([("NULL", None), (None, 1), ("", 2), (" ", 3), ('a"b', 4), ("\\", 5), ("{a,b}", 6)])
@example([("',--", 1), ("%s %(value)s %%", 2), ("new\nline\t\r", 3), ("ü李💊\u202e", 4)])
def test_an_array_arrives_as_it_was_sent(db, rows):
    """Hostile text too: quotes, braces, backslashes, placeholders, the word NULL."""
    values, numbers = [value for value, _ in rows], [number for _, number in rows]
    sent = {"value": array(values), "number": array(numbers)}
    assert db.all(ECHO_ROWS, as_it_is, **sent) == [
        (position, *row) for position, row in enumerate(rows, 1)
    ]


@given(st.lists(st.tuples(st.none() | STORABLE, st.none() | st.lists(SMALL))))
@example([("null", None), (None, [1]), ("", []), ('a"b', [2]), ("\\", [3]), ("{a:[b]}", [4])])
@example(
    [("',--", [1]), ("%s %(objects)s %%", [2]), ("new\nline\t\r\x1f", [3]), ("ü李💊\u202e", [])]
)
def test_rows_of_json_arrive_as_they_were_sent(db, rows):
    sent = json_text({"value": value, "numbers": numbers} for value, numbers in rows)
    assert db.all(ECHO_JSON_ROWS, as_it_is, objects=sent) == [
        (position, *row) for position, row in enumerate(rows, 1)
    ]


@given(STORABLE, STORABLE)
@example("%s %(given)s %% %", "100%")
@example("back\\slash's", "\\'")
def test_constants_and_parameters_may_hold_anything(db, constant, given_value):
    """A constant stands in the query itself, a parameter comes with the call."""
    query = Select((), (fn.CONCAT(constant, "|", param("given", "text")), param("given", "text")))
    echoed = db.first(statement(query), as_it_is, given=given_value)
    assert echoed == (f"{constant}|{given_value}", given_value)


def test_a_write_that_returns_nothing_gives_an_empty_row_for_each_that_it_wrote(homethrive_db):
    new = {"clerk_user_id": fn.UNNEST(param("ids", "text[]"))}
    insertion = statement(User.insert_from(Select((), tuple(new.values())), list(new)))
    assert homethrive_db.rows(insertion, {"ids": array("abc")}) == [(), (), ()]
    deletion = statement(User.delete().where(User.clerk_user_id == param("id")))
    assert homethrive_db.rows(deletion, {"id": "b"}) == [()]
    assert homethrive_db.rows(deletion, {"id": "b"}) == []


def test_a_statement_is_named_by_its_constant_also_where_that_holds_several():
    assert [one.name for one in (ECHO_ROWS, *ONES.values())] == [
        "test_statements.echo_rows",
        "test_statements.ones",
        "test_statements.ones",
    ]


def test_a_percent_sign_in_the_sql_is_written_twice_and_sent_once(db):
    declared = statement(Select((), (SQL("7 %% 4"), SQL("'%%s%%'"), param("x", "text"), "50%")))
    assert db.first(declared, as_it_is, x="%") == (3, "%s%", "%", "50%")


@pytest.mark.parametrize(
    ("text", "like_it"), [("50%", "50x"), ("a_b", "axb"), ("back\\slash", "backslash")]
)
def test_a_search_takes_wildcards_as_plain_characters(db, text, like_it):
    """Peewee's escape character is one more constant of the statement."""
    query = Select((), (Value(f"<{text}>").contains(text), Value(f"<{like_it}>").contains(text)))
    assert db.first(statement(query), as_it_is) == (True, False)


def test_a_statement_is_good_for_every_database(db, homethrive_committed_db):
    """Compiled once, it knows no server."""
    declared = statement(Select((), (fn.CURRENT_DATABASE(), param("x", "int"))))
    (here, mine), (there, other) = (
        one.first(declared, as_it_is, x=number)
        for number, one in enumerate((db, homethrive_committed_db))
    )
    assert here != there
    assert (mine, other) == (0, 1)


def test_a_call_in_the_midst_of_another_takes_none_of_its_rows(homethrive_committed_url):
    """As a signal handler may make one: a connection's cursor serves one of them at a time."""
    who = statement(Select((), (param("who", "text"),)))
    inner = []

    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query, values=None):
            super().execute(query, values)
            if values == {"who": "outer"}:
                inner.append(db.first(who, str, who="inner"))

    db = create_db(homethrive_committed_url, cursor_factory=Cursor)
    with db.connection_context():
        for _ in range(2):
            assert db.first(who, str, who="outer") == "outer"
    assert inner == ["inner", "inner"]
    db.close_all()


INSTANTS = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.just(UTC),
)
ECHO_VALUES = statement(
    Select(
        (),
        (
            param("id", "uuid"),
            param("ids", "uuid[]"),
            param("at", "timestamptz"),
            SQL("NULL::uuid"),
            SQL("NULL::timestamptz"),
        ),
    )
)


@given(st.uuids(allow_nil=True), st.lists(st.uuids()), INSTANTS)
def test_ids_and_instants_come_back_as_they_were_sent(db, one, several, at):
    """They are made without the checks of their classes."""
    rows = db.rows(ECHO_VALUES, {"id": one, "ids": several, "at": at})
    assert rows == [(one, several, at, None, None)]
    got, _, instant, *_ = rows[0]
    assert (hash(got), repr(got), pickle.loads(pickle.dumps(got))) == (hash(one), repr(one), one)
    assert instant.tzinfo is UTC


class OwnUUID(UUID):
    pass


@given(st.uuids())
@example(UUID(int=0))
def test_an_id_arrives_as_it_was_sent(db, id):
    echo = statement(Select((), (param("id", "uuid"),)))
    for sent in (id, OwnUUID(int=id.int), str(id)):
        assert db.first(echo, as_it_is, id=sent) == (id,)
