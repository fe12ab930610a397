"""The feed of all care recipients, against brute force over every schedule there is."""

import logging
import random
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from uuid import UUID
from zoneinfo import available_timezones

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.feed_fill import fill
from homethrive_db import (
    ConfigurationError,
    Contact,
    ContactRole,
    DoseFeed,
    DoseStatus,
    NewSchedule,
    Recurrence,
    ValidationError,
    create_db,
    occurrences,
    value_types,
)
from homethrive_db.doses import agenda, feed_followers, feed_recipients, recurrence

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOON = datetime(2025, 6, 4, 12, tzinfo=UTC)

ZONES = [
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "UTC",
]
CHANGES = [  # of the clocks there; those in Havana and Santiago skip midnight
    datetime(2025, 3, 9, 5, tzinfo=UTC),
    datetime(2025, 3, 9, 7, tzinfo=UTC),
    datetime(2025, 3, 30, 1, tzinfo=UTC),
    datetime(2025, 4, 5, 14, tzinfo=UTC),
    datetime(2025, 9, 7, 4, tzinfo=UTC),
    datetime(2025, 10, 26, 1, tzinfo=UTC),
    datetime(2025, 11, 2, 5, tzinfo=UTC),
]


@dataclass
class Stored:
    """A schedule as it is stored."""

    id: UUID
    recipient_id: UUID
    medication_id: UUID
    own_zone: str | None
    zone: str
    schedule: NewSchedule
    is_active: bool
    inactive_at: datetime | None

    def due(self, start, end):
        found = occurrences(self.schedule, self.zone, start, end)
        if self.is_active:
            return found
        return [at for at in found if self.inactive_at and at <= self.inactive_at]


