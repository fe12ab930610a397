"""Workers of both services who meet at one dose, each with a connection of its own."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from itertools import cycle
from zoneinfo import ZoneInfo

import pytest

from homethrive_db import (
    ConfigurationError,
    ConflictError,
    DoseStatus,
    NewDoseTaken,
    Repositories,
    ValidationError,
    create_db,
    encode_dose_id,
)
from tests.integration.repositories.test_races import WAITING, at_once, count
from tests.waiting import wait_until

ROUNDS = 200
DAY = date(2025, 6, 4)
NOON = datetime(2025, 6, 4, 12, tzinfo=UTC)


def at(day, zone):
    return datetime.combine(day, time(8, 30), ZoneInfo(zone)).astimezone(UTC)


@pytest.fixture
def repositories(homethrive_committed_url):
    db = create_db(homethrive_committed_url, max_connections=4)
    yield Repositories(db)
    assert not db.stats().in_use
    db.close_all()


@pytest.fixture
def schedule(homethrive_committed_factory):
    """Make a schedule without a zone, of somebody in London."""
    factory = homethrive_committed_factory
    profile = factory.own_profile(factory.user("owner"), timezone="Europe/London")
    return factory.schedule(factory.medication(profile), time_of_day=time(8, 30))


@pytest.fixture
def ids(schedule):
    """Give both ids of a dose: ours, and the Node service's."""
    return lambda day: [
        encode_dose_id(schedule.id, at(day, zone)) for zone in ("Europe/London", "America/New_York")
    ]


