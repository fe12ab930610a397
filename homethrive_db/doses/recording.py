"""The worker that records dose events: NDJSON in, rows in the database, rejects with a reason.

One event a line, in UTF-8:

    {"user_id": "…", "schedule_id": "…", "scheduled_for": "2025-03-09T12:30:00Z", "taken_at": "…"}

Recording is idempotent, so a file may be fed again, whole or mended, after whatever ended a run.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, NoReturn

from homethrive_db.doses.rejects import Rejection
from homethrive_db.entities import DoseOutcome, DoseReport
from homethrive_db.enums import OutcomeStatus
from homethrive_db.errors import ValidationError
from homethrive_db.ports import DoseTakenRepository

BATCH_SIZE = 5_000
"""How many events are recorded in one statement."""

MAX_LINE_BYTES = 64 * 1024
"""A longer line is rejected unread, so that memory stays flat."""

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""A batch of long lines ends here, before it has BATCH_SIZE of them."""

# fromisoformat drops what is finer than a microsecond: the key would be another one.
_FINER_THAN_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]", re.ASCII)

_REASONS = {
    OutcomeStatus.NOT_FOUND: "schedule_id: no such schedule, or none that this user may reach",
    OutcomeStatus.MEDICATION_INACTIVE: "scheduled_for: the medication was inactive by then",
}


@dataclass(slots=True)
class Summary:
    """How far a run has come: every one of ``lines`` is settled, recorded or rejected."""

    lines: int = 0
    bytes: int = 0
    recorded: int = 0
    already_recorded: int = 0
    rejected: int = 0
    no_objects: int = 0
    """How many of the rejected lines hold no JSON object."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the stream; the text of one that is too long is None."""

    number: int
    size: int
    text: bytes | None


@dataclass(frozen=True, slots=True)
class _Event:
    """What a line holds: a report, or the reason why it is none."""

    line: int
    fields: dict[str, Any]
    report: DoseReport | None = None
    reason: str = ""
    is_object: bool = True


def record_doses(
    stream: IO[bytes],
    doses_taken: DoseTakenRepository,
    reject: Callable[[Rejection], object],
    *,
    batch_size: int = BATCH_SIZE,
    on_batch: Callable[[Summary], object] = lambda _: None,
) -> Summary:
    """Record the events of *stream*, a batch a statement, and sum up.

    *reject* gets every event that could not be recorded, in the order of the lines; *on_batch* the
    summary so far. Memory holds one batch, however long the stream is. What the repository raises
    ends the run; the whole stream may be fed again. Raises ValidationError for a stream of text.
    """
    _check_stream(stream)
    summary = Summary()
    for batch in _batches(_lines(stream), batch_size):
        _record(batch, doses_taken, reject, summary)
        summary.lines = batch[-1].number
        summary.bytes += sum(line.size for line in batch)
        on_batch(summary)
    return summary


def _check_stream(stream: object) -> None:
    """Check that a stream gives bytes; nothing is read of it."""
    readline = getattr(stream, "readline", None)
    if readline is None or not isinstance(readline(0), bytes):
        came = type(stream).__name__ if readline is None else "one of text"
        raise ValidationError.of(
            "stream", f'a file of bytes expected, like open(path, "rb"); {came} came'
        )


def _batches(lines: Iterable[_Line], batch_size: int) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    held = 0
    for line in lines:
        batch.append(line)
        held += len(line.text or b"")
        if len(batch) >= batch_size or held >= MAX_BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _record(
    batch: list[_Line],
    doses_taken: DoseTakenRepository,
    reject: Callable[[Rejection], object],
    summary: Summary,
) -> None:
    events = [_read(line) for line in batch if line.text is None or line.text.strip()]
    reports = [event.report for event in events if event.report is not None]
    outcomes = iter(doses_taken.mark_taken_many(reports))
    for event in events:
        reason = event.reason if event.report is None else _settle(next(outcomes), summary)
        if reason:
            summary.rejected += 1
            summary.no_objects += not event.is_object
            reject(Rejection(event.line, reason, event.fields))


def _settle(outcome: DoseOutcome, summary: Summary) -> str:
    """Count what became of a report; gives the reason where it was refused."""
    if outcome.status is OutcomeStatus.RECORDED:
        summary.recorded += 1
    elif outcome.status is OutcomeStatus.ALREADY_RECORDED:
        summary.already_recorded += 1
    return _REASONS.get(outcome.status, "")


def _lines(stream: IO[bytes]) -> Iterator[_Line]:
    number = 0
    while text := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        size = len(text)
        if size <= MAX_LINE_BYTES:
            yield _Line(number, size, text.removeprefix(codecs.BOM_UTF8) if number == 1 else text)
            continue
        while not text.endswith(b"\n") and (text := stream.readline(MAX_LINE_BYTES)):
            size += len(text)
        yield _Line(number, size, None)


def _read(line: _Line) -> _Event:
    """Read an event; one that cannot be read keeps its fields, or its text, to be mended."""
    if line.text is None:
        reason = f"a line has up to {MAX_LINE_BYTES} bytes"
        return _Event(line.number, {}, reason=reason, is_object=False)
    try:
        fields = _fields(line.text)
    except ValidationError as error:
        text = line.text.decode("utf-8", "replace").strip()
        return _Event(line.number, {"text": text}, reason=error.message, is_object=False)
    try:
        return _Event(line.number, fields, _report(fields))
    except ValidationError as error:
        return _Event(line.number, fields, reason=error.message)


def _fields(text: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises ValidationError for anything else."""
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=_finite,
        )
    except UnicodeDecodeError:
        raise ValidationError.of("text", "not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ValidationError.of("text", f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValidationError.of("text", "not a JSON object")
    return value


def _report(fields: dict[str, Any]) -> DoseReport:
    for name in DoseReport.__dataclass_fields__:
        if name not in fields:
            raise ValidationError.of(name, "missing")
    return DoseReport(
        user_id=fields["user_id"],
        schedule_id=fields["schedule_id"],
        scheduled_for=_instant(fields, "scheduled_for"),
        taken_at=_instant(fields, "taken_at"),
    )


def _instant(fields: dict[str, Any], name: str) -> datetime:
    """Read an ISO 8601 instant; whether it has a zone the report itself checks."""
    text = fields[name]
    try:
        instant = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValidationError.of(
            name, "an ISO 8601 instant expected, like 2025-03-09T12:30:00Z"
        ) from None
    if name == "scheduled_for" and _FINER_THAN_MICROSECONDS.search(text):
        raise ValidationError.of(name, "whole milliseconds expected, a finer instant came")
    return instant


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _finite(text: str) -> float:
    """Read a number; one too large for a float would be written back as no JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
