"""The ledger of reminders: what is enqueued, claimed, sent, tried again, and withdrawn."""

from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

import pytest

from homethrive_db import ValidationError, create_db
from homethrive_db.doses import agenda
from homethrive_db.doses.feed_occurrence import Contact
from homethrive_db.doses.reminders import Reminder, ReminderLedger
from homethrive_db.enums import ContactRole, ReminderState
from tests.reminders import DAY, LEASE, NOON, Home
from tests.waiting import wait_until

PENDING, SENT = ReminderState.PENDING, ReminderState.SENT
DEAD, WITHDRAWN = ReminderState.DEAD, ReminderState.WITHDRAWN
CLAIMED = Reminder(uuid4(), "due", None, None, "Olive", 1, uuid4(), datetime.now(UTC))


@pytest.fixture
def home(homethrive_db):
    return Home(homethrive_db)


def test_each_dose_and_contact_has_one_reminder_however_often_it_is_enqueued(home):
    assert home.enqueue(days=3, users=("owner", "carer")) == 6
    assert home.enqueue(days=3, users=("owner", "carer")) == 0
    assert home.enqueue(days=4, users=("owner",)) == 1
    assert home.enqueue(days=1, users=("owner", "owner"), kind="missed") == 1
    assert home.states() == {"pending": 8}


def test_thousands_are_enqueued(home):
    assert home.enqueue(days=2_500) == 2_500


def test_what_became_of_a_reminder_stays_when_it_is_enqueued_again(home):
    home.enqueue()
    home.ledger.sent(home.claim()[0])
    assert home.enqueue() == 0
    assert home.states() == {"sent": 1}


def test_a_schedule_or_a_user_that_is_gone_has_no_reminder_and_spoils_no_other(home):
    (one,) = home.occurrences(users=("owner", "nobody"))
    gone = one._replace(dose=one.dose._replace(schedule_id=uuid4()))
    assert home.ledger.enqueue([gone, one], "due") == 1


def test_a_claim_tells_whom_to_remind_of_what(home):
    home.enqueue(users=("owner", "carer"))
    (dose,) = (one.dose for one in home.occurrences())
    first, second = home.claim()
    owner, carer = sorted((first, second), key=lambda one: one.contact.role, reverse=True)
    assert owner == Reminder(
        id=owner.id,
        kind="due",
        contact=Contact("owner", ContactRole.RECIPIENT, "Olive", "olive@example.org"),
        dose=dose,
        recipient_display_name="Olive",
        attempts=1,
        lease_id=owner.lease_id,
        lease_until=owner.lease_until,
    )
    assert carer.contact == Contact("carer", ContactRole.CAREGIVER, "Carl", "carl@example.org")
    ((now,),) = home.execute("SELECT statement_timestamp()")
    assert LEASE - timedelta(minutes=1) < owner.lease_until - now <= LEASE


def test_who_created_a_profile_is_reminded_for_it(home):
    profile = home.factory.care_recipient(home.factory.user("daughter"), display_name="Otto")
    home.factory.schedule(
        home.factory.medication(profile), time_of_day=time(7), start_date=DAY, timezone="Asia/Tokyo"
    )
    found = home.doses.list_upcoming(
        "daughter", profile.id, start=NOON, end=NOON + timedelta(days=1)
    )
    (shape,) = home.occurrences(users=("daughter",))
    home.ledger.enqueue([shape._replace(dose=found[0])], "due")
    (reminder,) = home.claim()
    assert reminder.contact.role is ContactRole.CREATOR
    assert reminder.recipient_display_name == "Otto"
    assert reminder.dose == found[0]


def test_kinds_are_apart(home):
    home.enqueue(kind="due")
    home.enqueue(kind="missed")
    assert [one.kind for one in home.claim("missed")] == ["missed"]
    assert home.claim("missed") == []
    assert [one.kind for one in home.claim("due")] == ["due"]


