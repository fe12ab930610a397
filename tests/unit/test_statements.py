"""Statements are compiled once, and bound by name."""

import os
import subprocess
import sys

import pytest
from peewee import SQL, Select, fn

from homethrive_db import models
from homethrive_db.entities import User
from homethrive_db.statements import (
    array,
    columns,
    input_rows,
    json_bytes,
    json_rows,
    json_text,
    param,
    statement,
)


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


def test_fields_that_are_passed_make_the_same_statement_in_every_process():
    """pg_stat_statements counts by the text, and sets have an order of their own in each."""
    compiled = """
from homethrive_db import validation
from homethrive_db.repositories import care_recipients, medications, schedule_changes, users
print(users._upsert(frozenset(validation.USER_PROFILE)).compiled())
print(care_recipients._update(frozenset(validation.CARE_RECIPIENT)).compiled())
print(medications._update(frozenset(validation.MEDICATION)).compiled())
print(schedule_changes._update(frozenset(validation.SCHEDULE), True, False).compiled())
"""
    texts = {
        subprocess.check_output(
            [sys.executable, "-c", compiled], env={**os.environ, "PYTHONHASHSEED": seed}
        )
        for seed in "1234"
    }
    assert len(texts) == 1


def test_columns_stand_in_the_order_of_the_entity():
    names = [column.column_name for column in columns(models.User, User)]
    assert names == list(User.__dataclass_fields__)


def test_input_rows_are_numbered():
    rows = input_rows("input", name="text")
    sql = statement(Select((rows,), (rows.c.position,)).with_cte(rows)).compiled()
    assert 'WITH "input" ("name", "position") AS MATERIALIZED' in sql
    assert "unnest(CAST(%(name)s AS text[])) WITH ORDINALITY" in sql


def test_rows_of_json_are_numbered_and_named_as_their_parameter():
    rows = json_rows("input", name="text", days="smallint[]")
    sql = statement(Select((rows,), (rows.c.position,)).with_cte(rows)).compiled()
    assert 'WITH "input" ("name", "days", "position") AS MATERIALIZED' in sql
    source = "json_to_recordset(CAST(%(input)s AS json)) AS (name text, days smallint[])"
    assert f"ROWS FROM ({source}) WITH ORDINALITY" in sql


@pytest.mark.parametrize("text", ["plain", "it's", 'a "b" \\ \n\x1f', "ü💊"])
def test_the_bytes_of_a_row_of_json_are_those_that_it_takes_once_quoted(text):
    quoted = json_text([{"name": text}]).replace("\\", "\\\\").replace("'", "''")
    assert json_bytes({"name": text}) == len(quoted.encode()) - len("[]") + len(",")


@pytest.mark.parametrize(
    ("values", "literal"),
    [([], "{}"), ([None], "{NULL}"), (["NULL"], '{"NULL"}'), ([1, 2], '{"1","2"}'),
     (['a"b\\c,{}'], '{"a\\"b\\\\c,{}"}')],
)  # fmt: skip
def test_an_array_is_one_literal(values, literal):
    assert array(values) == literal


def test_the_columns_of_one_table_are_written_without_it():
    of_one = models.User.select(models.User.email).where(models.User.clerk_user_id == param("who"))
    assert statement(of_one).compiled() == (
        'SELECT "email" FROM "users" AS "t1" WHERE ("clerk_user_id" = %(who)s)'
    )


OTHER = models.User.alias()


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (
            models.User.select(models.User.email, models.CareRecipient.id).join(
                models.CareRecipient,
                on=models.CareRecipient.user == models.User.clerk_user_id,
            ),
            '"t1"."email"',
        ),
        (
            models.User.select(models.User.email).where(
                fn.EXISTS(OTHER.select(SQL("1")).where(OTHER.email == models.User.email))
            ),
            '("t2"."email" = "t1"."email")',
        ),
        (
            models.User.select(fn.LOWER(models.User.email).alias("email")).order_by(
                models.User.email
            ),
            'ORDER BY "t1"."email"',
        ),
        (
            models.User.insert({models.User.clerk_user_id: param("who")}).on_conflict(
                conflict_target=[models.User.clerk_user_id],
                update={models.User.email: fn.COALESCE(models.User.email, "none")},
            ),
            'COALESCE("users"."email", \'none\')',
        ),
        (
            models.User.update({models.User.timezone: models.CareRecipient.timezone})
            .from_(models.CareRecipient)
            .where(models.CareRecipient.user == models.User.clerk_user_id),
            '= "users"."clerk_user_id"',
        ),
    ],
    ids=["join", "subquery", "computed", "conflict", "update from"],
)
def test_columns_that_could_be_anothers_keep_their_table(query, kept):
    assert kept in statement(query).compiled()


def test_a_function_takes_parameters():
    sql = statement(Select((), (fn.LOWER(param("email")),))).compiled()
    assert sql == "SELECT LOWER(%(email)s)"