class World:
    """A random database, and what brute force finds in it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.recipients = {self.uuid(): self.random.choice(ZONES) for _ in range(40)}
        self.schedules = [self.stored(one) for one in self.recipients for _ in range(8)]
        self.settled = {
            (one.id, at): self.random.random() < 0.6
            for one in self.schedules
            for change in (*CHANGES, NOON)
            for at in one.due(change - 2 * DAY, change + 2 * DAY)
            if self.random.random() < 0.3
        }

    def uuid(self):
        return UUID(int=self.random.getrandbits(128))

    def stored(self, recipient):
        own = self.random.choice([None, *self.random.sample(ZONES, 2)])
        days = self.random.sample(range(1, 8), self.random.randrange(1, 4))
        is_daily = self.random.random() < 0.6
        start = date(2024, 1, 1) + self.random.randrange(700) * DAY * (self.random.random() < 0.3)
        end = start + self.random.randrange(500) * DAY if self.random.random() < 0.3 else None
        schedule = NewSchedule(
            Recurrence.DAILY if is_daily else Recurrence.WEEKLY,
            time(self.random.choice([0, 1, 2, 3, 8, 12, 23]), self.random.choice([0, 15, 30, 59])),
            start,
            None if is_daily else days,
            own,
            end,
        )
        is_active = self.random.random() < 0.8
        inactive_at = None if is_active else self.random.choice([None, *CHANGES])
        zone = own or self.recipients[recipient]
        return Stored(
            self.uuid(), recipient, self.uuid(), own, zone, schedule, is_active, inactive_at
        )

    def write(self, url):
        """Store everything as the Node service would, checked by the tables alone."""
        connection = psycopg2.connect(url)
        psycopg2.extras.register_uuid(conn_or_curs=connection)
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO users (clerk_user_id) VALUES ('u')")
            insert(
                cursor,
                "care_recipients (id, display_name, timezone)",
                [(one, f"Person {one}", zone) for one, zone in self.recipients.items()],
            )
            insert(
                cursor,
                "medications (id, recipient_id, name, is_active, inactive_at, created_by_user_id)",
                [(one.medication_id, one.recipient_id, "M", one.is_active, one.inactive_at, "u")
                 for one in self.schedules],
            )  # fmt: skip
            insert(
                cursor,
                "medication_schedules (id, medication_id, recurrence, time_of_day, timezone,"
                " days_of_week, start_date, end_date, created_by_user_id)",
                [row_of(one) for one in self.schedules],
            )
            whose = {one.id: (one.recipient_id, one.medication_id) for one in self.schedules}
            insert(
                cursor,
                "dose_taken (schedule_id, recipient_id, medication_id, scheduled_for, taken_at,"
                " taken_by_user_id)",
                [(one, *whose[one], at, at, "u")
                 for (one, at), is_taken in self.settled.items() if is_taken],
            )  # fmt: skip
            insert(
                cursor,
                "dose_skips (schedule_id, scheduled_for, skipped_at, skipped_by_user_id)",
                [(one, at, at, "u") for (one, at), taken in self.settled.items() if not taken],
            )
        connection.close()

    def due(self, start, end):
        """List what is due, in the order of the feed."""
        place = recipient_place if end - start >= 12 * HOUR else clock_place
        keys = [
            (*place(one), one.id, at)
            for one in self.schedules
            for at in one.due(start, end)
            if (one.id, at) not in self.settled
        ]
        return [(schedule_id, at) for *_, schedule_id, at in sorted(keys)]


def clock_place(stored):
    return stored.own_zone is None, stored.own_zone or "", stored.schedule.time_of_day


def recipient_place(stored):
    return (stored.recipient_id,)


def row_of(one):
    new = one.schedule
    days = None if new.days_of_week is None else list(new.days_of_week)
    return (one.id, one.medication_id, str(new.recurrence), f"{new.time_of_day:%H:%M}",
            one.own_zone, days, new.start_date, new.end_date, "u")  # fmt: skip


def insert(cursor, table, rows):
    psycopg2.extras.execute_values(cursor, f"INSERT INTO {table} VALUES %s", rows)


@pytest.fixture(scope="module")
def world(homethrive_databases):
    """Give a random world, a feed of it in small pages, and the URL of its database."""
    made = World(seed=6)
    with homethrive_databases.clone() as url:
        made.write(url)
        made.url, made.db = url, create_db(url)
        made.feed = DoseFeed(made.db, page_size=7)
        yield made
        made.db.close_all()


def keys(found):
    return [(one.dose.schedule_id, one.dose.scheduled_for) for one in found]


NEAR_CHANGES = st.builds(
    lambda change, by: change + by, st.sampled_from(CHANGES), st.timedeltas(-DAY, DAY)
)
STARTS = NEAR_CHANGES | st.datetimes(
    datetime(2024, 12, 1), datetime(2026, 1, 31), timezones=st.just(UTC)
)
LENGTHS = (
    st.sampled_from([15 * MINUTE, 12 * HOUR - MINUTE, 12 * HOUR, 5 * DAY])
    | st.timedeltas(timedelta(), 12 * HOUR)
    | st.timedeltas(timedelta(), 30 * HOUR)
)


@settings(max_examples=40)
@given(STARTS, LENGTHS)
def test_it_finds_what_brute_force_finds_in_its_order(world, start, length):
    found = list(world.feed.due(start, start + length))
    assert keys(found) == world.due(start, start + length)
    assert {one.dose.status for one in found} <= {DoseStatus.SCHEDULED}


@settings(max_examples=15)
@given(STARTS, LENGTHS, st.timedeltas(timedelta(), 2 * DAY))
def test_a_dose_is_missed_once_it_is_late(world, since, length, grace):
    found = world.feed.missed(since, since + length, grace=grace)
    assert keys(found) == world.due(since - grace, since + length - grace)


@settings(max_examples=8)
@given(STARTS, st.timedeltas(timedelta(), 30 * HOUR), st.integers(2, 9))
def test_shards_share_the_doses_of_all_recipients(world, start, length, count):
    whole = world.due(start, start + length)
    shards = [
        list(world.feed.due(start, start + length, shard=(number, count)))
        for number in range(count)
    ]
    assert sorted(key for shard in shards for key in keys(shard)) == sorted(whole)
    recipients = [{one.dose.recipient_id for one in shard} for shard in shards]
    assert len(set().union(*recipients)) == sum(map(len, recipients))
    for shard in shards:
        assert keys(shard) == [key for key in whole if key in set(keys(shard))]


@pytest.mark.parametrize("length", [11 * HOUR, 52 * HOUR], ids=["by clock", "by recipient"])
def test_it_goes_on_behind_every_cursor(world, length):
    """In the longer window also between the doses of one schedule."""
    window = CHANGES[0] - length / 2, CHANGES[0] + length / 2
    whole = list(world.feed.due(*window))
    assert keys(whole) == world.due(*window)
    assert (len({one.dose.schedule_id for one in whole}) < len(whole)) == (length > DAY)
    assert len({one.cursor for one in whole}) == len(whole) > 30
    for place in range(0, len(whole), 11):
        cursor = whole[place].cursor
        assert cursor.isascii()
        assert cursor.isprintable()
        assert list(world.feed.due(*window, after=cursor)) == whole[place + 1 :]


WORKER = """
import sys
from datetime import datetime, timedelta
from homethrive_db import DoseFeed, create_db
start, after = datetime.fromisoformat(sys.argv[2]), sys.argv[3] or None
for one in DoseFeed(create_db(sys.argv[1]), page_size=7).due(
    start, start + timedelta(days=1), after=after
):
    print(one.dose.schedule_id, one.dose.scheduled_for.isoformat(), one.cursor, flush=True)
