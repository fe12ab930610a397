"""One day of one household as a table."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import click

from homethrive_db.demo.events import due_on
from homethrive_db.demo.households import Household
from homethrive_db.entities import DoseKey, MedicationSchedule, TakenInfo
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
    for due, name, schedule, taken in _doses(repositories, household):
        click.echo("  " + _dose_row(household, due, name, schedule, taken))


def _doses(
    repositories: Repositories, household: Household
) -> list[tuple[datetime, str, MedicationSchedule, TakenInfo | None]]:
    """List the doses of the day in their order, taken or not."""
    user_id = household.reporters[0].clerk_user_id
    schedules = {
        schedule.id: (medication.name, schedule) for medication, schedule in household.plans
    }
    midnight = datetime.combine(DAY, datetime.min.time(), ZoneInfo(household.recipient.timezone))
    taken = repositories.doses_taken.taken_map(
        user_id, schedules, midnight, midnight + timedelta(days=1)
    )
    return sorted(
        (due, name, schedule, taken.get(DoseKey(schedule.id, due)))
        for name, schedule in schedules.values()
        if (due := due_on(household, schedule, DAY)) is not None
    )


def _dose_row(
    household: Household,
    due: datetime,
    name: str,
    schedule: MedicationSchedule,
    taken: TakenInfo | None,
) -> str:
    zone = ZoneInfo(household.recipient.timezone)
    local_due = f"{due.astimezone(zone):%H:%M}"
    notes = schedule.dosage_notes or ""
    if taken is None:
        return click.style(_row([name, local_due, "missed", "", notes]), fg="red")
    by = household.people[taken.taken_by_user_id].display_name or taken.taken_by_user_id
    return _row([name, local_due, f"{taken.taken_at.astimezone(zone):%H:%M}", by, notes])


def _row(cells: list[str]) -> str:
    return "".join(
        cell.ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True)
    ).rstrip()
