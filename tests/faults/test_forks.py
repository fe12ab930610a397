"""A forked process begins with an empty pool of its own; its parent's connections stay alive."""

import os
import threading

import pytest

from homethrive_db import UnavailableError, create_db
from tests.faults.children import ended_well, fork
from tests.waiting import wait_until

# A test runner has threads of its own; what they hold at the fork is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def ask(db, count=300):
    """See that each answer is the one to its own question; gives the backends that answered."""
    backends = set()
    for number in range(count):
        question = f"{os.getpid()}-{number}"
        with db.connection_context():
            row = db.execute_sql("SELECT %s, pg_backend_pid()", (question,)).fetchone()
        assert row[0] == question
        backends.add(row[1])
    return backends


def test_four_children_and_their_parent_get_their_own_answers(url, make_db, tmp_path):
    """Fault 8: 300 queries each, on backends of their own."""
    db = make_db(url)
    before = ask(db, 1)

    def child():
        tmp_path.joinpath(str(os.getpid())).write_text(str(ask(db)))

    children = [fork(child) for _ in range(4)]
    mine = ask(db)
    assert ended_well(*children)
    theirs = [eval(tmp_path.joinpath(str(pid)).read_text()) for pid in children]
    assert mine == before
    assert len(set.union(mine, *theirs)) == 5
    assert db.stats().opened == 1


@pytest.mark.parametrize("lock", ["slots", "alarms", "process"])
def test_a_lock_that_is_held_at_the_fork_does_not_stop_a_child(url, make_db, lock):
    from homethrive_db import deadlines

    db = make_db(url)
    ask(db, 1)
    held = {"slots": db._slots._lock, "alarms": deadlines._clock._changed, "process": db._lock}[
        lock
    ]
    holding, done = threading.Event(), threading.Event()

    def hold():
        with held:
            holding.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()

    def child():
        with db.deadline(30):
            ask(db, 3)

    pid = fork(child)
    assert ended_well(pid)
    done.set()
    holder.join()


def test_a_child_forked_inside_a_block_does_not_touch_it(url, make_db, written):
    db = make_db(url)
    with db.atomic():
        db.execute_sql("INSERT INTO written VALUES ('parent')")

        def child():
            with pytest.raises(UnavailableError):
                db.execute_sql("INSERT INTO written VALUES ('child')")

        assert ended_well(fork(child))
        db.execute_sql("INSERT INTO written VALUES ('parent again')")
    with db.connection_context():

        def another():
            ask(db, 3)

        assert ended_well(fork(another))
        assert db.execute_sql("SELECT 1").fetchone() == (1,)
    assert written() == ["parent", "parent again"]


def test_a_parents_session_ends_with_the_parent(server, url):
    """A child that lives on does not keep it."""
    ready, ended = os.pipe(), os.pipe()

    def parent():
        db = create_db(url, application_name="the parent")
        ask(db, 1)
        if not os.fork():
            os.write(ready[1], b"1")
            os.read(ended[0], 1)
            os._exit(0)

    pid = fork(parent)
    os.read(ready[0], 1)
    assert ended_well(pid)
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'the parent'"
    wait_until(lambda: not server.execute(query))
    os.write(ended[1], b"1")
    for end in (*ready, *ended):
        os.close(end)
