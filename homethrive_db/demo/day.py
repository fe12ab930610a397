"""One day of one household as a table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import click

from homethrive_db.demo.households import Household
from homethrive_db.doses.occurrence import DoseOccurrence
from homethrive_db.entities import User
from homethrive_db.repositories import Repositories

DAY = date(2025, 3, 9)

_COLUMNS = (("Medication", 22), ("Due", 9), ("Taken", 9), ("By", 24), ("Dosage", 12))


def show_day(repositories: Repositories, household: Household) -> None:
    """Print what was due on the day the clocks went forward, and what became of it."""
    recipient = household.recipient
    click.echo()
    click.echo(
        f"  {click.style(recipient.display_name, bold=True)}, {DAY:%A %-d %B %Y}\n"
        f"  {recipient.timezone}: the clocks went forward at 02:00\n"
    )
    click.echo("  " + click.style(_row([title for title, _ in _COLUMNS]), bold=True))
    click.echo("  " + "─" * sum(width for _, width in _COLUMNS))
    zone = ZoneInfo(recipient.timezone)
    midnight = datetime.combine(DAY, time(), zone)
    doses = repositories.doses.list_upcoming(
        household.reporters[0].clerk_user_id,
        recipient.id,
        start=midnight,
        end=midnight + timedelta(days=1),
    )
    for dose in doses:
        click.echo("  " + _dose_row(dose, zone, household.people))


def _dose_row(dose: DoseOccurrence, zone: ZoneInfo, people: Mapping[str, User]) -> str:
    name, due, notes = dose.medication_name, f"{dose.local_time:%H:%M}", dose.dosage_notes or ""
    if dose.taken_at is None or dose.taken_by_user_id is None:
        return click.style(_row([name, due, "missed", "", notes]), fg="red")
    by = people[dose.taken_by_user_id].display_name or dose.taken_by_user_id
    return _row([name, due, f"{dose.taken_at.astimezone(zone):%H:%M}", by, notes])


def _row(cells: list[str]) -> str:
    return "".join(
        cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)
    ).rstrip()
