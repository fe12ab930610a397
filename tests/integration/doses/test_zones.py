"""Zone data compared, schedules without a zone given one, and what that leaves of doses."""

import json
import threading
import zoneinfo
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from operator import attrgetter
from zoneinfo import ZoneInfo

import psycopg2
import pytest

from homethrive_db import ConfigurationError, NewDoseTaken, Repositories, create_db
from homethrive_db.doses import zone_copies
from homethrive_db.doses.stored_zones import count_zoneless, fix_zones
from homethrive_db.doses.zone_copies import Change, Stretch, differences, server_timelines, timeline
from homethrive_db.enums import DoseStatus
from homethrive_db.migrate import migrate
from homethrive_db.testing.factories import Factory
from tests.integration.repositories.test_races import WAITING
from tests.process import run_command
from tests.waiting import wait_until

NEW_YORK = ZoneInfo("America/New_York")
SINCE, UNTIL = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
ODD = ("America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu")
HOUR = timedelta(hours=1)


@pytest.fixture
def db(empty_db):
    list(migrate(empty_db))
    return empty_db


@pytest.fixture
def factory(db):
    return Factory(Repositories(db))


@pytest.fixture
def zone_files(tmp_path):
    """Write a folder of zone files, each zone with the data of the one that is given."""

    def write(**data_of):
        folder = tmp_path / "zoneinfo"
        for name, source in data_of.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files("tzdata").joinpath("zoneinfo", *source.split("/")).read_bytes())
        folder.joinpath("+VERSION").write_text("2001a\n")
        return folder

    return write


@pytest.fixture
def system_files(zone_files):
    """Let zoneinfo find such a folder in place of the system's, for the test."""

    def use(**data_of):
        zoneinfo.reset_tzpath([str(zone_files(**data_of))])

    yield use
    zoneinfo.reset_tzpath()


def in_zone(factory, zone, **schedule):
    """Make a schedule of a recipient in *zone*, which may be one that we would refuse."""
    recipient = factory.care_recipient()
    set_zone(factory, "care_recipients", recipient.id, zone)
    return factory.schedule(factory.medication(recipient), **schedule)


def set_zone(factory, table, row_id, zone):
    execute(
        factory._repositories.doses_taken._db,
        f"UPDATE {table} SET timezone = %s WHERE id = %s",
        zone,
        row_id,
    )


def execute(db, sql, *values):
    with db.connection_context():
        cursor = db.execute_sql(sql, tuple(map(str, values)))
        return cursor.fetchall() if cursor.description else []


def stored_zones(db):
    return dict(execute(db, "SELECT id, timezone FROM medication_schedules"))


def offset_at(changes, instant):
    return [change.offset for change in changes if change.at <= instant][-1]


@pytest.mark.parametrize("session_zone", ["UTC", "America/New_York"])
def test_the_server_tells_every_change_of_a_zone(empty_db, session_zone):
    """Compared with what it says of every hour, whatever the zone of the session."""
    query = """SELECT zone, at, (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC')
        FROM unnest(%s) zone, generate_series(%s, %s - interval '1 hour', '1 hour') at"""
    with empty_db.atomic():
        empty_db.execute_sql("SELECT set_config('timezone', %s, true)", (session_zone,))
        told = server_timelines(empty_db, ODD, SINCE, UNTIL)
        hours = empty_db.execute_sql(query, (list(ODD), SINCE, UNTIL)).fetchall()
    assert len(hours) == len(ODD) * (UNTIL - SINCE) // HOUR
    assert all(offset_at(told[zone], at) == offset for zone, at, offset in hours)
    assert told["America/New_York"][1] == Change(datetime(2025, 3, 9, 7, tzinfo=UTC), -4 * HOUR)


