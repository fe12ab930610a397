"""Reminders among many: threads that enqueue and claim at once, and workers that are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import time, timedelta
from operator import attrgetter

import pytest

from homethrive_db import ReminderLedger, Repositories, create_db
from tests import reminder_workers
from tests.integration.repositories.test_races import WAITING
from tests.reminders import DAY, LEASE, NOON, Home
from tests.waiting import wait_until

THREADS = 8
WORKERS = 20
KILLS = 40


@pytest.fixture
def home(homethrive_committed_url):
    db = create_db(homethrive_committed_url, max_connections=THREADS)
    yield Home(db)
    db.close_all()


def at_once(call):
    barrier = threading.Barrier(THREADS)

    def one(number):
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(one, range(THREADS)))


def test_threads_that_enqueue_the_same_in_any_order_add_each_once(home):
    """None waits for another for ever."""
    occurrences = home.occurrences(days=600, users=("owner", "carer"))

    def enqueue(number):
        mine = occurrences[:]
        random.Random(number).shuffle(mine)
        return home.ledger.enqueue(mine, "due")

    assert sum(at_once(enqueue)) == 1200
    assert home.states() == {"pending": 1200}


def until_waiting(home, calls):
    """Wait until so many wait for somebody who still is in their way."""
    sql = f"SELECT count(*) FROM {WAITING} AND pg_blocking_pids(pid) <> '{{}}'"
    wait_until(lambda: home.execute(sql) == [(calls,)])


def withdraw_all(home):
    assert home.ledger.claim("due", limit=9, lease=LEASE, due_after=NOON + timedelta(days=9)) == []


def test_batches_revive_in_one_order_whatever_moved_in_the_table_meanwhile(
    home, homethrive_committed_url
):
    """One saw the rows where they were before the first was revived, and withdrawn again."""
    other = home.factory.schedule(home.factory.medication(home.profile), start_date=DAY)
    both = home.occurrences(days=2)
    same = [one for one in both if one.dose.schedule_id == home.schedule.id]
    home.ledger.enqueue(same, "due")
    withdraw_all(home)
    # So that the rows are taken as they lie there.
    home.execute("ANALYZE dose_reminders")
    keeping, holding = (create_db(homethrive_committed_url) for _ in range(2))
    due, key = same[1].dose.scheduled_for, str(other.id)
    with ThreadPoolExecutor(2) as threads:
        with holding.atomic():
            with keeping.atomic():
                keeping.execute_sql(
                    "SELECT FROM medication_schedules WHERE id = %s FOR UPDATE", (key,)
                )
                early = threads.submit(home.ledger.enqueue, both, "due")
                until_waiting(home, 1)
                home.ledger.enqueue(same[:1], "due")
                withdraw_all(home)
                holding.execute_sql(
                    "SELECT FROM dose_reminders WHERE scheduled_for = %s FOR UPDATE", (due,)
                )
                late = threads.submit(home.ledger.enqueue, same, "due")
                until_waiting(home, 2)
            until_waiting(home, 2)
        answers = [one.result(timeout=60) for one in (early, late)]
    keeping.close_all()
    holding.close_all()
    assert sum(answers) == len(both)
    assert home.states() == {"pending": len(both)}


def test_a_claim_in_a_transaction_does_not_wait_for_a_revision(home, homethrive_committed_url):
    """The revision waits for what is withdrawn already; the rest stays until its lease ends."""
    other = home.factory.schedule(home.medication, start_date=DAY, time_of_day=time(9))
    first, second = sorted((home.schedule, other), key=attrgetter("id"))
    found = {dose.dose.schedule_id: dose for dose in home.occurrences()}
    for schedule in (second, first):
        home.ledger.enqueue([found[schedule.id]], "due")
    claiming, updating = (create_db(homethrive_committed_url) for _ in range(2))

    def claim():
        with claiming.atomic():
            ledger = ReminderLedger(claiming)
            return ledger.claim("due", limit=1, lease=LEASE, due_after=NOON + timedelta(days=9))

    with ThreadPoolExecutor(2) as threads:
        with updating.atomic():
            Repositories(updating).schedules.update("owner", second.id, dosage_notes="new")
            day = DAY + timedelta(days=60)
            revised = threads.submit(home.repositories.schedules.revise, "owner", second.id, day)
            until_waiting(home, 1)
            assert threads.submit(claim).result(timeout=60) == []
        assert revised.result(timeout=60).dosage_notes == "new"
    claiming.close_all()
    updating.close_all()
    assert home.states() == {"withdrawn": 1, "pending": 1}
    home.end_leases()
    withdraw_all(home)
    assert home.states() == {"withdrawn": 2}


def test_a_claim_in_a_transaction_does_not_wait_for_a_user_who_is_being_deleted(
    home, homethrive_committed_url
):
    """That waits for the reminder already."""
    home.enqueue(users=("carer",))
    deletions = []

    def delete(event):
        if event.name == "reminder_statements.claim" and not deletions:
            query = "DELETE FROM users WHERE clerk_user_id = 'carer'"
            deletions.append(thread.submit(home.execute, query))
            until_waiting(home, 1)

    claiming = create_db(homethrive_committed_url, on_statement=delete)
    with ThreadPoolExecutor(1) as thread, claiming.atomic():
        ledger, later = ReminderLedger(claiming), NOON + timedelta(days=9)
        assert ledger.claim("due", limit=1, lease=LEASE, due_after=later) == []
    claiming.close_all()
    deletions[0].result()
    assert home.states() == {}


def test_no_two_claims_give_the_same_reminder(home):
    home.enqueue(days=500)

    def claim_all(_):
        claimed = []
        while found := home.claim(limit=7):
            claimed += found
        return claimed

    each = at_once(claim_all)
    claimed = [one for claims in each for one in claims]
    assert len(claimed) == len({one.id for one in claimed}) == 500
    assert {one.attempts for one in claimed} == {1}
    assert len([one for one in each if one]) > 1


def test_a_claim_does_not_wait_for_another_that_is_not_committed_yet(home):
    home.enqueue(days=4)
    with home.db.atomic():
        first = home.claim(limit=3)
        with ThreadPoolExecutor(1) as other:
            second = other.submit(home.claim).result(timeout=30)
    assert len(first) == 3
    assert len(second) == 1


def test_one_of_many_that_send_at_once_is_told_that_it_was_the_one(home):
    home.enqueue()
    (reminder,) = home.claim()
    assert sorted(at_once(lambda _: home.ledger.sent(reminder))) == [False] * 7 + [True]


def test_a_dose_taken_while_it_waits_in_the_ledger_is_not_reminded_of(home):
    """Whichever of the two comes first, nothing breaks, and no row is left over."""
    home.enqueue(days=200)
    doses = [one.dose for one in home.occurrences(days=200)]

    def take_or_claim(number):
        if number % 2:
            return [one.id for _ in range(30) for one in home.claim(limit=5, lease=LEASE)]
        for dose in doses[number::8]:
            home.doses.record("owner", dose.dose_id)
        return []

    claimed = [one for answers in at_once(take_or_claim) for one in answers]
    claimed += [one.id for one in home.claim(limit=1000)]
    states = home.states()
    assert len(claimed) == len(set(claimed)) == states["pending"]
    assert sum(states.values()) == 200


@contextmanager
def workers(url):
    """Run the workers in a process group of their own; nothing of it is left."""
    command = [sys.executable, reminder_workers.__file__, url, str(WORKERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            yield parent
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)


def kill_at_random(parent, kills, chance):
    """Kill workers at about a step of theirs; gives how many."""
    chances = random.Random(6)
    done = 0
    for line in parent.stdout:
        if done < kills and chances.random() < chance:
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(int(line), signal.SIGKILL)
                done += 1
    return done


def test_twenty_workers_killed_at_random_bring_each_reminder_to_sent_exactly_once(
    homethrive_committed_url, home
):
    """Delivery is at least once; the ledger says once."""
    home.execute("CREATE TABLE deliveries (reminder_id uuid)")
    home.execute("CREATE TABLE said (reminder_id uuid)")
    home.enqueue(days=400)
    with workers(homethrive_committed_url) as parent:
        assert kill_at_random(parent, KILLS, chance=0.08) == KILLS
        assert parent.wait(timeout=60) == 0
    assert home.states() == {"sent": 400}
    said = Counter(one for (one,) in home.execute("SELECT reminder_id FROM said"))
    assert len(said) == 400
    assert set(said.values()) == {1}
    delivered = home.execute("SELECT reminder_id FROM deliveries")
    assert {one for (one,) in delivered} == set(said)