def test_those_that_wait_longest_are_claimed_first(home):
    home.enqueue(days=3)
    home.execute(
        "UPDATE dose_reminders SET available_at = now() - (scheduled_for - '2026-01-01') / 100"
    )
    claimed = [home.claim(limit=1)[0].dose.local_date.day for _ in range(3)]
    assert claimed == [4, 3, 2]


def test_a_lease_keeps_others_away_until_it_ends(home):
    home.enqueue()
    (first,) = home.claim()
    assert home.claim() == []
    home.end_leases()
    (second,) = home.claim()
    assert (second.id, second.attempts) == (first.id, 2)
    assert second.lease_id != first.lease_id


def test_a_lease_ends_by_itself(homethrive_committed_db):
    home = Home(homethrive_committed_db)
    home.enqueue()
    (first,) = home.claim(lease=timedelta(milliseconds=200))
    again = []
    wait_until(lambda: again.extend(home.claim()) or again)
    ((claimed_at,),) = home.execute("SELECT updated_at FROM dose_reminders")
    assert claimed_at >= first.lease_until


def test_a_reminder_is_sent_once_whoever_has_its_lease(home):
    home.enqueue()
    (first,) = home.claim()
    home.end_leases()
    (second,) = home.claim()
    assert home.ledger.sent(first) is True
    assert home.ledger.sent(second) is False
    assert home.ledger.sent(first) is False
    assert home.ledger.failed(second, "too late") is None
    home.end_leases()
    assert home.claim() == []
    assert home.states() == {"sent": 1}


@pytest.mark.parametrize("state", [DEAD, WITHDRAWN])
def test_what_was_delivered_after_all_is_sent(home, state):
    home.enqueue()
    (reminder,) = home.claim()
    home.execute("UPDATE dose_reminders SET state = %s", state)
    assert home.ledger.sent(reminder) is True
    assert home.states() == {"sent": 1}


def test_a_purged_reminder_cannot_be_sent(home):
    home.enqueue()
    (reminder,) = home.claim()
    home.execute("DELETE FROM dose_reminders")
    assert home.ledger.sent(reminder) is False
    assert home.ledger.failed(reminder, "x") is None


def test_a_failure_counts_only_under_its_own_lease(home):
    home.enqueue()
    (first,) = home.claim()
    home.end_leases()
    (second,) = home.claim()
    assert home.ledger.failed(first, "first") is None
    assert home.ledger.failed(second, "second") is PENDING
    assert home.ledger.failed(second, "third") is None
    assert home.execute("SELECT error, lease_id FROM dose_reminders") == [("second", None)]


def test_the_pause_after_a_failure_doubles_up_to_a_bound_and_varies(homethrive_db):
    home = Home(homethrive_db)
    home.ledger = ReminderLedger(
        homethrive_db, max_attempts=6, pause=timedelta(seconds=10), longest_pause=timedelta(0, 60)
    )
    home.enqueue(days=20)
    for bound in (10, 20, 40, 60, 60):
        home.end_leases()
        for reminder in home.claim():
            assert home.ledger.failed(reminder, "busy") is PENDING
        rows = home.execute("SELECT available_at - updated_at FROM dose_reminders")
        pauses = {pause.total_seconds() for (pause,) in rows}
        assert bound / 2 <= min(pauses) < max(pauses) <= bound
        assert home.claim() == []


def test_the_last_failure_is_dead_and_is_claimed_no_more(homethrive_db):
    home = Home(homethrive_db)
    home.ledger = ReminderLedger(homethrive_db, max_attempts=2)
    home.enqueue()
    outcomes = []
    for _ in range(2):
        home.end_leases()
        outcomes.append(home.ledger.failed(home.claim()[0], "no such address"))
    assert outcomes == [PENDING, DEAD]
    home.end_leases()
    assert home.claim() == []
    rows = home.execute("SELECT state, attempts, error FROM dose_reminders")
    assert rows == [("dead", 2, "no such address")]