"""


def test_a_worker_that_is_killed_goes_on_where_it_was(world):
    command = [sys.executable, "-c", WORKER, world.url, NOON.isoformat()]
    seen, after = [], ""
    for _ in range(3):
        worker = subprocess.Popen([*command, after], stdout=subprocess.PIPE, text=True)
        seen += [worker.stdout.readline().split() for _ in range(10)]
        worker.kill()
        worker.communicate()
        after = seen[-1][-1]
    rest = subprocess.run([*command, after], capture_output=True, text=True, check=True)
    seen += [line.split() for line in rest.stdout.splitlines()]
    found = [(UUID(schedule_id), datetime.fromisoformat(at)) for schedule_id, at, _ in seen]
    assert found == world.due(NOON, NOON + DAY)


@pytest.fixture
def feed(homethrive_db):
    return DoseFeed(homethrive_db)


def at_noon(factory, **values):
    """Make a schedule that is due at NOON."""
    schedule = {"timezone": "UTC", "time_of_day": NOON.time(), **values}
    return factory.schedule(factory.medication(), **schedule)


def schedule_ids(found):
    return [one.dose.schedule_id for one in found]


def missed(feed, **options):
    return list(feed.missed(NOON, NOON + DAY, grace=HOUR, **options))


def test_a_dose_goes_with_everything_that_is_known_of_it(homethrive_factory, feed):
    schedule = at_noon(homethrive_factory, dosage_notes="two")
    (found,) = feed.due(NOON, NOON + MINUTE)
    dose = found.dose
    assert (dose.schedule_id, dose.scheduled_for) == (schedule.id, NOON)
    assert (dose.zone, dose.local_date, dose.local_time) == ("UTC", NOON.date(), NOON.time())
    assert dose.dosage_notes == "two"
    assert dose.medication_name


def test_a_short_window_goes_by_zone_and_local_time_and_schedules_without_a_zone_come_last(
    homethrive_factory, feed
):
    medication = homethrive_factory.medication(homethrive_factory.own_profile(timezone="UTC"))

    def make(hour, zone):
        return homethrive_factory.schedule(medication, time_of_day=time(hour), timezone=zone).id

    last, second, first, third = (
        make(12, None), make(18, "Europe/Rome"), make(23, "Asia/Tokyo"), make(19, "Europe/Rome"),
    )  # fmt: skip
    assert schedule_ids(feed.due(NOON, NOON + 11 * HOUR)) == [first, second, third, last]


def test_a_long_window_goes_by_recipient(homethrive_factory, feed):
    profiles = [homethrive_factory.own_profile() for _ in range(3)]
    made = [
        (profile.id, homethrive_factory.schedule(homethrive_factory.medication(profile)).id)
        for profile in profiles * 3
    ]
    in_order = [schedule_id for _, schedule_id in sorted(made)]
    assert schedule_ids(feed.due(NOON, NOON + DAY)) == in_order
    assert schedule_ids(feed.due(NOON, NOON + 3 * DAY))[::3] == in_order


def test_a_dose_that_is_taken_or_skipped_is_neither_due_nor_missed(
    homethrive_repositories, homethrive_factory, feed
):
    taken, skipped = (at_noon(homethrive_factory) for _ in range(2))
    homethrive_factory.dose_taken(taken, scheduled_for=NOON)
    (found,) = feed.due(NOON, NOON + MINUTE)
    owner = homethrive_factory.user_of(skipped.medication_id)
    homethrive_repositories.doses.skip(owner, found.dose.dose_id)
    assert list(feed.due(NOON, NOON + MINUTE)) == []
    assert missed(feed) == []


def test_a_date_that_has_a_taken_row_at_another_time_is_not_missed(homethrive_factory, feed):
    """The schedule has been moved since."""
    moved, other = (at_noon(homethrive_factory) for _ in range(2))
    homethrive_factory.dose_taken(moved, scheduled_for=NOON - 2 * HOUR)
    homethrive_factory.dose_taken(other, scheduled_for=NOON - DAY)
    assert schedule_ids(missed(feed)) == [other.id]


def test_without_a_zone_a_row_of_the_other_service_counts(homethrive_factory, feed):
    """At the New York instant of the local date, hours away from ours."""
    medication = homethrive_factory.medication(homethrive_factory.own_profile(timezone="UTC"))
    schedule = homethrive_factory.schedule(medication, time_of_day=NOON.time())
    homethrive_factory.dose_taken(schedule, scheduled_for=NOON + 4 * HOUR)
    assert missed(feed) == []
    assert schedule_ids(feed.due(NOON + DAY, NOON + DAY + MINUTE)) == [schedule.id]


def test_nothing_is_due_after_the_medication_became_inactive(
    homethrive_repositories, homethrive_factory, feed
):
    schedule = at_noon(homethrive_factory)
    owner = homethrive_factory.user_of(schedule.medication_id)
    homethrive_repositories.medications.set_inactive(owner, schedule.medication_id, NOON)
    assert schedule_ids(feed.due(NOON, NOON + 3 * DAY)) == [schedule.id]
    assert list(feed.due(NOON + MINUTE, NOON + 3 * DAY)) == []


def test_nothing_is_missed_before_its_time(homethrive_factory, feed):
    now = datetime.now(UTC)
    due = [(now - HOUR + by).replace(second=0, microsecond=0) for by in (-5 * MINUTE, 5 * MINUTE)]
    schedules = [at_noon(homethrive_factory, time_of_day=one.time()) for one in due]
    found = feed.missed(now - 2 * HOUR, now + 2 * HOUR, grace=HOUR)
    assert schedule_ids(found) == [schedules[0].id]
    assert list(feed.missed(now + HOUR, now + 2 * HOUR, grace=HOUR)) == []


def test_windows_that_follow_each_other_find_each_missed_dose_once(world):
    since, until = CHANGES[1] - DAY, CHANGES[1] + DAY
    edges = [since + number * 7 * HOUR for number in range(7)] + [until]
    found = [
        key
        for first, last in pairwise(edges)
        for key in keys(world.feed.missed(first, last, grace=HOUR))
    ]
    assert sorted(found) == sorted(world.due(since - HOUR, until - HOUR))


def test_a_cursor_holds_whatever_becomes_of_its_schedule(
    homethrive_repositories, homethrive_factory, feed
):
    made = sorted((at_noon(homethrive_factory) for _ in range(3)), key=lambda one: one.id)
    first, *rest = feed.due(NOON, NOON + MINUTE)
    owner = homethrive_factory.user_of(made[0].medication_id)
    homethrive_repositories.schedules.update(owner, made[0].id, time_of_day=time(9))
    assert list(feed.due(NOON, NOON + MINUTE, after=first.cursor)) == rest
    assert schedule_ids(rest) == [one.id for one in made[1:]]


def contacts_of(feed):
    (found,) = feed.due(NOON, NOON + MINUTE)
    return found.contacts


def test_the_recipient_and_the_approved_caregivers_are_to_be_told(
    homethrive_repositories, homethrive_factory, feed
):
    owner = homethrive_factory.user(display_name="Signed up as")
    profile = homethrive_factory.own_profile(owner, display_name="Ana")
    homethrive_factory.schedule(
        homethrive_factory.medication(profile), time_of_day=NOON.time(), timezone="UTC"
    )
    second, first = homethrive_factory.user(), homethrive_factory.user(display_name=None)
    for user, status in (
        (first, "approved"),
        (homethrive_factory.user(), "pending_request"),
        (homethrive_factory.user(), "revoked"),
        (second, "approved"),
    ):
        homethrive_factory.caregiver_access(user, owner, status=status)
    homethrive_factory.own_profile(second, display_name="Ben")
    assert contacts_of(feed) == (
        Contact(owner.clerk_user_id, ContactRole.RECIPIENT, "Ana", owner.email),
        Contact(first.clerk_user_id, ContactRole.CAREGIVER, None, first.email),
        Contact(second.clerk_user_id, ContactRole.CAREGIVER, "Ben", second.email),
    )


def test_where_the_recipient_does_not_sign_in_the_creator_is_to_be_told(homethrive_factory, feed):
    creator = homethrive_factory.user()
    recipient = homethrive_factory.care_recipient(creator, display_name="Carl")
    homethrive_factory.caregiver_access(homethrive_factory.user(), creator, status="approved")
    homethrive_factory.schedule(
        homethrive_factory.medication(recipient), time_of_day=NOON.time(), timezone="UTC"
    )
    (found,) = feed.due(NOON, NOON + MINUTE)
    assert found.recipient_display_name == "Carl"
    assert found.contacts == (
        Contact(creator.clerk_user_id, ContactRole.CREATOR, creator.display_name, creator.email),
    )


def test_nobody_is_to_be_told_where_nobody_is_known(homethrive_db, homethrive_factory, feed):
    at_noon(homethrive_factory)
    homethrive_db.execute_sql(
        "UPDATE care_recipients SET user_id = NULL, created_by_user_id = NULL"
    )
    assert contacts_of(feed) == ()


def test_a_recipient_deleted_after_the_page_was_read_has_no_doses(
    homethrive_db, homethrive_factory, feed, monkeypatch
):
    gone, stays = at_noon(homethrive_factory), at_noon(homethrive_factory)
    find_recipients = feed_recipients._find_recipients

    def find_after_a_deletion(db, recipient_ids):
        db.execute_own(
            "DELETE FROM care_recipients USING medications"
            " WHERE care_recipients.id = recipient_id AND medications.id = %s",
            (gone.medication_id,),
        )
        return find_recipients(db, recipient_ids)

    monkeypatch.setattr(feed_recipients, "_find_recipients", find_after_a_deletion)
    assert schedule_ids(feed.due(NOON, NOON + MINUTE)) == [stays.id]


def test_what_cannot_be_is_reported_once_and_the_others_go_on(
    homethrive_db, homethrive_factory, feed, caplog
):
    """Also where the window is far from any time or date that it is set for."""
    sound = at_noon(homethrive_factory)
    broken = [at_noon(homethrive_factory) for _ in range(4)]
    away, dayless, ended, homeless = (str(one.id) for one in broken)
    for sql in (
        f"UPDATE medication_schedules SET timezone = 'Mars/Phobos', time_of_day = '01:00'"
        f" WHERE id = '{away}'",
        f"UPDATE medication_schedules SET recurrence = 'weekly', days_of_week = '{{}}'"
        f" WHERE id = '{dayless}'",
        f"UPDATE medication_schedules SET start_date = '2031-01-01', end_date = '2021-01-01'"
        f" WHERE id = '{ended}'",
        f"UPDATE medication_schedules SET timezone = NULL, time_of_day = '02:00'"
        f" WHERE id = '{homeless}'",
        f"UPDATE care_recipients SET timezone = 'nowhere' WHERE id = (SELECT recipient_id FROM"
        f" medications WHERE id = '{broken[3].medication_id}')",
    ):
        homethrive_db.execute_sql(sql)
    with caplog.at_level(logging.WARNING):
        for length in (MINUTE, MINUTE, DAY):
            assert schedule_ids(feed.due(NOON, NOON + length)) == [sound.id]
    reported = [record.args[0] for record in caplog.records]
    assert sorted(map(str, reported)) == sorted([away, dayless, ended, homeless])


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("start", {"start": NOON + MINUTE, "end": NOON}),
        ("start", {"start": NOON.replace(tzinfo=None)}),
        ("shard", {"shard": (2, 2)}),
        ("shard", {"shard": (-1, 2)}),
        ("shard", {"shard": (0, 0)}),
        ("shard", {"shard": 1}),
        ("shard", {"shard": ("0", "2")}),
        ("shard", {"shard": (True, 2)}),
        ("shard", {"shard": (0, 2.0)}),
        ("after", {"after": ""}),
        ("after", {"after": "x/y/z/08:00/0/UTC"}),
        ("after", {"after": 7}),
    ],
)
def test_bad_input_is_refused_before_a_connection_is_used(field, options):
    feed = DoseFeed(create_db("postgresql://localhost:1/nothing"))
    with pytest.raises(ValidationError) as caught:
        feed.due(**{"start": NOON, "end": NOON + DAY, **options})
    assert caught.value.details == {"field": field}


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("since", {"since": NOON + DAY}),
        ("grace", {"grace": -MINUTE}),
        ("grace", {"grace": 60}),
        ("grace", {"grace": timedelta.max}),
        ("shard", {"shard": (1, 1)}),
        ("after", {"after": "elsewhere"}),
    ],
)
def test_bad_input_for_missed_doses_is_refused_too(field, options):
    feed = DoseFeed(create_db("postgresql://localhost:1/nothing"))
    with pytest.raises(ValidationError) as caught:
        feed.missed(**{"since": NOON, "until": NOON + MINUTE, "grace": HOUR, **options})
    assert caught.value.details == {"field": field}


@pytest.mark.parametrize("page_size", [0, -1, None, 1.5, 2**31])
def test_a_page_holds_something(homethrive_db, page_size):
    with pytest.raises(ValidationError):
        DoseFeed(homethrive_db, page_size=page_size)


@pytest.mark.parametrize(
    "other",
    [
        lambda feed, cursor: feed.due(NOON, NOON + 2 * MINUTE, after=cursor),
        lambda feed, cursor: feed.due(NOON, NOON + MINUTE, shard=(0, 2), after=cursor),
        lambda feed, cursor: feed.missed(NOON, NOON + MINUTE, grace=0 * HOUR, after=cursor),
    ],
    ids=["window", "shard", "feed"],
)
def test_a_cursor_of_another_feed_is_refused(homethrive_factory, feed, other):
    """It would pass over doses that are not given yet."""
    at_noon(homethrive_factory)
    (found,) = feed.due(NOON, NOON + MINUTE)
    with pytest.raises(ValidationError, match="same feed, window and shard"):
        other(feed, found.cursor)


@pytest.mark.parametrize("length", [MINUTE, DAY], ids=["by clock", "by recipient"])
def test_a_cursor_that_was_not_stored_as_it_was_is_refused(homethrive_factory, feed, length):
    """One line end more, and a zone's doses would be passed over."""
    at_noon(homethrive_factory, timezone="Europe/London")
    cursor = next(feed.due(NOON - HOUR, NOON - HOUR + length)).cursor
    longer = [cursor + end for end in ("\n", "\r\n", " ", "/", "x")]
    shorter = [cursor[:length] for length in range(len(cursor))]
    other = [cursor.replace(*one) for one in (("London", "Berlin"), ("11:00", "11:01"))]
    for text in (*longer, *shorter, *other, f" {cursor}", cursor.upper()):
        if text != cursor:
            with pytest.raises(ValidationError) as caught:
                feed.due(NOON - HOUR, NOON - HOUR + length, after=text)
            assert caught.value.details == {"field": "after"}


