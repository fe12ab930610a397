"""Measures the repositories beside other ways to do the same, on one connection, by turns.

    python -m benchmarks --scale small

Each write runs inside a transaction that is begun before the clock starts and rolled back after it
stops, so that everybody finds the same rows; what COMMIT costs is the disk's, and nobody's.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.calls import CALLS, Call
from benchmarks.fill import Households

OURS = "homethrive_db"

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
    """Ours to each other one: quartiles of the rounds."""


def check(contenders: Sequence[Contender], connection: Any, households: Households) -> None:
    """See that all contenders answer the same. Raises RuntimeError with what differs."""
    for call in CALLS:
        answers = {}
        for contender in contenders:
            with contender.around(), undone(connection, call):
                answer = call.run(contender.calls, households, 5)
                answers[contender.name] = plain(answer, _MADE_UP | call.made_up)
        expected = answers[OURS]
        if not expected:
            raise RuntimeError(f"{call.name} finds nothing to measure")
        for name, answer in answers.items():
            if answer != expected:
                raise RuntimeError(f"{call.name}: {name} gives {answer}, not {expected}")


def plain(answer: Any, without: frozenset[str]) -> Any:
    """Reduce an answer to values that can be compared, *without* the fields of these names."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        names = [one.name for one in dataclasses.fields(answer)]
        return {
            name: plain(getattr(answer, name), without) for name in names if name not in without
        }
    if isinstance(answer, dict):
        return {plain(key, without): plain(value, without) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return tuple(plain(one, without) for one in answer)
    return answer


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
    """Measure call after call: in each round every contender *repeats* times, by turns."""
    for call in CALLS:
        times: dict[str, list[float]] = {one.name: [] for one in contenders}
        number = 0
        for turn in range(rounds + 1):  # the first warms up
            for contender in (
                contenders[turn % len(contenders) :] + contenders[: turn % len(contenders)]
            ):
                taken = [
                    _time(call, contender, connection, households, number + one)
                    for one in range(repeats)
                ]
                if turn:
                    times[contender.name].append(statistics.median(taken))
            number += repeats
        yield Result(
            call.name,
            {name: statistics.median(one) for name, one in times.items()},
            {
                name: tuple(
                    statistics.quantiles(
                        [a / b for a, b in zip(times[OURS], one, strict=True)], n=4
                    )
                )
                for name, one in times.items()
                if name != OURS
            },
        )


def _time(
    call: Call, contender: Contender, connection: Any, households: Households, number: int
) -> float:
    clock = time.perf_counter_ns
    with contender.around(), undone(connection, call):
        gc.disable()
        began = clock()
        call.run(contender.calls, households, number)
        ended = clock()
        gc.enable()
    return (ended - began) / 1000


def geometric_mean(values: Sequence[float]) -> float:
    """Average ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


def write_json(path: Path, results: Sequence[Result], **facts: object) -> None:
    """Write what was measured, and on what."""
    path.write_text(
        json.dumps({**facts, "results": [dataclasses.asdict(one) for one in results]}, indent=2)
    )
