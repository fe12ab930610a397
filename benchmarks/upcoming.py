"""What ``doses.list_upcoming`` costs beside its bare statement, and beside three statements.

    python -m benchmarks.upcoming

All on one connection, by turns, over a socket: 10 schedules, 7 days, every second dose taken.
"""

from __future__ import annotations

import gc
import statistics
import time as clocks
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click
import psycopg2

from benchmarks.awake import processors_awake
from benchmarks.by_hand import plain_cursor
from benchmarks.fill import SCALES, fill
from benchmarks.folder import server_folder
from homethrive_db import (
    Database,
    DoseOccurrence,
    DoseReport,
    DoseStatus,
    MedicationSchedule,
    NewMedication,
    NewSchedule,
    Recurrence,
    Repositories,
    create_db,
    models,
    occurrences,
)
from homethrive_db.doses import dose_statements
from homethrive_db.doses.agenda_rows import days_around, records_window
from homethrive_db.migrate import migrate
from homethrive_db.repositories.access import accessible_to, with_reached_recipient

START = datetime(2026, 3, 5, 15, 20, 11, 123456, tzinfo=UTC)
END = START + timedelta(days=7)
"""With a change of the clock of New York."""
SINCE = date(2025, 12, 1)
CLOCKS = [time(hour, 30) for hour in (6, 7, 8, 9, 12, 14, 17, 19, 21, 22)]
USER = "user_of_ten"
OURS = "doses.list_upcoming"

_REACHED = """
    (r.user_id = %(user_id)s OR r.created_by_user_id = %(user_id)s OR (
        SELECT true FROM caregiver_access WHERE caregiver_user_id = %(user_id)s
        AND status = 'approved' AND recipient_user_id = r.user_id LIMIT 1))
"""
# Nothing but the rule above is put into these: every value is bound.
_SCHEDULES = f"""
    SELECT s.id, m.id, r.id, m.name, m.instructions, s.dosage_notes, s.recurrence, s.time_of_day,
           s.days_of_week, s.timezone, r.timezone, s.start_date, s.end_date
    FROM medication_schedules s JOIN medications m ON m.id = s.medication_id
    JOIN care_recipients r ON r.id = m.recipient_id AND {_REACHED} IS TRUE
    WHERE m.recipient_id = %(recipient_id)s AND m.is_active
"""  # noqa: S608
_TAKEN = f"""
    SELECT t.schedule_id, t.scheduled_for, t.taken_at, t.taken_by_user_id FROM dose_taken t
    WHERE t.schedule_id = ANY(%(ids)s::uuid[])
    AND t.scheduled_for >= %(since)s AND t.scheduled_for < %(until)s
    AND (SELECT {_REACHED} FROM care_recipients r WHERE r.id = %(recipient_id)s)
"""  # noqa: S608
_SKIPPED = f"""
    SELECT k.schedule_id, k.scheduled_for, k.reason FROM dose_skips k
    WHERE k.schedule_id = ANY(%(ids)s::uuid[])
    AND k.scheduled_for >= %(since)s AND k.scheduled_for < %(until)s
    AND (SELECT {_REACHED} FROM care_recipients r WHERE r.id = %(recipient_id)s)
"""  # noqa: S608


class ThreeStatements:
    """Lists the same by psycopg2: schedules, doses taken and skips, put together in Python."""

    def __init__(self, db: Database, recipient_id: object) -> None:
        self._db = db
        self._cursor = plain_cursor(db.connection())
        self._recipient_id = recipient_id

    def __call__(self) -> list[DoseOccurrence]:
        """Answer one request."""
        rows = self.schedules()
        ids = [row[0] for row in rows]
        taken = {row[:2]: row[2:] for row in self.taken(ids)}
        skipped = {row[:2]: row[2] for row in self.skipped(ids)}
        found = [dose for row in rows for dose in _doses(row, taken, skipped)]
        return sorted(found, key=_order)

    def schedules(self) -> list[Any]:
        """Read schedules with their medications."""
        return self._rows(_SCHEDULES)

    def taken(self, ids: list[Any]) -> list[Any]:
        """Read the doses taken of schedules."""
        return self._rows(_TAKEN, ids=list(map(str, ids)), since=START, until=END)

    def skipped(self, ids: list[Any]) -> list[Any]:
        """Read the doses skipped of schedules."""
        return self._rows(_SKIPPED, ids=list(map(str, ids)), since=START, until=END)

    def _rows(self, sql: str, **values: object) -> list[Any]:
        self._cursor.execute(sql, {"user_id": USER, "recipient_id": self._recipient_id, **values})
        rows: list[Any] = self._cursor.fetchall()
        return rows


class ThreeQueries(ThreeStatements):
    """The same by Peewee as it is documented: queries are built for each request."""

    def schedules(self) -> list[Any]:
        """Read schedules with their medications."""
        s, m, r = models.MedicationSchedule, models.Medication, models.CareRecipient
        query = with_reached_recipient(
            s.select(
                s.id, m.id, r.id, m.name, m.instructions, s.dosage_notes, s.recurrence,
                s.time_of_day, s.days_of_week, s.timezone, r.timezone, s.start_date, s.end_date,
            ),
            USER,
        )  # fmt: skip
        return self._fetch(query.where(m.recipient == self._recipient_id, m.is_active))

    def taken(self, ids: list[Any]) -> list[Any]:
        """Read the doses taken of schedules."""
        table, r = models.DoseTaken, models.CareRecipient
        query = table.select(
            table.schedule, table.scheduled_for, table.taken_at, table.taken_by_user
        ).join(r, on=(r.id == table.recipient) & accessible_to(USER))
        return self._fetch(query.where(*_in_window(table, ids)))

    def skipped(self, ids: list[Any]) -> list[Any]:
        """Read the doses skipped of schedules."""
        table, s = models.DoseSkip, models.MedicationSchedule
        query = table.select(table.schedule, table.scheduled_for, table.reason).join(
            s, on=table.schedule == s.id
        )
        return self._fetch(with_reached_recipient(query, USER).where(*_in_window(table, ids)))

    def _fetch(self, query: Any) -> list[Any]:
        rows: list[Any] = self._db.execute(query).fetchall()
        return rows


