"""Races: threads that meet at one row, each with a connection of its own."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from operator import attrgetter
from uuid import uuid4

import pytest

from homethrive_db import (
    ConflictError,
    DoseReport,
    HomethriveDbError,
    NewDoseTaken,
    OutcomeStatus,
    Repositories,
    UnavailableError,
    ValidationError,
    create_db,
    encode_dose_id,
)
from homethrive_db.repositories import dose_batches
from tests.waiting import wait_until

DUE = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
THREADS = 16
WAITING = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def repositories(homethrive_committed_url):
    db = create_db(homethrive_committed_url, max_connections=THREADS)
    yield Repositories(db)
    assert not db.stats().in_use
    db.close_all()


@pytest.fixture
def schedule(homethrive_committed_factory):
    """Make a schedule of the user "owner"."""
    factory = homethrive_committed_factory
    return factory.schedule(factory.medication(factory.own_profile(factory.user("owner"))))


def at_once(call, count=THREADS):
    """Call in many threads that start together; give the answers, errors among them."""
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        try:
            return call(number)
        except HomethriveDbError as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def count(repositories, table):
    db = repositories.users._db
    with db.connection_context():
        return db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.mark.parametrize("attempt", range(5))
def test_sixteen_threads_mark_one_dose_to_one_row_and_one_answer(repositories, schedule, attempt):
    answers = at_once(
        lambda number: repositories.doses_taken.mark_taken(
            "owner", NewDoseTaken(schedule.id, DUE, DUE + timedelta(minutes=number))
        )
    )
    assert len(set(answers)) == 1
    assert count(repositories, "dose_taken") == 1


def test_sixteen_batches_with_one_dose_in_common_record_it_once(repositories, schedule):
    """In opposite orders, which would deadlock if they went in as they came."""
    due = [DUE + timedelta(days=number) for number in range(200)]

    def batch(number):
        days = due if number % 2 else due[::-1]
        return repositories.doses_taken.mark_taken_many(
            DoseReport("owner", schedule.id, day, DUE) for day in days
        )

    answers = at_once(batch)
    recorded = [
        outcome.report.scheduled_for
        for outcomes in answers
        for outcome in outcomes
        if outcome.status is OutcomeStatus.RECORDED
    ]
    assert sorted(recorded) == due
    assert count(repositories, "dose_taken") == len(due)


@pytest.mark.parametrize("attempt", range(5))
def test_two_first_sign_ins_make_one_profile(repositories, attempt):
    repositories.users.upsert("owner")
    answers = at_once(
        lambda _: repositories.care_recipients.find_or_create_own_profile("owner", "Ana")
    )
    assert len({one.id for one in answers}) == 1
    assert count(repositories, "care_recipients") == 1


def test_a_missing_creator_is_filled_in_for_all_who_ask(repositories):
    repositories.users.upsert("owner")
    repositories.care_recipients.find_or_create_own_profile("owner", "Ana")
    db = repositories.users._db
    with db.atomic():
        db.execute_sql("UPDATE care_recipients SET created_by_user_id = NULL")
    answers = at_once(
        lambda _: repositories.care_recipients.find_or_create_own_profile("owner", "Ana")
    )
    assert {one.created_by_user_id for one in answers} == {"owner"}


def test_upserts_of_one_user_all_succeed(repositories):
    answers = at_once(lambda number: repositories.users.upsert("owner", email=f"{number}@x.org"))
    assert len({one.created_at for one in answers}) == 1
    assert count(repositories, "users") == 1


def test_only_one_active_access_is_created(repositories):
    for user_id in ("a", "b"):
        repositories.users.upsert(user_id)
    answers = at_once(
        lambda _: repositories.caregiver_access.create(
            caregiver_user_id="a", recipient_user_id="b", status="approved", requested_at=DUE
        )
    )
    assert sum(isinstance(one, ConflictError) for one in answers) == THREADS - 1
    assert count(repositories, "caregiver_access") == 1


def test_an_access_is_revoked_by_one_side_only(repositories):
    for user_id in ("a", "b"):
        repositories.users.upsert(user_id)
    access = repositories.caregiver_access.create(
        caregiver_user_id="a", recipient_user_id="b", status="approved", requested_at=DUE
    )
    answers = at_once(
        lambda number: repositories.caregiver_access.revoke("ab"[number % 2], access.id, DUE)
    )
    refused = [one for one in answers if isinstance(one, ConflictError)]
    assert len(refused) == THREADS - 1
    assert {one.code for one in refused} == {"INVALID_ACCESS_STATE"}


@pytest.mark.parametrize("attempt", range(5))
def test_two_updates_cannot_break_a_rule_together(repositories, schedule, attempt):
    """One moves the start, one the end: each alone is right, both would end before the start."""
    start = schedule.start_date
    repositories.medications.set_inactive("owner", schedule.medication_id, DUE)
    repositories.schedules.update("owner", schedule.id, end_date=start + timedelta(days=10))
    changes = [
        {"start_date": start + timedelta(days=8)},
        {"end_date": start + timedelta(days=4)},
    ]
    answers = at_once(
        lambda number: repositories.schedules.update("owner", schedule.id, **changes[number]), 2
    )
    assert sum(isinstance(one, ValidationError) for one in answers) == 1
    stored = repositories.schedules.find_by_id("owner", schedule.id)
    assert stored.end_date >= stored.start_date


def test_revisions_of_one_schedule_at_once_give_one_successor(repositories, schedule):
    first, effective = schedule, schedule.start_date
    for _ in range(30):
        effective += timedelta(days=1)
        old, day = first, effective
        answers = at_once(
            lambda number, old=old, day=day: repositories.schedules.revise(
                "owner", old.id, day, dosage_notes=f"{number}"
            ),
            4,
        )
        (first,) = [one for one in answers if not isinstance(one, ConflictError)]
        assert sorted(one.code for one in answers if one is not first) == ["SCHEDULE_ENDED"] * 3
    chain = repositories.schedules.list_by_medication("owner", schedule.medication_id)
    assert len(chain) == 31
    for one, other in pairwise(chain):
        assert one.end_date + timedelta(days=1) == other.start_date


@pytest.mark.parametrize("method", ["end", "update"])
def test_of_schedules_that_are_ended_at_once_one_goes_on(
    repositories, homethrive_committed_factory, method
):
    factory, schedules = homethrive_committed_factory, repositories.schedules
    profile = factory.own_profile(factory.user("owner"))
    medications = [factory.medication(profile) for _ in range(40)]
    past = DUE.date()

    def end(one):
        if method == "end":
            return schedules.end("owner", one.id, past)
        return schedules.update("owner", one.id, end_date=past)

    for medication in medications:
        some = [factory.schedule(medication) for _ in range(3)]
        answers = at_once(lambda number, some=some: end(some[number]), 3)
        (refused,) = [one for one in answers if isinstance(one, HomethriveDbError)]
        assert refused.code == "LAST_ACTIVE_SCHEDULE"
        assert schedules.count_active_by_medication("owner", medication.id) == 1


def test_a_dose_that_is_marked_while_a_revision_waits_is_seen(
    repositories, schedule, homethrive_committed_url
):
    """The revision waits for the transaction that marks it, and must not look from before that."""
    doses, schedules = repositories.doses_taken, repositories.schedules
    other = create_db(homethrive_committed_url)
    with ThreadPoolExecutor(1) as thread:
        with other.atomic():
            Repositories(other).doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE))
            revision = thread.submit(schedules.revise, "owner", schedule.id, DUE.date())
            wait_until(lambda: count(repositories, WAITING))
        with pytest.raises(ConflictError) as caught:
            revision.result(timeout=60)
    other.close_all()
    assert caught.value.code == "DOSES_RECORDED"
    assert doses.taken_map("owner", [schedule.id], DUE, DUE + timedelta(days=1))
    assert schedules.list_by_medication("owner", schedule.medication_id) == [schedule]


def test_an_end_does_not_come_back_to_the_version_of_a_row_that_it_first_saw(
    repositories, homethrive_committed_url, homethrive_committed_factory
):
    """A revision holds that one, while it waits for the end.

    So it is where the row was updated after the end had begun, and a dose still shares it.
    """
    factory, schedules = homethrive_committed_factory, repositories.schedules
    medication = factory.medication(factory.own_profile(factory.user("owner")))
    # The first one by id, so that the revision waits at none before it.
    schedule, _ = sorted((factory.schedule(medication) for _ in range(2)), key=attrgetter("id"))
    updating, marking = (create_db(homethrive_committed_url) for _ in range(2))
    with ThreadPoolExecutor(2) as threads, marking.atomic():
        with updating.atomic():
            Repositories(updating).schedules.update("owner", schedule.id, dosage_notes="new")
            dose = NewDoseTaken(schedule.id, DUE, DUE)
            Repositories(marking).doses_taken.mark_taken("owner", dose)
            ended = threads.submit(schedules.end, "owner", schedule.id, date(2100, 1, 1))
            wait_until(lambda: count(repositories, WAITING) == 1)
            revised = threads.submit(
                schedules.revise, "owner", schedule.id, DUE.date() + timedelta(days=60)
            )
            wait_until(lambda: count(repositories, WAITING) == 2)
        wait_until(lambda: ended.done() or count(repositories, WAITING) == 2)
    for one in (ended, revised):
        assert one.result(timeout=60).dosage_notes == "new"
    updating.close_all()
    marking.close_all()


def test_a_batch_does_not_wait_for_a_revision_that_waits_for_a_dose_of_the_batch(
    repositories, homethrive_committed_url, homethrive_committed_factory
):
    """Somebody who records that dose is between the two, and keeps the schedule from changing."""
    factory = homethrive_committed_factory
    medication = factory.medication(factory.own_profile(factory.user("owner")))
    at = time(7, 30)
    schedules = [factory.schedule(medication, time_of_day=at) for _ in range(2)]
    first, second = sorted(schedules, key=attrgetter("id"))
    others = DUE + timedelta(days=1)
    reports = [
        DoseReport("owner", one.id, due, DUE)
        for one, due in ((first, DUE), (second, DUE), (second, others))
    ]
    marking = create_db(homethrive_committed_url)
    with ThreadPoolExecutor(3) as threads:
        with marking.atomic():
            dose = NewDoseTaken(second.id, others, DUE)
            Repositories(marking).doses_taken.mark_taken("owner", dose)
            calls = []
            for call in (
                lambda: repositories.doses_taken.mark_taken_many(reports),
                lambda: repositories.doses.record("owner", encode_dose_id(second.id, DUE)),
                lambda: repositories.schedules.revise(
                    "owner", second.id, DUE.date() + timedelta(days=60)
                ),
            ):
                calls.append(threads.submit(call))
                wait_until(lambda: count(repositories, WAITING) == len(calls))
        batch, recorded, revised = [one.result(timeout=60) for one in calls]
    marking.close_all()
    assert [one.status for one in batch] == [
        OutcomeStatus.RECORDED,
        OutcomeStatus.RECORDED,
        OutcomeStatus.ALREADY_RECORDED,
    ]
    assert recorded.taken_at == DUE
    assert revised is not None


def test_ends_revisions_and_doses_in_a_storm_never_deadlock(
    repositories, schedule, homethrive_committed_factory
):
    factory, schedules = homethrive_committed_factory, repositories.schedules
    medication = factory.medication(factory.own_profile(factory.user("owner")))
    some = [factory.schedule(medication) for _ in range(4)]
    day = some[0].start_date

    def storm(number):
        chance = random.Random(number)
        for turn in range(1, 40):
            one = chance.choice(some)
            with suppress(ConflictError):
                if number % 4 == 0:
                    schedules.end("owner", one.id, day + timedelta(days=200))
                elif number % 4 == 1:
                    schedules.update("owner", one.id, end_date=None)
                elif number % 4 == 2:
                    schedules.revise("owner", one.id, day + timedelta(days=turn))
                else:
                    repositories.doses_taken.mark_taken_many(
                        DoseReport("owner", other.id, DUE + timedelta(days=turn), DUE)
                        for other in some
                    )

    assert at_once(storm, 8) == [None] * 8
    assert schedules.count_active_by_medication("owner", medication.id) > 0


def test_reports_of_a_dose_that_is_unmarked_meanwhile_all_tell_of_the_new_one(
    repositories, schedule, homethrive_committed_url
):
    """The statement still sees the dose that it has waited to see go."""
    repositories.doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE))
    reports = [DoseReport("owner", schedule.id, DUE, DUE + timedelta(hours=1))] * 2
    unmarking = create_db(homethrive_committed_url)
    with ThreadPoolExecutor(1) as threads:
        with unmarking.atomic():
            Repositories(unmarking).doses_taken.unmark_taken("owner", schedule.id, DUE)
            marked = threads.submit(repositories.doses_taken.mark_taken_many, reports)
            wait_until(lambda: count(repositories, WAITING) == 1)
        first, second = marked.result(timeout=60)
    unmarking.close_all()
    assert first.status is OutcomeStatus.RECORDED
    assert (second.status, second.dose) == (OutcomeStatus.ALREADY_RECORDED, first.dose)


def test_a_batch_whose_new_id_is_taken_takes_another(repositories, schedule, monkeypatch):
    """As where it is repeated after its answer was lost, and the server is still at the first."""
    doses = repositories.doses_taken
    stored = doses.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE))
    ids = [[stored.id], [uuid4()]]
    monkeypatch.setattr(dose_batches, "new_ids", lambda _count: ids.pop(0))
    due = DUE + timedelta(days=1)
    (outcome,) = doses.mark_taken_many([DoseReport("owner", schedule.id, due, due)])
    assert outcome.status is OutcomeStatus.RECORDED
    assert outcome.dose.id != stored.id
    assert count(repositories, "dose_taken") == 2


def test_marks_and_unmarks_in_a_storm_answer_or_say_to_try_again(repositories, schedule):
    doses = repositories.doses_taken

    def storm(number):
        chance = random.Random(number)
        for _ in range(60):
            choice = chance.randrange(3)
            if choice == 0:
                doses.unmark_taken("owner", schedule.id, DUE)
            elif choice == 1:
                doses.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE))
            else:
                doses.mark_taken_many([DoseReport("owner", schedule.id, DUE, DUE)] * 2)

    for answer in at_once(storm, 8):
        assert answer is None or (isinstance(answer, UnavailableError) and answer.retryable)
    assert doses.mark_taken("owner", NewDoseTaken(schedule.id, DUE, DUE))
    assert count(repositories, "dose_taken") == 1