@pytest.mark.parametrize("name", ODD)
def test_python_tells_every_change_of_a_zone(name):
    zone = ZoneInfo(name)
    told = timeline(zone, SINCE, UNTIL)
    hours = [SINCE + number * HOUR for number in range((UNTIL - SINCE) // HOUR)]
    assert all(offset_at(told, at) == at.astimezone(zone).utcoffset() for at in hours)


def test_a_name_that_the_server_does_not_know_fails_no_question(empty_db):
    told = server_timelines(empty_db, ["Mars/Base", "Europe/London", "'; --"], SINCE, UNTIL)
    assert list(told) == ["Europe/London"]


def test_a_difference_is_told_from_when_to_when_and_by_how_much(empty_db, system_files):
    system_files(Europe__London="Africa/Abidjan", America__New_York="America/New_York")
    (found,) = differences(empty_db, ["Europe/London", "America/New_York"], SINCE, UNTIL)
    offsets = {"server": "+01:00", "system": "+00:00", "package": "+01:00"}
    assert found.zone == "Europe/London"
    assert found.stretches == (
        Stretch(
            datetime(2025, 3, 30, 1, tzinfo=UTC), datetime(2025, 10, 26, 1, tzinfo=UTC), offsets
        ),
        Stretch(
            datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC), offsets
        ),
    )


def test_a_difference_without_an_end_is_told_as_such(empty_db, system_files):
    system_files(Asia__Kolkata="Asia/Kathmandu")
    (found,) = differences(empty_db, ["Asia/Kolkata"], SINCE, UNTIL)
    offsets = {"server": "+05:30", "system": "+05:45", "package": "+05:30"}
    assert found.stretches == (Stretch(SINCE, None, offsets),)


def test_copies_that_lack_a_zone_are_told(empty_db, system_files, monkeypatch):
    system_files(Europe__London="Europe/London")
    (found,) = differences(empty_db, ["Europe/London", "Europe/Paris"], SINCE, UNTIL)
    assert (found.zone, found.stretches, found.lacking) == ("Europe/Paris", (), ("system",))
    monkeypatch.setattr(zone_copies, "engine_zone", lambda _: "Europe/London")
    (found,) = differences(empty_db, ["Of/TheFuture"], SINCE, UNTIL)
    assert found.lacking == ("server",)


def test_an_abbreviation_is_compared_as_the_engine_reads_it(empty_db, system_files):
    """PostgreSQL takes CET for a fixed offset, the engine for Europe/Brussels."""
    system_files(Europe__Brussels="Europe/Brussels")
    (found,) = differences(empty_db, ["CET"], SINCE, UNTIL)
    assert found.stretches[0].offsets == {
        "server": "+01:00",
        "system": "+02:00",
        "package": "+02:00",
    }


def test_a_file_that_holds_no_zone_is_told_by_its_path(empty_db, system_files):
    system_files(Europe__London="Europe/London")
    path = f"{zoneinfo.TZPATH[0]}/Europe/London"
    with open(path, "wb") as file:
        file.write(b"nothing of a zone")
    with pytest.raises(ConfigurationError, match=path):
        differences(empty_db, ["Europe/London"], SINCE, UNTIL)


def test_tz_check_finds_nothing_where_nothing_is(db, server, factory, zone_files):
    in_zone(factory, "America/New_York")
    in_zone(factory, "Europe/London", timezone="Europe/London")
    folder = zone_files(America__New_York="America/New_York", Europe__London="Europe/London")
    done = run_command("tz-check", url=server.url, PYTHONTZPATH=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"{folder}, version 2001a; computes the doses" in lines[2]
    assert lines[4:] == [
        "  ok: the zones in use (2) have the same data everywhere",
        "  ok: no schedule without a zone that the Node service reads in another",
    ]


def test_tz_check_counts_no_unknown_zone_among_those_that_are_the_same(
    db, server, factory, zone_files
):
    in_zone(factory, "Mars/Base", timezone="Europe/London")
    folder = zone_files(America__New_York="America/New_York", Europe__London="Europe/London")
    done = run_command("tz-check", url=server.url, PYTHONTZPATH=str(folder))
    assert done.returncode == 1
    unknown, same, _ = done.stdout.splitlines()[4:]
    assert unknown.startswith("  'Mars/Base' is no IANA zone, in care_recipients: ")
    assert same == "  the other zones in use (2) have the same data everywhere"


def test_tz_check_says_what_differs_and_of_which_rows(db, server, factory, zone_files):
    unknown = in_zone(factory, "Mars/Base", timezone="Europe/London")
    set_zone(factory, "medication_schedules", unknown.id, "europe/london")
    london = sorted(str(in_zone(factory, "Europe/London").id) for _ in range(3))
    ended = in_zone(factory, "Europe/London", end_date=date(2025, 2, 1))
    folder = zone_files(Europe__London="Africa/Abidjan")
    done = run_command("tz-check", "--limit", "2", url=server.url, PYTHONTZPATH=str(folder))
    assert done.returncode == 1
    (recipient,) = execute(db, "SELECT id FROM care_recipients WHERE timezone = 'Mars/Base'")
    said = [line.strip() for line in done.stdout.splitlines()[4:]]
    assert said[0] == "America/New_York: the system lacks it"
    assert said[1].startswith("Europe/London: from 2")
    assert ": server +01:00, system +00:00, package +01:00; 6 more like it" in said[1]
    assert said[2:] == [
        f"'Mars/Base' is no IANA zone, in care_recipients: {recipient[0]}",
        f"'europe/london' is no IANA zone, in medication_schedules: {unknown.id}",
        "schedules without a zone, whose recipients have 'Europe/London': "
        f"{london[0]}, {london[1]} and 1 more",
        f"ended schedules without a zone, whose recipients have 'Europe/London': {ended.id}",
    ]


def test_tz_check_does_without_the_systems_zone_files(db, server, factory):
    user = factory.user()
    execute(db, "UPDATE users SET timezone = 'Europe/London'")
    done = run_command("tz-check", "--format", "json", url=server.url, PYTHONTZPATH="")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"], found["system"]) == (0, True, None)
    assert found["zones"] == ["America/New_York", "Europe/London"]
    assert user.display_name not in done.stdout
    shown = run_command("tz-check", url=server.url, PYTHONTZPATH="")
    assert "system   has no zone files" in shown.stdout


def test_fix_zones_shows_what_it_would_do_and_writes_nothing(db, server, factory):
    in_zone(factory, "Europe/London")
    in_zone(factory, "CET")
    before = stored_zones(db)
    done = run_command("fix-zones", url=server.url)
    assert done.returncode == 0
    assert [line.strip() for line in done.stdout.splitlines()[1:]] == [
        "Europe/Brussels  1",
        "Europe/London    1",
        "2 schedules would get the recipient's zone",
        "Nothing was written: --yes writes it",
    ]
    assert stored_zones(db) == before


def test_fix_zones_writes_zones_where_the_node_service_takes_another(db, server, factory):
    london, brussels = in_zone(factory, "Europe/London"), in_zone(factory, "CET")
    nobodys = in_zone(factory, "Mars/Base")
    home = in_zone(factory, "America/New_York")
    own = in_zone(factory, "Europe/London", timezone="Asia/Tokyo")
    ended = in_zone(factory, "Europe/London", end_date=date(2025, 2, 1))
    done = run_command("fix-zones", "--yes", url=server.url)
    assert done.returncode == 1
    assert "2 schedules got the recipient's zone" in done.stdout
    assert "1 left: 'Mars/Base' is no IANA zone" in done.stdout
    assert "1 left: they have ended" in done.stdout
    after = {
        london.id: "Europe/London",
        brussels.id: "Europe/Brussels",
        nobodys.id: None,
        home.id: None,
        own.id: "Asia/Tokyo",
        ended.id: None,
    }
    assert stored_zones(db) == after
    rows = execute(db, "SELECT id FROM medication_schedules WHERE updated_at > created_at")
    changed = {row[0] for row in rows}
    assert changed == {london.id, brussels.id}
    assert "0 schedules got" in run_command("fix-zones", "--yes", url=server.url).stdout
    done = run_command("fix-zones", "--yes", "--ended", url=server.url)
    assert "1 schedule got" in done.stdout
    assert stored_zones(db) == {**after, ended.id: "Europe/London"}


def many_in_zone(db, factory, zone, count):
    schedule = in_zone(factory, zone)
    execute(
        db,
        """INSERT INTO medication_schedules
            (medication_id, recurrence, time_of_day, start_date, created_by_user_id)
        SELECT medication_id, recurrence, time_of_day, start_date, created_by_user_id
        FROM medication_schedules, generate_series(2, %s::int) WHERE id = %s""",
        count,
        schedule.id,
    )
    return schedule


def test_zones_are_fixed_by_pages(db, factory):
    many_in_zone(db, factory, "Europe/London", 2_300)
    many_in_zone(db, factory, "Asia/Tokyo", 200)
    pages = list(fix_zones(db, count_zoneless(db)))
    assert [page.total() for page in pages] == [1_000, 1_000, 500]
    assert sum(pages, Counter()) == {"Europe/London": 2_300, "Asia/Tokyo": 200}
    assert count_zoneless(db) == []


def test_two_may_fix_zones_at_once(db, server, factory):
    many_in_zone(db, factory, "Europe/London", 5_000)
    groups, together, fixed = count_zoneless(db), threading.Barrier(2), Counter()

    def fix():
        other = create_db(server.url)
        together.wait()
        for page in fix_zones(other, groups):
            fixed.update(page)
        other.close_all()

    threads = [threading.Thread(target=fix) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fixed == {"Europe/London": 5_000}


def test_a_zone_that_somebody_gives_meanwhile_stays(db, server, factory):
    schedule = in_zone(factory, "Europe/London")
    groups, pages = count_zoneless(db), []
    waiting = """SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND datname = current_database()"""
    somebody = create_db(server.url)
    thread = threading.Thread(target=lambda: pages.extend(fix_zones(db, groups)))
    with somebody.atomic():
        somebody.execute_sql("UPDATE medication_schedules SET timezone = 'Asia/Tokyo'")
        thread.start()
        wait_until(lambda: execute(factory._repositories.doses_taken._db, waiting))
    thread.join()
    somebody.close_all()
    assert pages == []
    assert stored_zones(db) == {schedule.id: "Asia/Tokyo"}


def test_a_zone_that_is_taken_away_meanwhile_is_not_given_out_of_order(db, server, factory):
    """An end that waits for the page has locked that schedule already."""
    profile = factory.own_profile(factory.user("owner"), timezone="Europe/London")
    medication = factory.medication(profile)
    schedules = [factory.schedule(medication) for _ in range(2)]
    first, second = sorted(schedules, key=attrgetter("id"))
    one, other, updating = (create_db(server.url) for _ in range(3))
    groups = count_zoneless(db)
    Repositories(db).schedules.update("owner", first.id, timezone="Europe/London")

    def are_waiting(calls):
        wait_until(lambda: execute(db, f"SELECT count(*) FROM {WAITING}") == [(calls,)])

    with ThreadPoolExecutor(2) as threads:
        with updating.atomic():
            Repositories(updating).schedules.update("owner", second.id, dosage_notes="new")
            fixed = threads.submit(lambda: list(fix_zones(one, groups)))
            are_waiting(1)
            Repositories(db).schedules.update("owner", first.id, timezone=None)
            end = Repositories(other).schedules.end
            ended = threads.submit(end, "owner", second.id, date(2100, 1, 1))
            are_waiting(2)
        assert fixed.result(timeout=60) == [{"Europe/London": 1}]
        assert ended.result(timeout=60).timezone == "Europe/London"
    for database in (one, other, updating):
        database.close_all()
    assert stored_zones(db) == {first.id: None, second.id: "Europe/London"}


def test_doses_are_recorded_while_zones_are_fixed(db, server, factory):
    """The Node service's inserts refer to the schedule, and must not wait for the page."""
    schedule = in_zone(factory, "Europe/London")
    with db.atomic():
        next(fix_zones(db, count_zoneless(db)))
        with psycopg2.connect(server.url, options="-c lock_timeout=2s") as node:
            node.cursor().execute(
                """INSERT INTO dose_taken (recipient_id, medication_id, schedule_id, scheduled_for,
                    taken_at, taken_by_user_id)
                SELECT recipient_id, m.id, s.id, now(), now(), s.created_by_user_id
                FROM medication_schedules s JOIN medications m ON m.id = medication_id
                WHERE s.id = %s""",
                (str(schedule.id),),
            )
        node.close()
    assert execute(db, "SELECT count(*) FROM dose_taken") == [(1,)]


DAYS = [date(2025, 3, 3) + timedelta(days=number) for number in range(40)]  # of clock changes, too
TAKEN_DAYS = [day for day in DAYS if day.toordinal() % 3]
WEST_AND_EAST = [
    "Pacific/Honolulu", "America/Los_Angeles", "America/Chicago", "America/St_Johns",
    "Europe/London", "Africa/Cairo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland",
    "Pacific/Kiritimati",
]  # fmt: skip


@pytest.mark.parametrize("days_of_week", [None, [1, 3, 6]], ids=["daily", "weekly"])
@pytest.mark.parametrize("clock", ["00:10", "02:30", "08:00", "12:00", "21:00", "23:50"])
def test_what_the_node_service_recorded_before_still_counts(
    homethrive_db, homethrive_factory, clock, days_of_week
):
    """The same dates are settled before a schedule gets its zone and afterwards."""
    user = homethrive_factory.user()
    recipients = []
    for zone in WEST_AND_EAST:
        recipient = homethrive_factory.care_recipient(user, timezone=zone)
        recipients.append(recipient.id)
        schedule = homethrive_factory.schedule(
            homethrive_factory.medication(recipient),
            time_of_day=clock,
            start_date=DAYS[0],
            end_date=DAYS[-1],
            recurrence="weekly" if days_of_week else "daily",
            days_of_week=days_of_week,
        )
        record_in_new_york(homethrive_factory, user.clerk_user_id, schedule)
    before = [settled(homethrive_db, user, one) for one in recipients]
    assert all(before)
    list(fix_zones(homethrive_db, count_zoneless(homethrive_db), ended=True))
    assert count_zoneless(homethrive_db) == []
    after = [settled(homethrive_db, user, one) for one in recipients]
    for zone, was, is_now in zip(WEST_AND_EAST, before, after, strict=True):
        assert was == is_now, zone


def record_in_new_york(factory, user_id, schedule):
    """Record doses under the instants at which the Node service takes them to be due."""
    clock = time.fromisoformat(str(schedule.time_of_day))
    for day in TAKEN_DAYS:
        if not schedule.days_of_week or day.isoweekday() in schedule.days_of_week:
            due = datetime.combine(day, clock, NEW_YORK).astimezone(UTC)
            factory._repositories.doses_taken.mark_taken(
                user_id, NewDoseTaken(schedule.id, due, due)
            )


def settled(db, user, recipient_id):
    """List the local dates whose doses are taken; all of those recorded must be among them."""
    doses = Repositories(db).doses.list_upcoming(
        user.clerk_user_id, recipient_id, start=datetime(2025, 2, 20, tzinfo=UTC),
        end=datetime(2025, 5, 1, tzinfo=UTC),
    )  # fmt: skip
    days = {dose.local_date for dose in doses if dose.status is DoseStatus.TAKEN}
    assert days >= {dose.local_date for dose in doses} & set(TAKEN_DAYS)
    return days