def test_a_reminder_whose_workers_all_die_is_dead(homethrive_db):
    home = Home(homethrive_db)
    home.ledger = ReminderLedger(homethrive_db, max_attempts=2)
    home.enqueue(days=3)
    for _ in range(2):
        assert len(home.claim()) == 3
        home.end_leases()
    assert home.claim() == []
    ((state, attempts, error),) = set(
        home.execute("SELECT state, attempts, error FROM dose_reminders")
    )
    assert (state, attempts) == ("dead", 2)
    assert "ended" in error


@pytest.mark.parametrize(
    ("error", "kept"),
    [("x" * 501, "x" * 500), ("a\0b", "a?b"), ("\ud800", "?"), ("", ""), (OSError("no"), "no")],
)
def test_the_text_of_an_error_is_cut_to_what_can_be_kept(home, error, kept):
    home.enqueue()
    home.ledger.failed(home.claim()[0], error)
    assert home.execute("SELECT error FROM dose_reminders") == [(kept,)]


def take(home):
    home.doses.record("carer", home.occurrences()[0].dose.dose_id)


def take_before_it_moves(home):
    """The date has a taken row, of when the schedule said another time."""
    take(home)
    home.execute("UPDATE dose_reminders SET scheduled_for = scheduled_for + interval '2 hours'")
    move(home, time_of_day="10:30")


def skip(home):
    home.doses.skip("owner", home.occurrences()[0].dose.dose_id, reason="ill")


def set_inactive(home):
    before = NOON - timedelta(days=1)
    home.repositories.medications.set_inactive("owner", home.medication.id, before)


def revoke(home):
    home.repositories.caregiver_access.revoke("owner", home.access.id, datetime.now(UTC))


def move(home, **changes):
    home.repositories.schedules.update("owner", home.schedule.id, **changes)


def end(home):
    last = DAY - timedelta(days=1)
    home.execute("UPDATE medication_schedules SET start_date = '2026-01-01', end_date = %s", last)


def move_away(home):
    home.repositories.care_recipients.update("owner", home.profile.id, timezone="Asia/Tokyo")


def break_it(home):
    home.execute("UPDATE medication_schedules SET recurrence = 'weekly', days_of_week = '{}'")


USELESS = {
    "taken": take,
    "taken before the schedule moved": take_before_it_moves,
    "skipped": skip,
    "medication inactive": set_inactive,
    "access revoked": revoke,
    "schedule moved": lambda home: move(home, time_of_day="09:00"),
    "schedule on other days": lambda home: move(home, recurrence="weekly", days_of_week=[7]),
    "schedule ended": end,
    "schedule begins later": lambda home: move(home, start_date=DAY + timedelta(days=1)),
    "recipient in another zone": move_away,
    "schedule that cannot be": break_it,
}


@pytest.mark.parametrize("happen", USELESS.values(), ids=USELESS.keys())
@pytest.mark.parametrize("kind", ["due", "missed"])
def test_a_reminder_of_no_use_any_more_is_withdrawn(home, happen, kind):
    home.enqueue(users=("carer",), kind=kind)
    happen(home)
    assert home.claim(kind) == []
    assert home.states() == {"withdrawn": 1}
    home.end_leases()
    assert home.claim(kind) == []


def test_what_was_withdrawn_is_reminded_of_once_it_is_open_again(home):
    """Somebody ticked off the wrong dose, and took that back."""
    home.enqueue(days=2, users=("owner", "carer"))
    (first, *_) = home.occurrences()
    take(home)
    assert len(home.claim()) == 2
    home.doses.undo("owner", first.dose.dose_id)
    assert home.claim() == []
    assert home.enqueue(days=2, users=("owner", "owner")) == 1
    assert home.enqueue(days=2, users=("owner", "owner")) == 0
    (reminder,) = home.claim()
    assert (reminder.contact.user_id, reminder.dose.dose_id) == ("owner", first.dose.dose_id)
    assert reminder.attempts == 1
    assert home.states() == {"pending": 3, "withdrawn": 1}


