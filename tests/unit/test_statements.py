"""Statements are compiled once, and bound by name."""

import pytest
from peewee import SQL, Select, fn

from homethrive_db import models
from homethrive_db.entities import User
from homethrive_db.statements import array, columns, input_rows, param, statement


def test_parameters_are_named_and_constants_are_written_out():
    declared = statement(
        models.User.select(models.User.email).where(
            models.User.clerk_user_id == param("who"),
            models.User.display_name == "100 % O'Brien",
            models.User.is_recipient == True,  # noqa: E712  # Peewee's
        )
    )
    sql = declared.compiled()
    assert '"clerk_user_id" = %(who)s' in sql
    assert "\"display_name\" = '100 %% O''Brien'" in sql
    assert '"is_recipient" = true' in sql


def test_a_percent_sign_in_the_sql_is_no_placeholder():
    sql = statement(Select((), (SQL("7 %% 4"), 5, param("x", "text")))).compiled()
    assert sql == "SELECT 7 %% 4, 5, CAST(%(x)s AS text)"


def test_a_statement_is_compiled_on_first_use_and_never_again():
    class Counted(Select):
        compiled = 0

        def __sql__(self, context):
            Counted.compiled += 1
            return super().__sql__(context)

    declared = statement(Counted((), (SQL("1"),)))
    assert Counted.compiled == 0
    assert declared.compiled() is declared.compiled()
    assert Counted.compiled == 1


def test_columns_stand_in_the_order_of_the_entity():
    names = [column.column_name for column in columns(models.User, User)]
    assert names == list(User.__dataclass_fields__)


def test_input_rows_are_numbered():
    rows = input_rows("input", name="text")
    sql = statement(Select((rows,), (rows.c.position,)).with_cte(rows)).compiled()
    assert 'WITH "input" ("name", "position") AS MATERIALIZED' in sql
    assert "unnest(CAST(%(name)s AS text[])) WITH ORDINALITY" in sql


@pytest.mark.parametrize(
    ("values", "literal"),
    [([], "{}"), ([None], "{NULL}"), (["NULL"], '{"NULL"}'), ([1, 2], '{"1","2"}'),
     (['a"b\\c,{}'], '{"a\\"b\\\\c,{}"}')],
)  # fmt: skip
def test_an_array_is_one_literal(values, literal):
    assert array(values) == literal


def test_a_function_takes_parameters():
    sql = statement(Select((), (fn.LOWER(param("email")),))).compiled()
    assert sql == "SELECT LOWER(%(email)s)"