@pytest.mark.parametrize("taken_at", ["20250-06-03", "infinity", "0044-03-15 BC"])
def test_a_mistyped_record_hides_none_of_the_next_doses(
    homethrive_db, homethrive_factory, feed, taken_at
):
    schedule = at_noon(homethrive_factory)
    homethrive_factory.dose_taken(schedule, scheduled_for=NOON)
    homethrive_db.execute_sql("UPDATE dose_taken SET taken_at = %s", (taken_at,))
    (found,) = feed.due(NOON, NOON + DAY + MINUTE)
    assert (found.dose.schedule_id, found.dose.scheduled_for) == (schedule.id, NOON + DAY)


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_dates_in_another_style_are_an_error_and_not_nothing_due(
    homethrive_db, homethrive_factory, feed, style
):
    """Where somebody has changed the session's."""
    schedule = at_noon(homethrive_factory)
    with homethrive_db.atomic():
        homethrive_db.execute_sql(f"SET LOCAL DateStyle = '{style}'")
        with pytest.raises(ConfigurationError, match="DateStyle"):
            list(feed.due(NOON, NOON + MINUTE))
        homethrive_db.execute_sql("SET LOCAL DateStyle = 'ISO, DMY'")
        assert schedule_ids(feed.due(NOON, NOON + MINUTE)) == [schedule.id]


