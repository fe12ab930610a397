"""What goes over the wire to a proxy, and PgBouncer in transaction mode."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from functools import partial
from uuid import uuid4

import pytest

from homethrive_db import (
    ConfigurationError,
    DoseReport,
    DoseStatus,
    NewMedication,
    NewSchedule,
    OutcomeStatus,
    ReminderLedger,
    Repositories,
    create_db,
    encode_dose_id,
    occurrences,
)
from homethrive_db.statements import PROXY_BYTES
from homethrive_db.testing.factories import Factory
from tests.faults.conftest import DATABASE
from tests.migrations import NAMES
from tests.process import run_command
from tests.reminders import Home
from tests.waiting import wait_until

DUE = datetime(2026, 3, 9, 12, tzinfo=UTC)
PINS = re.compile(
    r"\s*(SET|DISCARD|DECLARE|PREPARE|EXECUTE|LISTEN|RESET)\b"
    r"|.*(\bset_config\b|\bpg_(try_)?advisory_lock|\b(TEMP|TEMPORARY)\b|\bCURSOR\b)",
    re.IGNORECASE | re.DOTALL,
)
AWKWARD = "\\'\"{},é日"


def reports_of(factory, count):
    """Make reports of one schedule by a user whose id takes much room."""
    user = factory.user("user_1")
    schedule = factory.schedule(factory.medication(factory.own_profile(user)))
    return [
        DoseReport("user_1", schedule.id, DUE + timedelta(days=day), DUE) for day in range(count)
    ]


def test_nothing_that_pins_goes_over_the_wire(proxy, proxy_url, make_db):
    """Fault 11."""
    db = make_db(proxy_url, proxy=True)
    repositories = Repositories(db)
    reports = reports_of(Factory(repositories), 1000)
    outcomes = repositories.doses_taken.mark_taken_many(reports)
    assert {one.status for one in outcomes} == {OutcomeStatus.RECORDED}
    assert [one.report for one in outcomes] == reports
    with db.atomic(), db.atomic():
        repositories.users.upsert("user_2")
    profile = repositories.care_recipients.find_by_user_id("user_1")
    repositories.care_recipients.update("user_1", profile.id, timezone="Europe/London")
    schedule = repositories.schedules.find_by_id("user_1", reports[0].schedule_id)
    (due, *_) = occurrences(schedule, "Europe/London", DUE - timedelta(2), DUE - timedelta(1))
    dose_id = encode_dose_id(schedule.id, due)
    doses = repositories.doses
    for call in (doses.record, doses.undo, doses.skip):  # of somebody elsewhere: under a lock
        call("user_1", dose_id)
    assert doses.list_upcoming("user_1", profile.id, start=due)
    schedule_ids = [reports[0].schedule_id, *(uuid4() for _ in range(999))]
    taken = repositories.doses_taken.taken_map("user_1", schedule_ids, DUE, DUE + timedelta(3000))
    assert len(taken) == 1000
    use_every_repository(db, "user_3")
    assert proxy.messages[0].kind == "startup"
    assert {message.kind for message in proxy.messages} <= {"startup", "Q", "X"}
    assert all(b"options" not in one.body for one in proxy.messages if one.kind == "startup")
    assert [one for one in proxy.statements if PINS.match(one)] == []
    longest = max(message.length for message in proxy.messages)
    assert PROXY_BYTES * 0.8 < longest <= 16_384


@pytest.mark.parametrize("notes", ["", AWKWARD * 31, "\x1f" * 252])
def test_schedules_in_large_numbers_are_all_or_nothing(proxy, proxy_url, make_db, notes):
    repositories = Repositories(make_db(proxy_url, proxy=True))
    profile = Factory(repositories).own_profile(Factory(repositories).user("user_1"))
    new = [
        NewSchedule("weekly", time(8), DUE.date(), range(1, 8), dosage_notes=f"{notes}{number}")
        for number in range(300)
    ]
    created = repositories.medications.create_with_schedules(
        "user_1", profile.id, NewMedication("Ibuprofen", AWKWARD * 62), new
    )
    assert [one.dosage_notes for one in created.schedules] == [one.dosage_notes for one in new]
    more = repositories.schedules.create_many("user_1", {created.medication.id: new})
    assert [one.dosage_notes for one in more] == [one.dosage_notes for one in new]
    listed = repositories.schedules.list_by_medication("user_1", created.medication.id)
    assert listed == [*created.schedules, *more]
    assert max(message.length for message in proxy.messages) <= 16_384


def test_what_a_proxy_refuses_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="options"):
        create_db("postgresql://localhost/x", proxy=True, options="-c statement_timeout=1")
    with pytest.raises(ConfigurationError, match="options"):
        create_db("postgresql://localhost/x?options=-cgeqo%3Doff", proxy=True)
    with pytest.raises(ConfigurationError, match="replication"):
        create_db("postgresql://localhost/x?replication=database", proxy=True)


@pytest.mark.parametrize("variable", ["PGOPTIONS", "PGGEQO"])
def test_so_is_what_libpq_would_send_of_the_environment(monkeypatch, variable):
    monkeypatch.setenv(variable, "-c geqo=off")
    with pytest.raises(ConfigurationError, match=variable):
        create_db("postgresql://localhost/x", proxy=True)
    create_db("postgresql://localhost/x")


def test_tls_is_verified_unless_the_url_says_otherwise():
    assert create_db("postgresql://db.example/x", proxy=True).connect_params["sslmode"] == (
        "verify-full"
    )
    disabled = create_db("postgresql://db.example/x?sslmode=disable", proxy=True)
    assert disabled.connect_params["sslmode"] == "disable"
    assert "sslmode" not in create_db("postgresql://db.example/x").connect_params


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_the_environment_may_say_that_there_is_a_proxy(monkeypatch, value):
    monkeypatch.setenv("DATABASE_PROXY", value)
    assert create_db("postgresql://db.example/x").options.proxy is (value == "1")
    assert not create_db("postgresql://db.example/x", proxy=False).options.proxy


def test_another_value_of_the_variable_is_refused(monkeypatch):
    monkeypatch.setenv("DATABASE_PROXY", "yes")
    with pytest.raises(ConfigurationError, match="DATABASE_PROXY: 0 or 1 expected"):
        create_db("postgresql://db.example/x")


def test_fifty_threads_share_five_connections_of_pgbouncer(server, bouncer, make_db):
    """Fault 12: and again once PgBouncer has been restarted."""
    db = make_db(bouncer.url(DATABASE), max_connections=50, proxy=True)
    for turn in ("first", "second"):
        errors, backends = [], []

        def work(number, turn=turn, errors=errors, backends=backends):
            try:
                use_every_repository(db, f"{turn}_{number}")
                backends.append(len(server.backends(DATABASE)))
            except Exception as error:  # noqa: BLE001
                errors.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert max(backends) <= 5
        bouncer.restart()
        wait_until(lambda: not server.backends(DATABASE))  # those of before are still about to end


def use_every_repository(db, user_id):
    repositories = Repositories(db)
    factory = Factory(repositories, seed=hash(user_id))
    user = factory.user(user_id)
    profile = factory.own_profile(user)
    caregiver = factory.user(f"{user_id}_caregiver")
    factory.caregiver_access(caregiver, user, status="approved")
    schedule = factory.schedule(factory.medication(profile))
    report = DoseReport(caregiver.clerk_user_id, schedule.id, DUE, DUE)
    (outcome,) = repositories.doses_taken.mark_taken_many([report])
    assert outcome.status == OutcomeStatus.RECORDED
    start = DUE + timedelta(days=1)
    listed = partial(repositories.doses.list_upcoming, user_id, profile.id, start=start)
    repositories.doses.record(caregiver.clerk_user_id, listed()[0].dose_id)
    assert listed()[0].status == DoseStatus.TAKEN
    with db.atomic():
        assert repositories.doses_taken.unmark_taken(user_id, schedule.id, DUE)
        assert repositories.medications.list_by_recipient(user_id, profile.id)
    assert repositories.care_recipients.list_for_caregiver(caregiver.clerk_user_id)


def test_workers_of_reminders_share_five_connections_of_pgbouncer(server, bouncer, make_db):
    home = Home(make_db(server.url(DATABASE)))
    try:
        home.enqueue(days=300)
        db = make_db(bouncer.url(DATABASE), max_connections=20, proxy=True)
        ledger = ReminderLedger(db)

        def work(_):
            sent = []
            while claimed := ledger.claim("due", limit=7, lease=timedelta(minutes=5)):
                sent += [ledger.sent(one) for one in claimed]
            return sent

        with ThreadPoolExecutor(20) as threads:
            sent = [one for many in threads.map(work, range(20)) for one in many]
        assert sent == [True] * 300
        assert home.states() == {"sent": 300}
    finally:
        home.execute("TRUNCATE users CASCADE")


def test_migrators_meet_behind_pgbouncer(server, bouncer):
    """Together, each migration is applied once: the lock is a transaction's."""
    server.execute("CREATE DATABASE behind_test")
    try:
        url = bouncer.url("behind_test")
        ended = []
        threads = [
            threading.Thread(target=lambda: ended.append(run_command("migrate", url=url)))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.returncode for one in ended] == [0] * 6
        said = "".join(one.stdout for one in ended)
        assert [said.count(f"applied {name}") for name in NAMES] == [1] * len(NAMES)
    finally:
        bouncer.stop()
        server.execute("DROP DATABASE behind_test WITH (FORCE)")
