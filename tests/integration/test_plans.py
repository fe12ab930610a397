"""What the server does for each statement: it reads by index, and little more than it gives.

On 300,000 doses; with ``HOMETHRIVE_PLANS_SCALE=medium``, which tox sets once, on 3,000,000.
"""

import dataclasses
import os
import pkgutil
from contextlib import contextmanager, suppress
from datetime import date
from importlib import import_module

import psycopg2
import psycopg2.extensions
import pytest

from benchmarks.calls import CALLS, DOSE_CALLS, NOW, Call, given, reports
from benchmarks.fill import SCALES, fill
from homethrive_db import (
    ConflictError,
    Database,
    Repositories,
    create_db,
    repositories,
)
from homethrive_db.repositories.access_states import Transition
from homethrive_db.statements import Statement

LARGE = 1_000
"""A table of more rows is not to be read as a whole."""

MANY = 250
"""So many doses of a batch are planned for themselves in direct mode."""

BUFFERS_A_ROW = 40
BUFFERS_A_CALL = 60


class Refused(Call):
    """Makes twice what is legal once."""

    def bound(self, *arguments):
        call = super().bound(*arguments)

        def twice():
            call()
            with suppress(ConflictError):
                call()

        return twice


class NewProfile(Call):
    """Makes the profile of somebody who has none."""

    def bound(self, calls, *arguments):
        calls.users.upsert("somebody new")
        return super().bound(calls, *arguments)


CHANGES = ("update_status", "approve_request", "accept_invite", "revoke")
OTHERS = [
    NewProfile(
        "care_recipients.find_or_create_own_profile, new",
        lambda *_: given("somebody new", "Ana"),
        writes=True,
    ),
    *(
        Call(
            f"medications.{method}, all",
            lambda h, n: given(h.caregiver(n), h.recipient(n), include_inactive=True),
        )
        for method in ("list_by_recipient", "iter_by_recipient")
    ),
    Call(
        "schedules.update, by rules",
        lambda h, n: given(h.caregiver(n), h.schedule(n), recurrence="daily", end_date=NOW.date()),
        writes=True,
    ),
    Call(
        "schedules.revise",
        lambda h, n: given(h.caregiver(n), h.schedule(n), date(2030, 1, 1), dosage_notes="x"),
        writes=True,
    ),
    Call(
        "schedules.end",
        lambda h, n: given(h.caregiver(n), h.schedule(n), date(2030, 1, 1)),
        writes=True,
    ),
    Call(
        f"doses_taken.mark_taken_many, {MANY}",
        lambda h, n: given(reports(h, n, MANY)),
        writes=True,
    ),
    *(
        Refused(f"{call.name}, refused", call.arguments, writes=True)
        for call in CALLS
        if call.name.rpartition(".")[2] in CHANGES
    ),
]
"""Calls that send what is sent more rarely."""


class Cursor(psycopg2.extensions.cursor):
    """Keeps what it executes."""

    executed = []

    def execute(self, query, values=None):
        self.executed.append((query, values))
        return super().execute(query, values)


@pytest.fixture(scope="module")
def filled(homethrive_databases):
    """Give a database with many doses, and who is in it."""
    with homethrive_databases.clone() as url:
        connection = psycopg2.connect(url)
        scale = SCALES[os.environ.get("HOMETHRIVE_PLANS_SCALE", "small")]
        households = fill(connection, scale, quiet=True)
        connection.close()
        db = create_db(url, cursor_factory=Cursor)
        yield db, households
        db.close_all()


@pytest.fixture
def direct(filled):
    """Give the same in direct mode."""
    db, households = filled
    options = dataclasses.replace(db.options, prepared=True)
    direct = Database(db.database, options, **db.connect_params)
    yield direct, households
    direct.close_all()


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explain(cursor, query, values):
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"
    psycopg2.extensions.cursor.execute(cursor, explained, values)
    return cursor.fetchone()[0][0]["Plan"]


def sizes(db):
    """Estimate the rows of each table."""
    with db.connection_context():
        return dict(db.execute_sql("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'"))


@contextmanager
def taken_back(db):
    with db.atomic() as transaction:
        yield
        transaction.rollback()


def sent(db, households, call):
    """Make a call and take it back; give the statements that it sends."""
    with taken_back(db):
        Cursor.executed.clear()
        call.run(Repositories(db), households, 17)
        executed = list(Cursor.executed)
    return [one for one in executed if one[0].split()[0] not in {"SAVEPOINT", "RELEASE"}]


