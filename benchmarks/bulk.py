"""What writes of many rows cost beside other ways to make them, on one connection, by turns.

python -m benchmarks.bulk [--prepared]
"""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any
from uuid import uuid4

import click
from psycopg2.extras import RealDictCursor

from benchmarks.awake import processors_awake
from benchmarks.by_hand import (
    _FIND_PROFILE,
    _INSERT_SCHEDULES,
    _NEW_MEDICATION,
    _NEW_SCHEDULES,
    ByHand,
    _rows,
)
from benchmarks.calls import NEW, NOW, reports
from benchmarks.fill import Households, filled
from benchmarks.latency import ROUND_TRIP, SlowWay
from benchmarks.plain_peewee import PlainPeewee
from homethrive_db import Database, NewMedication, OutcomeStatus, Repositories

DOSES = 5_000
ASPIRIN = NewMedication("Aspirin")

# As ``BEGIN`` and ``COMMIT``, with as many messages, inside a transaction that is rolled back.
_BEGIN, _COMMIT = "SAVEPOINT one", "RELEASE SAVEPOINT one"

_PROFILE = "SELECT * FROM care_recipients WHERE id = %(recipient_id)s"
_ACCESS = """SELECT * FROM caregiver_access WHERE caregiver_user_id = %(user_id)s
    AND recipient_user_id = %(owner_id)s AND status = 'approved'"""
_ADD_MEDICATION = """INSERT INTO medications (recipient_id, name, created_by_user_id)
    VALUES (%(recipient_id)s, %(name)s, %(user_id)s) RETURNING *"""
_ADD_SCHEDULE = """INSERT INTO medication_schedules
    (medication_id, recurrence, time_of_day, start_date, created_by_user_id) VALUES
    (%(medication_id)s, %(recurrence)s, %(time_of_day)s, %(start_date)s, %(user_id)s) RETURNING *"""
_ADD_SCHEDULES = f"""{_INSERT_SCHEDULES} SELECT n.id, %(medication_id)s, n.recurrence,
    n.time_of_day, n.start_date, n.end_date, n.dosage_notes, %(user_id)s, now(), now()
    FROM {_NEW_SCHEDULES} RETURNING s.*"""


def by_turns(
    connection: Any, ways: Sequence[Callable[[int], object]], rounds: int
) -> list[list[float]]:
    """Time each way in each round, every one inside a transaction that is rolled back."""
    times: list[list[float]] = [[] for _ in ways]
    with connection.cursor() as cursor:
        for number in range(rounds + 1):  # the first warms up
            for place in range(len(ways)):
                way = (place + number) % len(ways)
                cursor.execute("BEGIN")
                began = time.perf_counter()
                ways[way](number)
                taken = time.perf_counter() - began
                cursor.execute("ROLLBACK")
                if number:
                    times[way].append(taken)
    return times


def five_statements(connection: Any, households: Households, number: int) -> None:
    """Create a medication with two schedules as services do, between BEGIN and COMMIT."""
    recipient_id, user_id = households.recipient(number), households.caregiver(number)
    values = {"recipient_id": recipient_id, "user_id": user_id}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_PROFILE, values)
        profile = cursor.fetchone()
        cursor.execute(_ACCESS, {**values, "owner_id": profile["user_id"]})
        if not cursor.fetchone() and user_id not in (
            profile["user_id"],
            profile["created_by_user_id"],
        ):
            raise RuntimeError("the recipient is not reached")
        cursor.execute(_ADD_MEDICATION, {**values, "name": "Aspirin"})
        medication = cursor.fetchone()
        for one in NEW:
            schedule = {
                "medication_id": medication["id"],
                "recurrence": one.recurrence,
                "time_of_day": f"{one.time_of_day:%H:%M}",
                "start_date": one.start_date,
                "user_id": user_id,
            }
            cursor.execute(_ADD_SCHEDULE, schedule)
            cursor.fetchone()
        cursor.execute(_COMMIT)


