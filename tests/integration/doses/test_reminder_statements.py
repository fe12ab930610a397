"""What the ledger sends: how many statements, how long, and how the server reads for them."""

from datetime import timedelta
from uuid import uuid4

import psycopg2.extensions
import pytest

from homethrive_db import UnavailableError, create_db
from homethrive_db.doses.reminder_statements import CLAIM, ENQUEUE, FAILED, PURGE, SENT, WITHDRAW
from homethrive_db.statements import PROXY_BYTES, array
from tests.reminders import NOON, Home

SETTLED = 100_000


@pytest.fixture
def recorded():
    """Give the statements that connections send, as they come."""
    return []


@pytest.fixture
def home(homethrive_committed_url, recorded):
    class Cursor(psycopg2.extensions.cursor):
        def execute(self, query, values=None):
            recorded.append(self.mogrify(query, values).decode())
            return super().execute(query, values)

    db = create_db(homethrive_committed_url, cursor_factory=Cursor)
    yield Home(db)
    db.close_all()


def test_each_call_is_one_statement(home, recorded):
    home.enqueue(days=3)
    occurrences = home.occurrences(days=3)
    first, second = home.claim(limit=2)
    calls = {
        "enqueue": lambda: home.ledger.enqueue(occurrences, "due"),
        "claim": home.claim,
        "claim of nothing": home.claim,
        "sent": lambda: home.ledger.sent(first),
        "failed": lambda: home.ledger.failed(second, "busy"),
        "purge of nothing": lambda: home.ledger.purge(NOON - timedelta(days=9)),
    }
    for name, call in calls.items():
        recorded.clear()
        call()
        assert len(recorded) == 1, name


def test_a_claim_is_a_second_statement_only_where_something_is_withdrawn(home, recorded):
    home.enqueue(days=3)
    home.doses.skip("owner", home.occurrences()[0].dose.dose_id)
    recorded.clear()
    assert len(home.claim()) == 2
    assert len(recorded) == 2


def test_a_thousand_reminders_are_one_statement(home, recorded):
    occurrences = home.occurrences(days=1001)
    recorded.clear()
    assert home.ledger.enqueue(occurrences, "due") == 1001
    assert len(recorded) == 2


def test_behind_a_proxy_no_statement_is_long_enough_to_pin_a_session(home, recorded):
    home.db.options = type(home.db.options)(proxy=True)
    occurrences = home.occurrences(days=600)
    recorded.clear()
    assert home.ledger.enqueue(occurrences, "due") == 600
    home.repositories.medications.set_inactive("owner", home.medication.id, NOON)
    assert len(home.claim(limit=600)) == 0
    assert home.states() == {"withdrawn": 600}
    longest = max(map(len, recorded))
    assert PROXY_BYTES * 0.7 < longest <= PROXY_BYTES


@pytest.fixture(scope="module")
def filled(homethrive_databases):
    """Fill a ledger: few reminders wait, and very many are settled."""
    with homethrive_databases.clone() as url:
        home = Home(create_db(url))
        home.enqueue(days=200)
        with home.db.atomic():
            home.execute("SET LOCAL session_replication_role = replica")  # no foreign keys: fast
            home.execute(
                """INSERT INTO dose_reminders (schedule_id, scheduled_for, kind, user_id, state)
                SELECT schedule_id, scheduled_for - number * interval '1 minute', kind, user_id,
                    (ARRAY['sent', 'dead', 'withdrawn'])[1 + number %% 3]::reminder_state_enum
                FROM (SELECT * FROM dose_reminders LIMIT 1) AS one,
                    generate_series(1, %s) AS number""",
                SETTLED,
            )
        home.execute("ANALYZE")
        yield home
        home.db.close_all()


@pytest.fixture
def full(filled):
    """Give the full ledger, and undo what the test does."""
    with filled.db.atomic() as transaction:
        yield filled
        transaction.rollback()


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explain(home, statement, **values):
    explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.compiled()}"
    with home.db.connection_context():
        cursor = home.db.execute_sql(explained, values)
        return cursor.fetchone()[0][0]["Plan"]


def values_of(home):
    (reminder,) = home.claim(limit=1)
    occurrences = home.occurrences(days=1000)
    lease = {"lease_id": str(reminder.lease_id), "max_attempts": 5}
    return {
        CLAIM: {"kind": "due", "limit": 50, "lease_seconds": 60.0, **lease},
        ENQUEUE: {
            "kind": "due",
            "schedule_id": array(one.dose.schedule_id for one in occurrences),
            "scheduled_for": array(one.dose.scheduled_for for one in occurrences),
            "user_id": array("owner" for _ in occurrences),
        },
        SENT: {"reminder_id": str(reminder.id), "call_id": str(uuid4())},
        FAILED: {"reminder_id": str(reminder.id), "error": "x", "pause_seconds": 9.0, **lease},
        WITHDRAW: {"reminder_ids": array([reminder.id]), **lease},
        PURGE: {"before": NOON - timedelta(minutes=SETTLED - 50), "limit": 5000},
    }


BOUNDS = {CLAIM: 50 * 60, ENQUEUE: 1000 * 60, SENT: 60, FAILED: 60, WITHDRAW: 60, PURGE: 60 * 60}
"""How many pages each may touch."""


@pytest.mark.parametrize("statement", BOUNDS, ids=lambda one: one.name)
def test_a_ledger_of_many_settled_reminders_is_read_by_index(full, statement):
    plan = explain(full, statement, **values_of(full)[statement])
    read = [one for one in nodes(plan) if one.get("Relation Name") == "dose_reminders"]
    assert read
    assert "Seq Scan" not in {one["Node Type"] for one in read}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= BOUNDS[statement]


def test_a_claim_reads_what_is_pending_by_the_partial_index_in_its_order(full):
    plan = explain(full, CLAIM, **values_of(full)[CLAIM])
    (locked,) = (one for one in nodes(plan) if one["Node Type"] == "LockRows")
    (scan,) = locked["Plans"]
    assert (scan["Index Name"], scan["Actual Rows"]) == ("dose_reminders_pending_idx", 50)


def test_enqueue_and_sent_are_repeated_where_the_connection_was_lost(
    homethrive_committed_url, monkeypatch
):
    """Their answer is what the first attempt did, though nobody heard of it."""
    home = Home(create_db(homethrive_committed_url))
    occurrences = home.occurrences(days=3)
    fetch = home.db._fetch
    lost = []

    def fetch_and_lose(statement, values):
        rows = fetch(statement, values)
        if not lost:
            lost.append(statement)
            raise UnavailableError("lost", "CONNECTION_LOST")
        return rows

    def calling(call):
        lost.clear()
        with monkeypatch.context() as patch:
            patch.setattr(home.db, "_fetch", fetch_and_lose)
            return call()

    assert calling(lambda: home.ledger.enqueue(occurrences, "due")) == 0
    assert home.states() == {"pending": 3}
    reminder = home.claim()[0]
    assert calling(lambda: home.ledger.sent(reminder)) is True
    assert home.ledger.sent(reminder) is False
    with pytest.raises(UnavailableError):
        calling(home.claim)
    home.db.close_all()