class Cursor(psycopg2.extensions.cursor):
    """Keeps what it sends."""

    sent = []

    def execute(self, query, values=None):
        self.sent.append(self.mogrify(query, values))
        return super().execute(query, values)


@pytest.fixture(scope="module")
def crowd(homethrive_databases):
    """Give the URL of a database with 20,000 schedules in 50 zones."""
    with homethrive_databases.clone() as url:
        connection = psycopg2.connect(url)
        fill(connection, 20_000)
        connection.close()
        yield url


@pytest.fixture
def watched(crowd):
    """Give what makes databases whose statements are kept."""
    made = []

    def make(**options):
        made.append(create_db(crowd, cursor_factory=Cursor, **options))
        Cursor.sent.clear()
        return made[-1]

    yield make
    for db in made:
        db.close_all()


def test_a_page_is_two_statements_and_no_more(watched):
    """One for the schedules, one for the recipients that are not known yet; no transaction."""
    db = watched()
    found = sum(1 for _ in DoseFeed(db, page_size=500).due(NOON, NOON + 15 * MINUTE))
    spans = 50
    assert found > 200
    assert len(Cursor.sent) <= 2 + spans + 2 * (found // 500 + 1)
    assert {one.split()[0] for one in Cursor.sent} <= {b"SELECT", b"WITH"}
    assert db.stats().in_use == 0


def test_no_connection_is_held_between_pages(watched):
    db = watched()
    for length in (HOUR, DAY):
        doses = DoseFeed(db, page_size=10).due(NOON, NOON + length)
        for _ in range(25):
            next(doses)
            assert db.stats().in_use == 0
        doses.close()


def test_behind_a_proxy_every_statement_is_short(watched, crowd):
    """With as many zones as there are, in pages of many."""
    connection = psycopg2.connect(crowd)
    zones = sorted(available_timezones() - {"localtime", "Factory"})
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE care_recipients SET timezone = (%s::text[])[1 + floor(random() * %s)::int]",
            (zones, len(zones)),
        )
    connection.close()
    direct = keys(DoseFeed(watched()).due(NOON, NOON + 5 * HOUR))
    behind = keys(
        DoseFeed(watched(proxy=True, sslmode="disable"), page_size=2_000).due(NOON, NOON + 5 * HOUR)
    )
    assert behind == direct
    assert len(direct) > 1_000
    assert max(map(len, Cursor.sent)) <= 16_000