def test_two_who_record_a_dose_under_its_two_ids_make_one_row(repositories, ids):
    for number in range(ROUNDS):
        both = ids(DAY + timedelta(days=number))
        first, second = at_once(
            lambda one, both=both: repositories.doses.record(
                "owner", both[one], taken_at=NOON + timedelta(minutes=one)
            ),
            2,
        )
        assert first == second
        assert first.status is DoseStatus.TAKEN
    assert count(repositories, "dose_taken") == ROUNDS


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York"])
def test_who_records_a_dose_while_another_marks_it_gets_the_stored_row(
    repositories, schedule, ids, zone
):
    """Under the same instant, be it ours or the Node service's."""
    for number in range(ROUNDS // 4):
        day = DAY + timedelta(days=number)
        new = NewDoseTaken(schedule.id, at(day, zone), NOON)
        calls = [
            lambda new=new: repositories.doses_taken.mark_taken("owner", new),
            lambda day=day: repositories.doses.record(
                "owner", ids(day)[zone == "America/New_York"], taken_at=NOON + timedelta(minutes=1)
            ),
        ]
        marked, recorded = at_once(lambda one, calls=calls: calls[one](), 2)
        assert marked.taken_at == recorded.taken_at
        assert recorded.dose_id == ids(day)[0]
    assert count(repositories, "dose_taken") == ROUNDS // 4


def test_a_storm_over_one_dose_leaves_it_whole(repositories, schedule, ids):
    """Whoever records, skips and undoes gets an answer, or hears that it is taken."""
    both = ids(DAY)

    def storm(number):
        for turn, dose_id in zip(range(60), cycle(both), strict=False):
            call = (
                repositories.doses.record,
                repositories.doses.skip,
                repositories.doses.undo,
                repositories.doses.record,
            )[(turn + number) % 4]
            with suppress(ConflictError):  # taken by another
                call("owner", dose_id)

    assert at_once(storm, 4) == [None] * 4
    repositories.doses.undo("owner", both[0])
    assert count(repositories, "dose_taken") == count(repositories, "dose_skips") == 0
    assert repositories.doses.record("owner", both[1]).status is DoseStatus.TAKEN
    assert count(repositories, "dose_taken") == 1


def test_four_who_skip_a_dose_give_one_reason(repositories, ids):
    for number in range(ROUNDS // 8):
        both = ids(DAY + timedelta(days=number))
        answers = at_once(
            lambda one, both=both: repositories.doses.skip("owner", both[one % 2], reason=str(one)),
            4,
        )
        assert len({one.skip_reason for one in answers}) == 1
    assert count(repositories, "dose_skips") == ROUNDS // 8


@pytest.mark.parametrize("settle", ["record", "skip"])
@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_a_dose_is_not_settled_under_a_schedule_that_is_revised_meanwhile(
    repositories, schedule, homethrive_committed_url, settle, zone
):
    """It would be none of that schedule's any more, and be due once more under the new one."""
    repositories.schedules.update("owner", schedule.id, timezone=zone)
    dose_id = encode_dose_id(schedule.id, at(DAY, "Europe/London"))
    other = create_db(homethrive_committed_url)
    with ThreadPoolExecutor(1) as thread:
        with other.atomic():
            new = Repositories(other).schedules.revise("owner", schedule.id, DAY)
            settled = thread.submit(getattr(repositories.doses, settle), "owner", dose_id)
            wait_until(lambda: count(repositories, WAITING))
        with pytest.raises(ValidationError) as caught:
            settled.result(timeout=60)
    other.close_all()
    assert caught.value.code == "NO_SUCH_DOSE"
    assert count(repositories, "dose_taken") == count(repositories, "dose_skips") == 0
    new_id = encode_dose_id(new.id, at(DAY, "Europe/London"))
    assert getattr(repositories.doses, settle)("owner", new_id).status != DoseStatus.SCHEDULED


@pytest.fixture
def meeting(homethrive_committed_url):
    """Give repositories for which something happens once, when they have looked at a dose."""
    opened = []

    def make(happen):
        pending = [happen]

        def look(event):
            if event.name == "dose_statements.find" and pending:
                pending.pop()()

        opened.append(create_db(homethrive_committed_url, on_statement=look))
        return Repositories(opened[-1]).doses

    yield make
    for db in opened:
        db.close_all()


MOVED_TO = time(10, 30)


@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_a_dose_is_recorded_once_though_its_schedule_is_moved_meanwhile(
    repositories, schedule, meeting, zone
):
    """And recorded by somebody else, at its new time."""
    repositories.schedules.update("owner", schedule.id, timezone=zone)
    new_id = encode_dose_id(schedule.id, at(DAY, "Europe/London") + timedelta(hours=2))

    def move_and_record():
        repositories.schedules.update("owner", schedule.id, time_of_day=MOVED_TO)
        repositories.doses.record("owner", new_id, taken_at=NOON)

    old_id = encode_dose_id(schedule.id, at(DAY, "Europe/London"))
    with suppress(ValidationError):  # its date has a dose, its old instant has none
        assert meeting(move_and_record).record("owner", old_id).taken_at == NOON
    assert count(repositories, "dose_taken") == 1


@pytest.mark.parametrize("settle", ["record", "skip"])
@pytest.mark.parametrize(
    "changes",
    [
        {"time_of_day": MOVED_TO},
        {"recurrence": "weekly", "days_of_week": [DAY.isoweekday() % 7 + 1]},
        {"start_date": DAY + timedelta(days=30)},
        {"end_date": DAY - timedelta(days=1)},
        {"timezone": "Asia/Tokyo"},
    ],
)
def test_no_dose_is_settled_that_is_none_any_more(
    repositories, schedule, homethrive_committed_factory, meeting, settle, changes
):
    repositories.schedules.create_many(
        "owner", {schedule.medication_id: [homethrive_committed_factory.new_schedule()]}
    )
    repositories.schedules.update("owner", schedule.id, timezone="Europe/London")
    doses = meeting(lambda: repositories.schedules.update("owner", schedule.id, **changes))
    with pytest.raises(ValidationError) as caught:
        getattr(doses, settle)("owner", encode_dose_id(schedule.id, at(DAY, "Europe/London")))
    assert caught.value.code == "NO_SUCH_DOSE"
    assert count(repositories, "dose_taken") == count(repositories, "dose_skips") == 0


def test_a_dose_follows_its_recipient_who_moves_meanwhile(repositories, schedule, meeting):
    medication = repositories.medications.find_by_id("owner", schedule.medication_id)
    doses = meeting(
        lambda: repositories.care_recipients.update(
            "owner", medication.recipient_id, timezone="Asia/Tokyo"
        )
    )
    with pytest.raises(ValidationError) as caught:
        doses.record("owner", encode_dose_id(schedule.id, at(DAY, "Europe/London")))
    assert caught.value.code == "NO_SUCH_DOSE"


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York"])
def test_a_dose_that_is_taken_meanwhile_is_not_skipped(repositories, schedule, ids, meeting, zone):
    due = at(DAY, zone)
    doses = meeting(
        lambda: repositories.doses_taken.mark_taken("owner", NewDoseTaken(schedule.id, due, NOON))
    )
    with pytest.raises(ConflictError) as caught:
        doses.skip("owner", ids(DAY)[0])
    assert caught.value.code == "DOSE_TAKEN"
    assert count(repositories, "dose_skips") == 0


def test_a_schedule_is_not_moved_before_a_record_of_its_dose_is_committed(
    repositories, schedule, homethrive_committed_url
):
    """The dose would be open at its new time, and recorded once more."""
    repositories.schedules.update("owner", schedule.id, timezone="Europe/London")
    recipient_id = repositories.care_recipients.find_by_user_id("owner").id
    day = at(DAY, "Europe/London")
    other = create_db(homethrive_committed_url)
    with ThreadPoolExecutor(1) as thread:
        with other.atomic():
            Repositories(other).doses.record("owner", encode_dose_id(schedule.id, day))
            moved = thread.submit(
                repositories.schedules.update, "owner", schedule.id, time_of_day=MOVED_TO
            )
            wait_until(lambda: count(repositories, WAITING))
        assert moved.result(timeout=60).time_of_day == MOVED_TO
    other.close_all()
    (dose,) = repositories.doses.list_upcoming(
        "owner", recipient_id, start=day, end=day + timedelta(hours=12)
    )
    assert dose.status is DoseStatus.TAKEN


@pytest.mark.parametrize("level", ["READ UNCOMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_what_must_see_what_came_meanwhile_does_where_another_level_is_the_default(
    schedule, ids, homethrive_committed_url, level
):
    db = create_db(homethrive_committed_url, isolation_level=level)
    own = Repositories(db)
    assert own.doses.record("owner", ids(DAY)[0]).status is DoseStatus.TAKEN
    assert own.schedules.revise("owner", schedule.id, DAY + timedelta(days=1))
    db.close_all()


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_what_must_see_what_came_meanwhile_is_refused_where_it_would_not(
    repositories, schedule, ids, homethrive_committed_url, level
):
    """A dose that is recorded while they wait for their lock would be due once more."""
    db = create_db(homethrive_committed_url)
    strict = Repositories(db)
    calls = (
        lambda: strict.schedules.revise("owner", schedule.id, DAY),
        lambda: strict.doses.record("owner", ids(DAY)[0]),
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match=level.lower()), db.atomic(level):
            call()
    db.close_all()
    assert repositories.schedules.find_by_id("owner", schedule.id) == schedule
    assert count(repositories, "dose_taken") == 0
