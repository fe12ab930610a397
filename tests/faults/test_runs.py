"""Transactions that get in each other's way, and are run again."""

import threading

import pytest

from tests.faults.conftest import DATABASE


@pytest.fixture
def counters(server):
    """Make two counters."""
    server.execute("CREATE TABLE counters (id int PRIMARY KEY, n int)", database=DATABASE)
    server.execute("INSERT INTO counters VALUES (1, 0), (2, 0)", database=DATABASE)
    yield lambda: server.execute("SELECT n FROM counters ORDER BY id", database=DATABASE)
    server.execute("DROP TABLE counters", database=DATABASE)


def all_at_once(*functions):
    """Run each in a thread of its own; gives their errors."""
    errors = []

    def attempt(function):
        try:
            function()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=attempt, args=[one]) for one in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_a_serialization_failure_is_repeated(url, make_db, counters):
    """40001: what another one has changed meanwhile is read again."""
    db = make_db(url, isolation_level="REPEATABLE READ")
    all_four = threading.Barrier(4, timeout=60)
    attempts = []

    def count_up():
        attempts.append(1)
        (n,) = db.execute_sql("SELECT n FROM counters WHERE id = 1").fetchone()
        if len(attempts) <= 4:  # the first one of each
            all_four.wait()
        db.execute_sql("UPDATE counters SET n = %s WHERE id = 1", (n + 1,))

    def work():
        for _ in range(10):
            db.run(count_up)

    assert all_at_once(*[work] * 4) == []
    assert counters() == [(40,), (0,)]
    assert len(attempts) >= 40 + 3


def test_a_deadlock_is_repeated(url, make_db, counters):
    """40P01: one of the two begins again."""
    db = make_db(url)
    both = threading.Barrier(2, timeout=60)
    attempts = []

    def count_up_in_order(first, second):
        def count_up():
            attempts.append(first)
            db.execute_sql("UPDATE counters SET n = n + 1 WHERE id = %s", (first,))
            if attempts.count(first) == 1:
                both.wait()
            db.execute_sql("UPDATE counters SET n = n + 1 WHERE id = %s", (second,))

        db.run(count_up)

    errors = all_at_once(lambda: count_up_in_order(1, 2), lambda: count_up_in_order(2, 1))
    assert errors == []
    assert counters() == [(2,), (2,)]
    assert len(attempts) >= 3  # on a busy machine, the first of them may come in the way again


def test_inside_a_block_it_is_called_once(url, make_db, counters):
    """The caller's transaction is aborted as a whole: another attempt in it would see the same."""
    db = make_db(url)
    calls = []

    def fail():
        calls.append(1)
        db.execute_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    with pytest.raises(Exception, match="no"), db.atomic():
        db.run(fail)
    assert calls == [1]