@pytest.mark.parametrize("length", [11 * HOUR, DAY], ids=["by clock", "by recipient"])
def test_memory_is_that_of_a_page(crowd, monkeypatch, length):
    """What is kept for all feeds has bounds of its own."""
    monkeypatch.setattr(feed_followers, "PLACES_AT_ONCE", 500)
    monkeypatch.setattr(feed_recipients, "KEPT", 500)
    monkeypatch.setattr(value_types, "_KEPT_IDS", 500)
    for module, name in (
        (agenda, "_pattern"),
        (recurrence, "_kept_dues"),
        (recurrence, "_kept_daily"),
        (recurrence, "_offset_of"),
    ):
        monkeypatch.setattr(module, name, lru_cache(500)(getattr(module, name).__wrapped__))
    db = create_db(crowd)
    feed = DoseFeed(db, page_size=100)
    list(islice(feed.due(NOON, NOON + length), 500))  # compiles, and fills what is kept
    tracemalloc.start()
    found = sum(1 for _ in feed.due(NOON, NOON + length))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    db.close_all()
    assert found > 5_000
    assert peak < 2_500_000  # zones included, of which the households of another test have 600


@pytest.mark.parametrize("length", [11 * HOUR, DAY], ids=["by clock", "by recipient"])
def test_recipients_are_read_once_and_kept_where_they_come_again(crowd, monkeypatch, length):
    asked = []

    def ask(db, recipient_ids):
        asked.append(list(recipient_ids))
        return find_recipients(db, recipient_ids)

    find_recipients = feed_recipients._find_recipients
    monkeypatch.setattr(feed_recipients, "_find_recipients", ask)
    db = create_db(crowd)
    for _ in DoseFeed(db, page_size=90).due(NOON, NOON + length):
        pass
    db.close_all()
    ids = [one for some in asked for one in some]
    again = len(ids) - len(set(ids))
    if length == DAY:  # the last of a page may be the first of the next
        assert 0 < again < len(asked)
    else:
        assert again == 0