def _in_window(table: Any, ids: list[Any]) -> tuple[Any, ...]:
    return (
        table.schedule.in_(ids),
        table.scheduled_for >= START,
        table.scheduled_for < END,
    )


def _doses(row: Any, taken: dict[Any, Any], skipped: dict[Any, Any]) -> list[DoseOccurrence]:
    *told, recurrence, clock, days, timezone, recipient_zone, start, end = row
    zone = ZoneInfo(timezone or recipient_zone)
    schedule = MedicationSchedule(
        told[0], told[1], Recurrence(recurrence), time.fromisoformat(clock), timezone,
        days and tuple(days), start, end, told[5], START, START,
    )  # fmt: skip
    shown = (*told, schedule.recurrence, schedule.time_of_day, schedule.days_of_week, zone.key)
    doses = []
    for due in occurrences(schedule, zone, START, END):
        local = due.astimezone(zone)
        fate: tuple[Any, ...] = (DoseStatus.SCHEDULED, None, None, None)
        if (told[0], due) in taken:
            fate = (DoseStatus.TAKEN, *taken[told[0], due], None)
        elif (told[0], due) in skipped:
            fate = (DoseStatus.SKIPPED, None, None, skipped[told[0], due])
        doses.append(DoseOccurrence(*shown, due, local.date(), local.time(), *fate))
    return doses


def _order(dose: DoseOccurrence) -> tuple[Any, ...]:
    return (dose.scheduled_for, dose.medication_name, dose.schedule_id)


def _household(db: Database) -> Any:
    """Make somebody with ten schedules, of whose doses every second one is taken."""
    calls = Repositories(db)
    calls.users.upsert(USER)
    profile = calls.care_recipients.find_or_create_own_profile(USER, "Ana")
    for number in range(0, len(CLOCKS), 2):
        calls.medications.create_with_schedules(
            USER,
            profile.id,
            NewMedication(f"Ibuprofen {number}00 mg", "With a glass of water"),
            [NewSchedule("daily", clock, SINCE) for clock in CLOCKS[number : number + 2]],
        )
    since = datetime.combine(SINCE, time(), UTC)
    due = calls.doses.list_upcoming(USER, profile.id, start=since, end=END)
    calls.doses_taken.mark_taken_many(
        DoseReport(USER, dose.schedule_id, dose.scheduled_for, dose.scheduled_for)
        for dose in due[::2]
    )
    calls.doses.skip(USER, due[-1].dose_id, reason="ill")
    return profile


def contenders(db: Database, recipient_id: object) -> dict[str, Callable[[], Any]]:
    """Give the ways to list the same, and what the bare statement gives."""
    doses, cursor = Repositories(db).doses, db.connection().cursor()
    sql = dose_statements.LIST.compiled()
    values = {
        "user_id": USER,
        "recipient_id": recipient_id,
        **days_around(START, END),
        **records_window(START, END),
    }

    def bare() -> list[Any]:
        cursor.execute(sql, values)
        rows: list[Any] = cursor.fetchall()
        return rows

    return {
        OURS: lambda: doses.list_upcoming(USER, recipient_id, start=START, end=END),
        "its statement by psycopg2": bare,
        "three statements by psycopg2": ThreeStatements(db, recipient_id),
        "three statements by Peewee": ThreeQueries(db, recipient_id),
    }


def measure(
    ways: dict[str, Callable[[], Any]], rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Time each way *repeats* times a round, by turns; gives each round's fastest, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):  # the first warms up
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(repeats):
            first = repeat % len(ways)
            for name, way in (list(ways.items()) * 2)[first : first + len(ways)]:
                gc.disable()
                began = clocks.perf_counter()
                way()
                taken[name].append(clocks.perf_counter() - began)
                gc.enable()
        if turn:
            for name, one in taken.items():
                times[name].append(min(one))  # what others on the machine take is not ours
    return times


@click.command()
@click.option("--rounds", type=click.IntRange(min=2), default=40, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--prepared", is_flag=True, help="Ours in direct mode.")
def main(rounds: int, repeats: int, prepared: bool) -> None:
    """Measure all, once they have given the same."""
    with server_folder() as folder:
        db = create_db(f"embedded://{folder}/data", prepared=prepared)
        list(migrate(db))
        filling = psycopg2.connect(**db.connect_params)
        fill(filling, SCALES["tiny"], quiet=True)
        filling.close()
        profile = _household(db)
        with db.connection_context(), processors_awake():
            db.execute_sql("ANALYZE")
            ways = contenders(db, profile.id)
            ours, _, *others = (way() for way in ways.values())
            if others != [ours, ours] or len(ours) != len(CLOCKS) * 7:
                raise RuntimeError("they do not give the same")
            times = measure(ways, rounds, repeats)
        db.close_all()
    first = times[OURS]
    for name, taken in times.items():
        low, ratio, high = statistics.quantiles(
            [a / b for a, b in zip(first, taken, strict=True)], n=4
        )
        spread = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
        click.echo(f"{name:32}{statistics.median(taken) * 1e6:8.0f} µs  {spread:>22}")


if __name__ == "__main__":
    main()
