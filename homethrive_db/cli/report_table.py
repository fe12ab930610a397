"""The table of a report, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from homethrive_db.doses.adherence import AdherenceFigures
from homethrive_db.doses.report import Report, percent
from homethrive_db.local_days import find_zone

_HEADINGS = ("Due", "Taken", "Late", "Missed", "Skipped", "Rate")
_NAME_WIDTH, _WIDTH = 30, 9


def table(report: Report) -> Iterator[str]:
    """Give the lines of the table, and what is to be known of doses that are not in it."""
    adherence = report.adherence
    name = click.style(report.recipient.display_name, bold=True)
    yield f"  {name}, {report.period} ({report.recipient.timezone})"
    yield ""
    yield click.style("  " + "Medication".ljust(_NAME_WIDTH) + _cells(_HEADINGS), bold=True)
    yield "  " + "─" * (_NAME_WIDTH + _WIDTH * len(_HEADINGS))
    for one in adherence.medications:
        yield "  " + _row(one.medication_name, one.figures)
    yield click.style("  " + _row("All medications", adherence.total), bold=True)
    if adherence.unmatched:
        yield ""
        count = len(adherence.unmatched)
        yield f"  Recorded at times at which their schedules have no dose: {count}"
        zone = find_zone(report.recipient.timezone)
        for dose in adherence.unmatched:
            due = dose.scheduled_for.astimezone(zone)
            yield f"    {dose.medication_name.ljust(_NAME_WIDTH - 2)}{due:%a %-d %b %H:%M}"


def _row(name: str, figures: AdherenceFigures) -> str:
    cut = name if len(name) < _NAME_WIDTH else name[: _NAME_WIDTH - 2] + "…"
    counts = (figures.due, figures.taken, figures.late, figures.missed, figures.skipped)
    return cut.ljust(_NAME_WIDTH) + _cells((*map(str, counts), percent(figures)))


def _cells(cells: tuple[str, ...]) -> str:
    return "".join(cell.rjust(_WIDTH) for cell in cells)
