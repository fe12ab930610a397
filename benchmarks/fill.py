"""Fills a database by COPY with the same households every time."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import click
import psycopg2
from peewee import IntegrityError

from benchmarks.folder import server_folder
from homethrive_db import Database, HomethriveDbError, create_db
from homethrive_db.migrate import migrate

SCALES = {"tiny": 3_000, "small": 300_000, "medium": 3_000_000, "large": 30_000_000}
"""How many doses are taken."""

DOSES_A_SCHEDULE = 75
SCHEDULES_A_RECIPIENT = 4
MEDICATIONS_A_RECIPIENT = 3

_PENDING_STATES = ("pending_request", "pending_invite")

_LINES = 10_000
"""So many are copied at once: what psycopg2 reads by itself, no interrupt breaks off."""

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_RECIPIENT, _MEDICATION, _SCHEDULE, _ACCESS, _PENDING = range(1, 6)


@dataclass(frozen=True)
class Households:
    """Who is in a database of so many doses; everybody has an own profile, cared for by one."""

    doses: int

    @property
    def recipients(self) -> int:
        """Count the recipients; each has a user, and every second one is a caregiver of three."""
        return max(30, self.doses // (DOSES_A_SCHEDULE * SCHEDULES_A_RECIPIENT))

    def user(self, number: int) -> str:
        """Name a user; numbers go round."""
        return f"user_{number % self.recipients:08}"

    def email(self, number: int) -> str:
        """Give a user's address."""
        return f"{self.user(number)}@example.org"

    def recipient(self, number: int) -> UUID:
        """Give the id of a user's profile."""
        return _id(_RECIPIENT, number % self.recipients)

    def caregiver(self, number: int) -> str:
        """Name the user who may reach a recipient by an approved access."""
        return self.user((number % self.recipients) // 3 * 2)

    def medication(self, number: int) -> UUID:
        """Give the id of a recipient's first medication."""
        return _id(_MEDICATION, number % self.recipients * MEDICATIONS_A_RECIPIENT)

    def schedule(self, number: int) -> UUID:
        """Give the id of the schedule of a recipient's first medication."""
        return _id(_SCHEDULE, number % self.recipients * SCHEDULES_A_RECIPIENT)

    def schedules(self, number: int) -> list[UUID]:
        """Give the ids of all schedules of a recipient."""
        first = number % self.recipients * SCHEDULES_A_RECIPIENT
        return [_id(_SCHEDULE, first + one) for one in range(SCHEDULES_A_RECIPIENT)]

    def access(self, number: int) -> UUID:
        """Give the id of the access to a recipient."""
        return _id(_ACCESS, number % self.recipients)

    def stranger(self, number: int) -> str:
        """Name the user who has asked to care for a recipient, or was asked to."""
        return self.user(2 * number + 3)

    def pending(self, number: int) -> UUID:
        """Give the id of that access: a request for an even number, else an invitation."""
        return _id(_PENDING, number % self.recipients)

    def taken(self, day: int) -> datetime:
        """Tell when a dose of that day was due."""
        return _EPOCH + timedelta(days=day)


@contextmanager
def filled(
    scale: str, url: str | None = None, *, quiet: bool = True, prepared: bool = False
) -> Iterator[tuple[Database, Households]]:
    """Fill the empty database of a URL, or one of a server that is started for the block.

    Raises ClickException where there is none, and where it is not empty.
    """
    with server_folder() as folder:
        db = _migrated(url or f"embedded://{folder}/data", prepared=prepared)
        try:
            _refuse_rows(db)
            connection = psycopg2.connect(**db.connect_params)
            households = fill(connection, SCALES[scale], quiet=quiet)
            connection.close()
            read_whole(db, quiet=quiet)
            yield db, households
        finally:
            db.close_all()


def _migrated(url: str, *, prepared: bool) -> Database:
    try:
        db = create_db(url, prepared=prepared)
        list(migrate(db))
    except HomethriveDbError as error:
        raise click.ClickException(error.message) from error
    return db


def _refuse_rows(db: Database) -> None:
    with db.connection_context():
        if db.execute_sql("SELECT FROM users LIMIT 1").fetchall():
            raise click.ClickException("the database is not empty: give another, or a new one")


def url_of(db: Database) -> str:
    """Write where a database is, for another process or another library."""
    with db.connection_context():
        info = db.connection().info
    where = urlencode({"host": info.host, "port": info.port})
    return f"postgresql://{quote(info.user)}:{quote(info.password or '')}@/{info.dbname}?{where}"


def fill(connection: Any, scale: int, *, quiet: bool = False) -> Households:
    """Fill the migrated, empty database of a psycopg2 connection; gives who is in it."""
    households = Households(scale)
    total = households.recipients * SCHEDULES_A_RECIPIENT * DOSES_A_SCHEDULE
    with connection, connection.cursor() as cursor, _indexed_afterwards(cursor, quiet=quiet):
        # What is loaded is sound: triggers would look up four foreign keys a row.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, columns, lines in _tables(households):
            length = total if table == "dose_taken" else households.recipients
            with _progress(table, quiet, length=length) as bar:
                while portion := list(islice(lines, _LINES)):
                    text = io.StringIO("".join(portion))
                    cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN", text)
                    bar.update(len(portion))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return households


def read_whole(db: Database, *, quiet: bool = False) -> None:
    """Read all tables and indexes, by the connection that this thread will have again.

    VACUUM reads the indexes only where there is a dead row: a refused insert leaves one.
    """
    with db.connection_context(), _progress("reading it whole", quiet, db.get_tables()) as bar:
        for table in bar:
            with suppress(IntegrityError):
                db.execute_sql(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")  # noqa: S608
            db.execute_sql(f"VACUUM ({_WHOLE}) {table}")


# Without BUFFER_USAGE_LIMIT 0 it keeps but 2 MB of what it reads.
_WHOLE = "DISABLE_PAGE_SKIPPING, INDEX_CLEANUP ON, PARALLEL 0, BUFFER_USAGE_LIMIT 0"


def _progress(label: str, quiet: bool, steps: Any = None, length: int | None = None) -> Any:
    hidden = io.StringIO() if quiet else None
    return click.progressbar(steps, length, label=f"{label:20}", file=hidden)


@contextmanager
def _indexed_afterwards(cursor: Any, *, quiet: bool) -> Iterator[None]:
    """Build the indexes of the largest table when it is full: a third of the time."""
    cursor.execute(_INDEXES)
    indexes = cursor.fetchall()
    for drop, _ in indexes:
        cursor.execute(drop)
    yield
    cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
    with _progress("its indexes", quiet, indexes) as bar:
        for _, create in bar:
            cursor.execute(create)


# Those of constraints stand first.
_INDEXES = """
    SELECT format('ALTER TABLE dose_taken DROP CONSTRAINT %I', conname),
        format('ALTER TABLE dose_taken ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = 'dose_taken'::regclass AND contype IN ('p', 'u')
    UNION ALL SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index WHERE indrelid = 'dose_taken'::regclass
    AND indexrelid NOT IN (SELECT conindid FROM pg_constraint WHERE contype IN ('p', 'u'))
"""


def _tables(households: Households) -> Iterable[tuple[str, str, Iterator[str]]]:
    count = range(households.recipients)
    created = _EPOCH.isoformat()
    yield (
        "users",
        "clerk_user_id, email, display_name, timezone, is_recipient, is_caregiver, created_at",
        (
            f"{households.user(n)}\t{households.email(n).title()}\tPerson {n}\tUTC\tt\t"
            f"{'ft'[n % 2]}\t{created}\n"
            for n in count
        ),
    )
    yield (
        "care_recipients",
        "id, created_by_user_id, user_id, display_name, timezone, created_at",
        (
            f"{households.recipient(n)}\t{households.user(n)}\t{households.user(n)}\tPerson {n}\t"
            f"America/New_York\t{created}\n"
            for n in count
        ),
    )
    yield (
        "caregiver_access",
        "id, caregiver_user_id, recipient_user_id, status, approved_at, created_at",
        (
            f"{households.access(n)}\t{households.caregiver(n)}\t{households.user(n)}\tapproved\t"
            f"{created}\t{created}\n"
            for n in count
        ),
    )
    yield (
        "caregiver_access",
        "id, caregiver_user_id, recipient_user_id, status, created_at",
        (
            f"{households.pending(n)}\t{households.stranger(n)}\t{households.user(n)}\t"
            f"{_PENDING_STATES[n % 2]}\t{created}\n"
            for n in count
        ),
    )
    yield (
        "medications",
        "id, recipient_id, name, instructions, created_by_user_id, created_at",
        (
            f"{_id(_MEDICATION, n * MEDICATIONS_A_RECIPIENT + m)}\t{households.recipient(n)}\t"
            f"Ibuprofen {m}00 mg\tWith a glass of water\t{households.user(n)}\t{created}\n"
            for n in count
            for m in range(MEDICATIONS_A_RECIPIENT)
        ),
    )
    yield (
        "medication_schedules",
        "id, medication_id, recurrence, time_of_day, start_date, created_by_user_id, created_at",
        (
            f"{_id(_SCHEDULE, n * SCHEDULES_A_RECIPIENT + s)}\t"
            f"{_id(_MEDICATION, n * MEDICATIONS_A_RECIPIENT + s % MEDICATIONS_A_RECIPIENT)}\t"
            f"daily\t{7 + s:02}:00\t2025-01-01\t{households.user(n)}\t{created}\n"
            for n in count
            for s in range(SCHEDULES_A_RECIPIENT)
        ),
    )
    yield (
        "dose_taken",
        "id, recipient_id, medication_id, schedule_id, scheduled_for, taken_at, taken_by_user_id",
        _doses(households),
    )


def _doses(households: Households) -> Iterator[str]:
    """Give the doses in the order of their days, as workers record them."""
    schedules = [
        (
            f"{households.recipient(n)}\t"
            f"{_id(_MEDICATION, n * MEDICATIONS_A_RECIPIENT + s % MEDICATIONS_A_RECIPIENT)}\t"
            f"{_id(_SCHEDULE, n * SCHEDULES_A_RECIPIENT + s)}",
            households.user(n),
        )
        for n in range(households.recipients)
        for s in range(SCHEDULES_A_RECIPIENT)
    ]
    number = 0
    for day in range(DOSES_A_SCHEDULE):
        due = households.taken(day)
        instants = f"{due.isoformat()}\t{(due + timedelta(minutes=7)).isoformat()}"
        for ids, user in schedules:
            number += 1
            digits = f"{_scattered(number):016x}"
            yield f"{digits[:12]}4{digits[13:]}80{number:014x}\t{ids}\t{instants}\t{user}\n"


def _id(kind: int, number: int) -> UUID:
    """Make an id; scattered as random ones are."""
    return UUID(int=_scattered(number) << 64 | kind << 56 | number, version=4)


def _scattered(number: int) -> int:
    return (number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