def test_what_is_kept_of_a_recipient_is_a_minute_old_at_most(
    homethrive_db, homethrive_factory, monkeypatch
):
    recipient = homethrive_factory.care_recipient(timezone="Asia/Tokyo")
    recent = feed_recipients.RecentRecipients(homethrive_db, kept=True)

    def zone():
        return recent.of([recipient.id])[recipient.id.int].zone

    assert zone() == "Asia/Tokyo"
    homethrive_db.execute_sql("UPDATE care_recipients SET timezone = 'Asia/Dubai'")
    assert zone() == "Asia/Tokyo"
    monkeypatch.setattr(feed_recipients, "KEPT_SECONDS", -1)
    assert zone() == "Asia/Dubai"


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


SHARDS = pytest.mark.parametrize("options", [{}, {"shard": (0, 2)}], ids=["all", "shard"])


def plans_of_pages(db, length, options):
    """Explain the first pages of a feed."""
    page_size = 200
    Cursor.sent.clear()
    doses = DoseFeed(db, page_size=page_size).due(NOON, NOON + length, **options)
    list(islice(doses, 2 * page_size))
    pages = [one for one in Cursor.sent if b"LIMIT 200" in one]
    for page in pages[:2]:
        cursor = db.execute_sql(f"EXPLAIN (FORMAT JSON) {page.decode()}")
        yield list(nodes(cursor.fetchone()[0][0]["Plan"]))


