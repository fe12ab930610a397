"""Who takes their medication: what was due in a stretch of time, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from homethrive_db.doses.agenda import Agenda
from homethrive_db.doses.occurrence import BY_TIME, DoseOccurrence, in_order
from homethrive_db.doses.records import Settled
from homethrive_db.doses.recurrence import Due
from homethrive_db.enums import DoseVerdict

GRACE = timedelta(hours=1)
"""How long after it was due a dose may be taken unless told otherwise."""


class JudgedDose(NamedTuple):
    """A dose and what is to be said of it."""

    dose: DoseOccurrence
    verdict: DoseVerdict


class UnmatchedDose(NamedTuple):
    """A dose that was recorded at an instant at which its schedule has none."""

    schedule_id: UUID
    medication_id: UUID
    medication_name: str
    scheduled_for: datetime
    taken_at: datetime
    taken_by_user_id: str


@dataclass(frozen=True, slots=True)
class AdherenceFigures:
    """How many doses were due, and what became of them.

    Due are those of which it is known: taken, missed or skipped. A dose whose grace is not over
    yet does not count, nor does one whose date has a dose recorded at another time: the schedule
    has been moved since, and its past is not to look missed.
    """

    taken: int
    """Late ones included."""
    late: int
    missed: int
    skipped: int

    @property
    def due(self) -> int:
        """How many were due."""
        return self.taken + self.missed + self.skipped

    @property
    def rate(self) -> float | None:
        """The share of taken ones, 0 to 1, skipped ones left out; None where no other was due."""
        counted = self.taken + self.missed
        return self.taken / counted if counted else None

    @classmethod
    def of(cls, verdicts: Iterable[DoseVerdict]) -> AdherenceFigures:
        """Count."""
        count = Counter(verdicts)
        return cls(
            taken=count[DoseVerdict.TAKEN] + count[DoseVerdict.LATE],
            late=count[DoseVerdict.LATE],
            missed=count[DoseVerdict.MISSED],
            skipped=count[DoseVerdict.SKIPPED],
        )


@dataclass(frozen=True, slots=True)
class MedicationAdherence:
    """The figures of one medication."""

    medication_id: UUID
    medication_name: str
    figures: AdherenceFigures


@dataclass(frozen=True, slots=True)
class Adherence:
    """What was due for a care recipient, and what became of it."""

    total: AdherenceFigures
    medications: tuple[MedicationAdherence, ...]
    """By name."""
    doses: tuple[JudgedDose, ...]
    """Each dose, in their order."""
    unmatched: tuple[UnmatchedDose, ...]
    """What was recorded in that time and is no dose of its schedule, in its order."""


def judge(
    agendas: Iterable[Agenda], since: datetime, until: datetime, *, grace: timedelta, now: datetime
) -> Adherence:
    """Judge the doses due from *since* to before *until*, as things stand at *now*."""
    doses: list[JudgedDose] = []
    unmatched: list[UnmatchedDose] = []
    for agenda in agendas:
        dues = agenda.between(since, until)
        settled = agenda.settle(dues)
        doses.extend(
            JudgedDose(dose, _verdict(due, settled, grace, now))
            for due, dose in zip(dues, agenda.told_of(dues, settled), strict=True)
        )
        schedule_id, medication_id, _, name, *_ = agenda.told
        unmatched.extend(
            UnmatchedDose(schedule_id, medication_id, name, *row)
            for row in agenda.unmatched(since, until)
        )
    doses.sort(key=lambda one: BY_TIME(one.dose))
    unmatched.sort(key=in_order(UnmatchedDose))
    return Adherence(
        AdherenceFigures.of(one.verdict for one in doses),
        tuple(_by_medication(doses)),
        tuple(doses),
        tuple(unmatched),
    )


def _verdict(due: Due, settled: Settled, grace: timedelta, now: datetime) -> DoseVerdict:
    taken = settled.taken.get(due.day)
    if taken is not None:  # late by the instant that whoever recorded it was told
        is_late = taken.taken_at - taken.scheduled_for > grace
        return DoseVerdict.LATE if is_late else DoseVerdict.TAKEN
    if due.day in settled.moved:
        return DoseVerdict.MOVED
    if due.day in settled.skipped:
        return DoseVerdict.SKIPPED
    return DoseVerdict.MISSED if now - due.at > grace else DoseVerdict.OPEN


def _by_medication(doses: Iterable[JudgedDose]) -> Iterable[MedicationAdherence]:
    verdicts: dict[tuple[str, UUID], list[DoseVerdict]] = {}
    for dose, verdict in doses:
        verdicts.setdefault((dose.medication_name, dose.medication_id), []).append(verdict)
    for name, medication_id in sorted(verdicts):
        figures = AdherenceFigures.of(verdicts[name, medication_id])
        yield MedicationAdherence(medication_id, name, figures)