def test_a_kind_does_not_revive_another(home):
    home.enqueue()
    take(home)
    assert home.claim() == []
    home.doses.undo("owner", home.occurrences()[0].dose.dose_id)
    assert home.enqueue(kind="missed") == 1
    assert home.claim() == []


def test_a_dose_taken_at_the_instant_of_the_node_service_needs_no_reminder(homethrive_db):
    """It reads a schedule without a zone in New York's, whatever the recipient's."""
    home = Home(homethrive_db)
    move_away(home)
    (one,) = home.occurrences(users=("owner",))
    assert (one.dose.zone, one.dose.local_date.day) == ("Asia/Tokyo", 3)
    home.ledger.enqueue([one], "due")
    in_new_york = datetime(2026, 3, 3, 13, 30, tzinfo=UTC)
    home.factory.dose_taken(home.schedule, scheduled_for=in_new_york)
    assert home.claim() == []
    assert home.states() == {"withdrawn": 1}


def test_no_dose_of_a_medication_is_reminded_of_once_it_was_stopped(home):
    """Though it was due before: nobody is told to take what they are to take no more."""
    home.enqueue()
    home.repositories.medications.set_inactive("owner", home.medication.id, NOON + LEASE * 100)
    assert home.claim() == []
    assert home.states() == {"withdrawn": 1}


def test_a_medication_that_will_be_stopped_is_reminded_of_until_then(home):
    home.enqueue()
    later = datetime.now(UTC) + timedelta(hours=1)
    home.repositories.medications.set_inactive("owner", home.medication.id, later)
    assert len(home.claim()) == 1


def test_a_reminder_that_would_come_too_late_is_withdrawn(home):
    home.enqueue(days=3)
    second = home.occurrences(days=3)[1].dose.scheduled_for
    claimed = home.ledger.claim("due", limit=9, lease=LEASE, due_after=second)
    assert [one.dose.local_date.day for one in claimed] == [3, 4]
    assert home.states() == {"withdrawn": 1, "pending": 2}


def test_only_what_is_of_no_use_is_withdrawn(home):
    home.enqueue(days=3, users=("owner", "carer"))
    take(home)
    revoke(home)
    claimed = home.claim()
    assert [one.contact.user_id for one in claimed] == ["owner", "owner"]
    assert [one.dose.local_date.day for one in claimed] == [3, 4]
    assert home.states() == {"withdrawn": 4, "pending": 2}


def test_a_claim_is_empty_only_where_nothing_is_to_be_had(home):
    """Though each of the first ones is withdrawn."""
    home.enqueue(days=5, users=("carer",))
    home.enqueue(days=1, users=("owner",))
    home.execute(
        "UPDATE dose_reminders SET available_at = now() - interval '1 hour' WHERE user_id = 'carer'"
    )
    revoke(home)
    assert [one.contact.user_id for one in home.claim(limit=2)] == ["owner"]
    assert home.states() == {"withdrawn": 5, "pending": 1}


def test_a_schedule_that_cannot_be_is_logged_once_with_its_id_alone(home, caplog):
    agenda._report.cache_clear()
    home.enqueue(users=("owner", "carer"))
    break_it(home)
    assert home.claim() == []
    (record,) = caplog.records
    assert str(home.schedule.id) in record.getMessage()
    assert home.medication.name not in record.getMessage()


def test_calls_share_the_transaction_of_the_caller(homethrive_committed_db):
    home = Home(homethrive_committed_db)
    home.enqueue(days=2)
    with home.db.atomic() as transaction:
        assert home.enqueue(days=3) == 1
        claimed = home.claim()
        assert home.ledger.sent(claimed[0])
        assert home.ledger.failed(claimed[1], "busy") is PENDING
        transaction.rollback()
    rows = home.execute("SELECT state, attempts FROM dose_reminders")
    assert rows == [("pending", 0)] * 2


