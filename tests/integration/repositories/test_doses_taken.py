"""Doses taken: recorded once, whoever repeats it and whatever happened since."""

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from homethrive_db import (
    ConflictError,
    DoseKey,
    DoseOutcome,
    DoseReport,
    NewDoseTaken,
    NotFoundError,
    OutcomeStatus,
    TakenInfo,
    ValidationError,
)

DUE = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
TAKEN = DUE + timedelta(minutes=7, microseconds=123_456)
DAY = timedelta(days=1)


@pytest.fixture
def doses(homethrive_repositories):
    return homethrive_repositories.doses_taken


@pytest.fixture
def medication(homethrive_factory):
    return homethrive_factory.medication(
        homethrive_factory.own_profile(homethrive_factory.user("owner"))
    )


@pytest.fixture
def schedule(homethrive_factory, medication):
    caregiver, owner = homethrive_factory.user("caregiver"), homethrive_factory.user("owner")
    homethrive_factory.caregiver_access(caregiver, owner)
    return homethrive_factory.schedule(medication)


def dose(schedule, due=DUE, taken=TAKEN):
    return NewDoseTaken(schedule.id, due, taken)


def report(schedule, user_id="owner", due=DUE, taken=TAKEN):
    return DoseReport(user_id, schedule.id, due, taken)


def test_a_dose_is_recorded_with_what_follows_from_its_schedule(doses, schedule, medication):
    made = doses.mark_taken("caregiver", dose(schedule))
    assert (made.schedule_id, made.scheduled_for, made.taken_at, made.taken_by_user_id) == (
        schedule.id,
        DUE,
        TAKEN,
        "caregiver",
    )
    assert (made.medication_id, made.recipient_id) == (medication.id, medication.recipient_id)


def test_a_repeated_dose_gives_the_first_reports_row(
    doses, schedule, medication, homethrive_repositories
):
    """Also to another caregiver, and also after the medication was deactivated."""
    first = doses.mark_taken("caregiver", dose(schedule))
    assert doses.mark_taken("owner", dose(schedule, taken=TAKEN + DAY)) == first
    homethrive_repositories.medications.set_inactive("owner", medication.id, DUE - DAY)
    assert doses.mark_taken("owner", dose(schedule)) == first


@pytest.mark.parametrize(
    "instant",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(microsecond=999_000, tzinfo=UTC),
        datetime(2025, 11, 2, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York")),
        datetime(2025, 3, 1, tzinfo=timezone(timedelta(hours=-13, seconds=-7))),
    ],
)
def test_the_answer_to_a_new_dose_is_the_row_that_is_stored(doses, schedule, instant):
    made = doses.mark_taken("owner", dose(schedule, instant, instant))
    assert doses.mark_taken("owner", dose(schedule, instant)) == made
    assert made.scheduled_for.tzinfo is made.taken_at.tzinfo is UTC


class Nanoseconds(datetime):
    """An instant as pandas has it: finer than what PostgreSQL stores."""

    def isoformat(self, *_arguments):
        return super().isoformat(timespec="microseconds").replace("+", "700+")

    __str__ = isoformat


def test_the_answer_to_a_new_dose_is_stored_whatever_kind_of_datetime_came(doses, schedule):
    finer = Nanoseconds(2025, 3, 1, 12, 30, 0, 999, tzinfo=UTC)
    made = doses.mark_taken("owner", dose(schedule, taken=finer))
    stored = doses.mark_taken("owner", dose(schedule))
    assert made.taken_at == stored.taken_at
    assert type(made.taken_at) is type(stored.taken_at) is datetime


def test_a_new_dose_is_refused_only_after_the_medication_ended(
    doses, schedule, medication, homethrive_repositories
):
    homethrive_repositories.medications.set_inactive("owner", medication.id, DUE)
    for due in (DUE - DAY, DUE):
        assert doses.mark_taken("owner", dose(schedule, due)).scheduled_for == due
    with pytest.raises(ConflictError) as caught:
        doses.mark_taken("owner", dose(schedule, DUE + timedelta(milliseconds=1)))
    assert caught.value.code == "MEDICATION_INACTIVE"
    homethrive_repositories.medications.set_active("owner", medication.id)
    assert doses.mark_taken("owner", dose(schedule, DUE + timedelta(milliseconds=1)))


def test_a_medication_inactive_since_nobody_knows_when_takes_no_new_dose(
    doses, schedule, homethrive_db
):
    homethrive_db.execute_sql("UPDATE medications SET is_active = false")
    with pytest.raises(ConflictError):
        doses.mark_taken("owner", dose(schedule))


def test_an_unmarked_dose_may_be_marked_anew(doses, schedule):
    first = doses.mark_taken("owner", dose(schedule))
    assert doses.unmark_taken("caregiver", schedule.id, DUE) is True
    assert doses.unmark_taken("caregiver", str(schedule.id), DUE) is False
    again = doses.mark_taken("caregiver", dose(schedule))
    assert again.id != first.id
    assert again.taken_by_user_id == "caregiver"


