"""Measures the repositories beside other ways to do the same, on one connection, by turns.

    python -m benchmarks --scale small

Each write runs inside a transaction that is begun before the clock starts and rolled back after it
stops, so that everybody finds the same rows; what COMMIT costs is the disk's, and nobody's.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import random
import statistics
import time as clocks
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from benchmarks.calls import CALLS, Call
from benchmarks.fill import Households
from homethrive_db import (
    CaregiverAccess,
    CaregiverAccessWithUser,
    CareRecipient,
    DoseTaken,
    Medication,
    MedicationSchedule,
    User,
)

OURS = "homethrive_db"
DIRECT = "homethrive_db, direct mode"
BY_HAND = "psycopg2 by hand"

# What the database or a contender makes up.
_MADE_UP = frozenset({"id", "created_at", "updated_at"})


@dataclass(frozen=True)
class Contender:
    """A way to make the calls: an object like ``Repositories``, and what its calls need around."""

    name: str
    calls: Any
    around: Callable[[], Any]


@dataclass(frozen=True)
class Result:
    """What a call took, in microseconds: the median of each contender."""

    call: str
    medians: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]
    """Ours to each other one, direct mode to psycopg2 by hand: quartiles of the rounds."""
    round_trips: float = 0.0
    """How many of those that a slow way adds it takes."""


def check(contenders: Sequence[Contender], connection: Any, households: Households) -> None:
    """See that all contenders answer the same. Raises RuntimeError with what differs.

    And that none has changed how values are read on the connection, which is everybody's.
    """
    readers = dict(connection.string_types)
    for call in CALLS:
        answers = {}
        for contender in contenders:
            with contender.around(), undone(connection, call):
                answer = call.run(contender.calls, households, 5)
                answers[contender.name] = plain(answer, _MADE_UP | call.incomparable)
        expected = answers[OURS]
        if not expected:
            raise RuntimeError(f"{call.name} finds nothing to measure")
        for name, answer in answers.items():
            if answer != expected:
                raise RuntimeError(f"{call.name}: {name} gives {answer}, not {expected}")
    if any(connection.string_types.get(oid) is not reader for oid, reader in readers.items()):
        raise RuntimeError("a contender has registered readers of its own for all")


# Of which entity the rows of an ORM are.
_ENTITIES = {
    "users": User,
    "care_recipients": CareRecipient,
    "caregiver_access": CaregiverAccess,
    "medications": Medication,
    "medication_schedules": MedicationSchedule,
    "dose_taken": DoseTaken,
}


def plain(answer: Any, without: frozenset[str]) -> Any:
    """Reduce an answer to values that can be compared, *without* the fields of these names."""
    if isinstance(answer, dict):
        return {plain(key, without): plain(value, without) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return tuple(plain(one, without) for one in answer)
    if isinstance(answer, datetime):
        return answer.astimezone(UTC)
    if isinstance(answer, time):
        return f"{answer:%H:%M}"
    entity = _entity(answer)
    if entity is None:
        return answer
    names = {one.name for one in dataclasses.fields(entity)} - without
    return {name: plain(getattr(answer, name, None), without) for name in names}


def _entity(answer: Any) -> Any:
    """Find what entity an answer is one of, or a row of; None where it is a plain value."""
    if dataclasses.is_dataclass(answer):
        return type(answer)
    meta = getattr(answer, "_meta", None)
    table = (
        getattr(answer, "__tablename__", None)
        or getattr(meta, "table_name", None)
        or getattr(meta, "db_table", None)
    )
    if hasattr(answer, "recipient_email") or hasattr(answer, "caregiver_email"):
        return CaregiverAccessWithUser
    return _ENTITIES.get(table)


@contextmanager
def undone(connection: Any, call: Call) -> Iterator[None]:
    """Take back what a call writes."""
    if not call.writes:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def measure(
    contenders: Sequence[Contender],
    connection: Any,
    households: Households,
    *,
    rounds: int,
    repeats: int,
) -> Iterator[Result]:
    """Measure call after call: the quickest of *repeats*, in each round of every contender."""
    order = random.Random(0)  # noqa: S311
    for call in CALLS:
        times: dict[str, list[float]] = {one.name: [] for one in contenders}
        number = 0
        count = min(repeats, 4) if call.is_long else repeats
        for turn in range(rounds + 1):  # the first warms up
            # Shuffled, so that nobody follows the same one each time, who leaves caches cold.
            for contender in order.sample(contenders, len(contenders)):
                with contender.around():
                    taken = [
                        time_call(call, contender.calls, connection, households, number + one)
                        for one in range(count)
                    ]
                if turn:
                    times[contender.name].append(min(taken))  # what else runs only adds
            number += count
        yield Result(
            call.name,
            {name: statistics.median(one) for name, one in times.items()},
            {name: _quartiles(times, name) for name in times if name != OURS},
        )


def _quartiles(times: dict[str, list[float]], name: str) -> tuple[float, float, float]:
    one, other = (DIRECT, BY_HAND) if name == DIRECT else (OURS, name)
    pairs = zip(times[one], times[other], strict=True)
    low, middle, high = statistics.quantiles([a / b for a, b in pairs], n=4, method="inclusive")
    return low, middle, high


def time_call(
    call: Call, calls: Any, connection: Any, households: Households, number: int
) -> float:
    """Time one call, in microseconds."""
    clock = clocks.perf_counter_ns
    run = call.bound(calls, households, number)
    with undone(connection, call):
        gc.disable()
        began = clock()
        run()
        ended = clock()
        gc.enable()
    return (ended - began) / 1000


def geometric_mean(values: Sequence[float]) -> float:
    """Average ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))