def each(statements):
    """Take those of one message apart."""
    return [(one, values) for query, values in statements for one in query.split("; ")]


def read_by_index(plan, rows_of, call):
    """See that a plan reads no large table as a whole, and little more than it gives."""
    batch = batch_of(call)
    for one in nodes(plan):
        if one["Node Type"] == "Seq Scan":
            assert rows_of[one["Relation Name"]] <= LARGE, plan
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    rows = max(plan["Actual Rows"], batch)
    assert touched <= BUFFERS_A_CALL + BUFFERS_A_ROW * rows, (touched, rows)


def batch_of(call):
    """Tell how many doses a call marks."""
    return int(call.name.rpartition(" ")[2]) if "mark_taken_many" in call.name else 1


@pytest.mark.parametrize("call", [*CALLS, *DOSE_CALLS, *OTHERS], ids=lambda call: call.name)
def test_a_call_reads_by_index_and_little_more_than_it_gives(filled, call):
    db, households = filled
    rows_of = sizes(db)
    assert rows_of["dose_taken"] > 100 * LARGE
    statements = sent(db, households, call)
    assert statements
    with taken_back(db):
        cursor = db.connection().cursor()
        plans = [explain(cursor, query, values) for query, values in each(statements)]
    for plan in plans:
        read_by_index(plan, rows_of, call)


def kept_plans(db, households, call):
    """Make a call in direct mode; give the plans that are kept for whatever values come."""
    with db.connection_context():
        prepared = [one for one in sent(db, households, call) if "EXECUTE homethrive_" in one[0]]
        with taken_back(db):
            db.execute_sql("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor = db.connection().cursor()
            return [
                explain(cursor, query[query.rindex("EXECUTE homethrive_") :], values)
                for query, values in prepared
            ]


@pytest.mark.parametrize("call", [*CALLS, *DOSE_CALLS, *OTHERS], ids=lambda call: call.name)
def test_the_plan_that_direct_mode_keeps_does_so_too(direct, call):
    db, households = direct
    plans = kept_plans(db, households, call)
    assert plans or batch_of(call) >= MANY
    for plan in plans:
        read_by_index(plan, sizes(db), call)


def accesses(plan):
    """List what a plan reads of accesses: rows at a time, and how often."""
    return [
        (one["Actual Rows"], one["Actual Loops"])
        for one in nodes(plan)
        if one.get("Relation Name") == "caregiver_access"
    ]


def test_the_plan_that_direct_mode_keeps_looks_the_access_up_once(direct):
    call = next(one for one in CALLS if one.name == "doses_taken.iter_by_recipient")
    (plan,) = kept_plans(*direct, call)
    assert plan["Actual Rows"] > 50
    assert accesses(plan) == [(1, 1)]


@pytest.mark.parametrize(
    "name", ["care_recipients.find_by_id", "medications.find_by_id", "doses_taken.mark_taken"]
)
def test_a_recipient_is_reached_by_one_access_however_many_a_caregiver_has(filled, direct, name):
    call = next(one for one in CALLS if one.name == name)
    caregiver = filled[1].caregiver(17)
    assert len(Repositories(filled[0]).caregiver_access.approved_recipient_user_ids(caregiver)) > 1
    ((query, values),) = sent(*filled, call)
    with taken_back(filled[0]):
        plain = explain(filled[0].connection().cursor(), query, values)
    assert [accesses(one) for one in (plain, *kept_plans(*direct, call))] == [[(1, 1)]] * 2


def declared():
    """Find the statements that the repositories' modules declare, by their names."""
    for module in pkgutil.iter_modules(repositories.__path__):
        variables = vars(import_module(f"{repositories.__name__}.{module.name}"))
        for name, value in variables.items():
            for number, one in enumerate(statements_in(value)):
                yield f"{module.name}.{name}[{number}]", one


def statements_in(value):
    if isinstance(value, Statement):
        yield value
    elif isinstance(value, Transition):
        yield from (value.change, value.find)
    elif isinstance(value, dict):
        for one in value.values():
            yield from statements_in(one)


def test_every_statement_is_among_them(filled):
    db, households = filled
    seen = {query for call in (*CALLS, *OTHERS) for query, _ in sent(db, households, call)}
    found = dict(declared())
    assert len(found) > 30
    missing = [name for name, one in found.items() if one.compiled() not in seen]
    assert not missing