def test_a_window_includes_its_start_and_not_its_end(doses, schedule, homethrive_factory):
    other = homethrive_factory.schedule()
    marked = [doses.mark_taken("owner", dose(schedule, DUE + number * DAY)) for number in range(4)]
    homethrive_factory.dose_taken(other, scheduled_for=DUE)
    found = doses.taken_map("owner", [schedule.id, other.id, uuid4()], DUE, DUE + 3 * DAY)
    assert found == {
        DoseKey(schedule.id, one.scheduled_for): TakenInfo(TAKEN, "owner") for one in marked[:3]
    }
    assert doses.taken_map("owner", [str(schedule.id)], DUE, DUE) == {}
    assert doses.taken_map("owner", [], DUE, DUE + DAY) == {}


def test_a_window_that_ends_before_it_starts_is_refused(doses, schedule):
    with pytest.raises(ValidationError) as caught:
        doses.taken_map("owner", [schedule.id], DUE, DUE - DAY)
    assert caught.value.details == {"field": "start"}


def statuses(outcomes):
    return [one.status for one in outcomes]


def test_a_batch_tells_of_each_report_what_became_of_it(
    doses, schedule, medication, homethrive_factory, homethrive_repositories
):
    """Many users at once, in input order; a bad report spoils no other."""
    other = homethrive_factory.schedule()
    ended = homethrive_factory.schedule(medication)
    doses.mark_taken("caregiver", dose(schedule, DUE - DAY))
    reports = [
        report(schedule),
        report(other),
        report(schedule, "stranger"),
        report(schedule, due=DUE - DAY),
        DoseReport("owner", uuid4(), DUE, TAKEN),
        report(schedule, "caregiver", DUE + DAY),
        report(schedule, "owner", DUE),
    ]
    outcomes = doses.mark_taken_many(reports)
    assert [one.report for one in outcomes] == reports
    assert statuses(outcomes) == [
        OutcomeStatus.RECORDED,
        OutcomeStatus.NOT_FOUND,
        OutcomeStatus.NOT_FOUND,
        OutcomeStatus.ALREADY_RECORDED,
        OutcomeStatus.NOT_FOUND,
        OutcomeStatus.RECORDED,
        OutcomeStatus.ALREADY_RECORDED,
    ]
    assert outcomes[3].dose.taken_by_user_id == "caregiver"
    assert outcomes[6].dose == outcomes[0].dose == doses.mark_taken("owner", dose(schedule))
    assert outcomes[1] == DoseOutcome(reports[1], OutcomeStatus.NOT_FOUND, None)
    homethrive_repositories.medications.set_inactive("owner", medication.id, DUE)
    late = doses.mark_taken_many([report(ended), report(ended, due=DUE + DAY), report(schedule)])
    assert statuses(late) == [
        OutcomeStatus.RECORDED,
        OutcomeStatus.MEDICATION_INACTIVE,
        OutcomeStatus.ALREADY_RECORDED,
    ]
    assert late[1].dose is None


def test_of_two_reports_of_one_dose_the_first_that_may_is_recorded(doses, schedule):
    outcomes = doses.mark_taken_many(
        report(schedule, user_id, taken=TAKEN + number * DAY)
        for number, user_id in enumerate(["stranger", "caregiver", "owner", "stranger"])
    )
    assert statuses(outcomes) == [
        OutcomeStatus.NOT_FOUND,
        OutcomeStatus.RECORDED,
        OutcomeStatus.ALREADY_RECORDED,
        OutcomeStatus.NOT_FOUND,
    ]
    assert outcomes[1].dose == outcomes[2].dose
    assert outcomes[1].dose.taken_at == TAKEN + DAY


def test_a_large_batch_keeps_its_order_across_statements(doses, schedule):
    reports = [report(schedule, due=DUE + number * DAY) for number in (*range(6_000), *range(100))]
    outcomes = doses.mark_taken_many(iter(reports))
    assert [one.report for one in outcomes] == reports
    assert statuses(outcomes) == (
        [OutcomeStatus.RECORDED] * 6_000 + [OutcomeStatus.ALREADY_RECORDED] * 100
    )


def test_an_empty_batch_is_no_error(doses):
    assert doses.mark_taken_many([]) == []


def test_hostile_user_ids_of_a_batch_are_only_values(doses, schedule, homethrive_factory):
    hostile = '","}\'; DROP TABLE users; --\\'
    homethrive_factory.caregiver_access(
        homethrive_factory.user(hostile), homethrive_factory.user("owner")
    )
    outcomes = doses.mark_taken_many([report(schedule, hostile), report(schedule, "NULL")])
    assert statuses(outcomes) == [OutcomeStatus.RECORDED, OutcomeStatus.NOT_FOUND]
    assert outcomes[0].dose.taken_by_user_id == hostile


def test_a_schedule_out_of_reach_is_not_found(doses, schedule):
    for user_id, schedule_id in (("stranger", schedule.id), ("owner", uuid4())):
        with pytest.raises(NotFoundError) as caught:
            doses.mark_taken(user_id, NewDoseTaken(schedule_id, DUE, TAKEN))
        assert caught.value.code == "SCHEDULE_NOT_FOUND"


class Own(str, Enum):  # noqa: UP042  # as there are many
    """Text whose ``str`` is another one."""

    USER = "owner"


def test_text_of_another_kind_is_the_text_that_it_holds(doses, schedule):
    (outcome,) = doses.mark_taken_many([report(schedule, Own.USER)])
    assert outcome.status is OutcomeStatus.RECORDED
    assert type(outcome.dose.taken_by_user_id) is str
    again = doses.mark_taken(Own.USER, dose(schedule, DUE + DAY))
    assert type(again.taken_by_user_id) is str