def test_a_page_by_clock_has_a_limit_of_its_own(watched):
    """Beyond it PostgreSQL takes parallel workers, which take longer to start than the page."""
    list(DoseFeed(watched(), page_size=5_000).due(NOON, NOON + 15 * MINUTE))
    limits = {int(one.partition(b"LIMIT ")[2]) for one in Cursor.sent if b"LIMIT" in one}
    assert limits == {1_000, 20_000}


@SHARDS
@pytest.mark.parametrize("left", [20_000, 1_200], ids=["first", "last"])
def test_a_page_by_clock_reads_the_index_in_its_order(watched, options, left):
    """No sort and no other schedules: what it costs is the page, however many the zone has."""
    db = watched()
    with db.atomic() as block:
        db.execute_sql("UPDATE medication_schedules SET timezone = 'UTC'")
        db.execute_sql("ANALYZE medication_schedules")
        doses = list(DoseFeed(db).due(NOON, NOON + 11 * HOUR, **options))
        after = None if left > len(doses) else doses[-left].cursor
        for plan in plans_of_pages(db, 11 * HOUR, {**options, "after": after}):
            assert "Sort" not in {one["Node Type"] for one in plan}
            (read,) = [one for one in plan if one.get("Relation Name") == "medication_schedules"]
            assert read["Index Name"] == "medication_schedules_timezone_time_of_day_id_idx"
        block.rollback()


@SHARDS
@pytest.mark.parametrize("left", [20_000, 2_000], ids=["first", "last"])
def test_a_page_by_recipient_reads_their_index_in_its_order(watched, options, left):
    """Sorted are the schedules of one recipient at a time, and no table is read as a whole."""
    db = watched()
    doses = list(DoseFeed(db).due(NOON, NOON + DAY, **options))
    after = None if left > len(doses) else doses[-left].cursor
    with db.connection_context():
        for plan in plans_of_pages(db, DAY, {**options, "after": after}):
            assert "Sort" not in {one["Node Type"] for one in plan}
            (sort,) = [one for one in plan if one["Node Type"] == "Incremental Sort"]
            assert len(sort["Presorted Key"]) == 1
            read = {one["Relation Name"]: one for one in plan if "Relation Name" in one}
            assert "recipient_id >= " in read["medications"]["Index Cond"]
            assert "medication_id = " in read["medication_schedules"]["Index Cond"]