def three_statements(connection: Any, households: Households, number: int) -> None:
    """Create them with the fewest statements there can be between BEGIN and COMMIT, three."""
    user_id, recipient_id = households.caregiver(number), households.recipient(number)
    values = {"user_id": user_id, "recipient_id": recipient_id}
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_FIND_PROFILE, values)
        cursor.fetchone()
        cursor.execute(_NEW_MEDICATION, {**values, "name": "Aspirin", "instructions": None})
        (medication_id, *_) = cursor.fetchone()
        rows = _rows([uuid4() for _ in NEW], NEW, [medication_id] * len(NEW))
        schedules = {"user_id": user_id, "medication_id": medication_id, "schedules": rows}
        cursor.execute(_ADD_SCHEDULES, schedules)
        cursor.fetchall()
        cursor.execute(_COMMIT)


def compare_creations(db: Database, households: Households, rounds: int) -> dict[str, float]:
    """Give how often ``create_with_schedules`` fits into other transactions that do the same."""
    with db.connection_context():
        connection = db.connection()
        peewee = PlainPeewee(connection)

        def call(calls: Any, number: int) -> None:
            calls.medications.create_with_schedules(
                households.caregiver(number), households.recipient(number), ASPIRIN, NEW
            )

        def by_peewee(number: int) -> None:
            with peewee.around():
                call(peewee, number)

        others = {
            "Peewee's transaction": by_peewee,
            "psycopg2's of five statements": partial(five_statements, connection, households),
            "psycopg2's of three statements": partial(three_statements, connection, households),
        }
        ways = [partial(call, Repositories(db)), *others.values()]
        ours, *theirs = by_turns(connection, ways, rounds)
    return {name: ratio(times, ours) for name, times in zip(others, theirs, strict=True)}


def copied(households: Households, first: int, count: int) -> str:
    """Write the doses of ``reports`` as lines for COPY, which looks nothing up."""
    numbered = enumerate(reports(households, first, count), first)
    return "".join(
        f"{uuid4()}\t{households.recipient(one)}\t{households.medication(one)}\t"
        f"{report.schedule_id}\t{report.scheduled_for.isoformat()}\t{NOW.isoformat()}\t"
        f"{report.user_id}\n"
        for one, report in numbered
    )


def copy(connection: Any, lines: str) -> None:
    """Copy lines into the doses taken."""
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY dose_taken FROM STDIN", io.StringIO(lines))


def compare_marks(db: Database, households: Households, rounds: int) -> tuple[list[float], float]:
    """Give doses a second of ``mark_taken_many``, COPY and by hand, and the first two's ratio."""
    with db.connection_context():
        connection = db.connection()
        doses_taken, by_hand = Repositories(db).doses_taken, ByHand(connection).doses_taken
        firsts = range(0, (rounds + 1) * DOSES, DOSES)
        batches = [reports(households, first, DOSES) for first in firsts]
        files = [copied(households, first, DOSES) for first in firsts]

        def mark(number: int) -> None:
            outcomes = doses_taken.mark_taken_many(batches[number])
            if any(one.status is not OutcomeStatus.RECORDED for one in outcomes):
                raise RuntimeError("not every dose was recorded")

        ways = [
            mark,
            lambda number: copy(connection, files[number]),
            lambda number: by_hand.mark_taken_many(batches[number]),
        ]
        times = by_turns(connection, ways, rounds)
    return [DOSES / statistics.median(one) for one in times], ratio(times[1], times[0])


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Give the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


@click.command(help=__doc__.partition("\n")[0])
@click.option("--prepared", is_flag=True, help="Ours in direct mode.")
def main(prepared: bool) -> None:
    """Print the ratios."""
    with filled("small", prepared=prepared) as (db, households), processors_awake():
        for way in (0, 0.0005, ROUND_TRIP):
            with SlowWay(db, way).database() if way else nullcontext(db) as reached:
                ratios = compare_creations(reached, households, 100)
            where = f"{way * 1e3:.1f} ms a round trip" if way else "over a socket"
            print(f"create_with_schedules, {where}: how many times as fast as")
            for name, times in ratios.items():
                print(f"    {name:32}{times:10.2f}")
        rates, share = compare_marks(db, households, 15)
        print(f"mark_taken_many: {share:.2f} of COPY's rate ({DOSES:,} doses of many users)")
        for name, rate in zip(("mark_taken_many", "COPY", "psycopg2 by hand"), rates, strict=True):
            print(f"    {name:32}{rate:10,.0f} doses a second")


if __name__ == "__main__":
    main()
