"""What the server does for each statement, on 300,000 doses: it reads little more than it gives."""

from datetime import date

import psycopg2
import psycopg2.extensions
import pytest

from benchmarks.calls import BATCH, CALLS, DOSE_CALLS
from benchmarks.comparison import undone
from benchmarks.fill import SCALES, fill
from homethrive_db import Repositories, create_db

LARGE = 1_000
"""From so many rows on a table is not to be read as a whole; for a batch from ten times as many."""

BUFFERS_A_ROW = 40
BUFFERS_A_CALL = 60


class Cursor(psycopg2.extensions.cursor):
    """Keeps what it executes."""

    executed = []

    def execute(self, query, values=None):
        self.executed.append((query, values))
        return super().execute(query, values)


@pytest.fixture(scope="module")
def filled(homethrive_databases):
    """Give a database with 300,000 doses, and who is in it."""
    with homethrive_databases.clone() as url:
        connection = psycopg2.connect(url)
        households = fill(connection, SCALES["small"], quiet=True)
        connection.close()
        db = create_db(url, cursor_factory=Cursor)
        yield db, households
        db.close_all()


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


ALL = [*CALLS, *DOSE_CALLS]


@pytest.mark.parametrize("call", ALL, ids=[call.name for call in ALL])
def test_a_call_reads_by_index_and_little_more_than_it_gives(filled, call):
    db, households = filled
    rows_of = sizes(db)
    assert rows_of["dose_taken"] > 100 * LARGE
    with db.connection_context(), undone(db.connection(), call):
        Cursor.executed.clear()
        call.run(Repositories(db), households, 17)
        statements = [one for one in Cursor.executed if one[0] not in {"BEGIN", "ROLLBACK"}]
    assert statements
    for query, values in statements:
        with db.connection_context(), undone(db.connection(), call):
            plan = explain(db.connection().cursor(), query, values)
        check(plan, rows_of, query, BATCH if "mark_taken_many" in call.name else 1)


ENDING = {
    "revise": lambda schedules, user, schedule: schedules.revise(
        user, schedule, date(2030, 1, 1), dosage_notes="x"
    ),
    "end": lambda schedules, user, schedule: schedules.end(user, schedule, date(2030, 1, 1)),
}


@pytest.mark.parametrize("method", ENDING)
def test_an_end_of_a_schedule_reads_by_index_too(filled, method):
    db, households = filled
    schedules = Repositories(db).schedules
    with db.atomic() as transaction:
        Cursor.executed.clear()
        ENDING[method](schedules, households.caregiver(17), households.schedule(17))
        transaction.rollback()
    statements = [one for one in Cursor.executed if one[0].startswith("WITH")]
    assert len(statements) == {"revise": 2, "end": 1}[method]
    for query, values in statements:
        with db.atomic() as transaction:
            plan = explain(db.connection().cursor(), query, values)
            transaction.rollback()
        check(plan, sizes(db), query)


def check(plan, rows_of, query, asked_for=1):
    """Find no large table that is read as a whole, and no more touched than is given."""
    for one in nodes(plan):
        if one["Node Type"] == "Seq Scan":
            assert rows_of[one["Relation Name"]] <= LARGE * min(asked_for, 10), query
    touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    rows = max(plan["Actual Rows"], asked_for)
    assert touched <= BUFFERS_A_CALL + BUFFERS_A_ROW * rows, (touched, rows)