def test_the_ledger_works_with_prepared_statements(homethrive_committed_url):
    db = create_db(homethrive_committed_url, prepared=True)
    home = Home(db)
    for _ in range(7):  # beyond the five after which the server may plan for any values
        home.enqueue(days=2)
        first, second = home.claim(limit=2)
        assert home.ledger.failed(first, "busy") is PENDING
        assert home.ledger.sent(second) is True
        assert home.ledger.purge(NOON + timedelta(days=2)) == 1
        home.execute("DELETE FROM dose_reminders")
        home.enqueue()
        take(home)
        assert home.claim() == []
        home.doses.undo("owner", home.occurrences()[0].dose.dose_id)
        home.execute("DELETE FROM dose_reminders")
    db.close_all()


def test_purging_deletes_what_is_settled_and_was_due_before(home):
    home.enqueue(days=10)
    for number, reminder in enumerate(home.claim()):
        if number % 3:
            home.ledger.sent(reminder)
    assert home.ledger.purge(NOON + timedelta(days=5)) == 3
    assert home.ledger.purge(NOON + timedelta(days=5)) == 0
    assert home.states() == {"pending": 4, "sent": 3}


def test_purging_goes_on_batch_by_batch(home, monkeypatch):
    monkeypatch.setattr("homethrive_db.doses.reminders.PURGED_AT_ONCE", 3)
    home.enqueue(days=10)
    for reminder in home.claim():
        home.ledger.sent(reminder)
    assert home.ledger.purge(NOON + timedelta(days=100)) == 10


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("contacts", {"contacts": None}),
        ("contacts", {"contacts": ("owner",)}),
        ("dose", {"dose": None}),
    ],
)
def test_what_is_no_dose_with_contacts_is_not_enqueued(home, field, change):
    (found,) = home.occurrences()
    with pytest.raises(ValidationError) as refused:
        home.ledger.enqueue([found._replace(**change)], "due")
    assert refused.value.details == {"field": field}
    assert home.states() == {}


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("kind", lambda ledger: ledger.enqueue([], "")),
        ("kind", lambda ledger: ledger.enqueue([], "Due")),
        ("kind", lambda ledger: ledger.enqueue([], "x" * 33)),
        ("kind", lambda ledger: ledger.claim(None, limit=1, lease=LEASE)),
        ("limit", lambda ledger: ledger.claim("due", limit=0, lease=LEASE)),
        ("limit", lambda ledger: ledger.claim("due", limit=1001, lease=LEASE)),
        ("limit", lambda ledger: ledger.claim("due", limit=True, lease=LEASE)),
        ("lease", lambda ledger: ledger.claim("due", limit=1, lease=30)),
        ("lease", lambda ledger: ledger.claim("due", limit=1, lease=timedelta(0))),
        ("lease", lambda ledger: ledger.claim("due", limit=1, lease=timedelta(days=8))),
        (
            "due_after",
            lambda ledger: ledger.claim(
                "due", limit=1, lease=LEASE, due_after=datetime(2026, 1, 1)
            ),
        ),
        ("max_attempts", lambda ledger: ReminderLedger(ledger._db, max_attempts=0)),
        ("pause", lambda ledger: ReminderLedger(ledger._db, pause=timedelta(-1))),
        ("longest_pause", lambda ledger: ReminderLedger(ledger._db, longest_pause=5)),
        (
            "longest_pause",
            lambda ledger: ReminderLedger(
                ledger._db, pause=timedelta(hours=2), longest_pause=timedelta(seconds=5)
            ),
        ),
        ("before", lambda ledger: ledger.purge(datetime(2026, 1, 1))),
        ("occurrences", lambda ledger: ledger.enqueue([None], "due")),
        ("occurrences", lambda ledger: ledger.enqueue(None, "due")),
        ("reminder", lambda ledger: ledger.sent(None)),
        ("reminder", lambda ledger: ledger.failed({}, "no")),
        *(
            ("error", lambda ledger, error=error: ledger.failed(CLAIMED, error))
            for error in (5, b"x", None, OSError)
        ),
    ],
)
def test_bad_input_is_refused_before_a_connection_is_used(field, call):
    db = create_db("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(ValidationError) as refused:
        call(ReminderLedger(db))
    assert refused.value.details == {"field": field}
