"""``homethrive-db report``: who takes their medication."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import click

from homethrive_db.cli.program import database, main

_DATE = click.DateTime(["%Y-%m-%d"])
_LONGEST_GRACE = 366 * 24 * 60


def _check_place(_ctx: click.Context, _option: click.Parameter, html: Path | None) -> Path | None:
    """Refuse a place for the calendar before anything is read for it."""
    if html is not None:
        from homethrive_db.doses.calendar import may_replace

        if str(html) == "-":
            raise click.BadParameter("a file expected; standard output has the table")
        if not (html.exists() or os.access(html.parent, os.W_OK)):
            raise click.BadParameter(f"no file can be made in {html.parent}")
        if not may_replace(html):
            raise click.BadParameter(f"{html} is there already, and is no calendar of ours")
    return html


@main.command(short_help="Show how a recipient took their medications.")
@click.argument("recipient")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_check_place,
    help="Write a calendar.",
)
@click.option("--from", "first", type=_DATE, metavar="DATE", help="27 days before --to.")
@click.option("--to", "last", type=_DATE, metavar="DATE", help="Today in the recipient's zone.")
@click.option(
    "--grace",
    type=click.IntRange(0, _LONGEST_GRACE),
    default=60,
    show_default=True,
    help="Minutes after which a dose taken is late, and one not taken is missed.",
)
def report(
    recipient: str, html: Path | None, first: datetime | None, last: datetime | None, grace: int
) -> None:
    """Show how a care RECIPIENT, given by id, took their medications, as a table.

    With --html also as a calendar, a page of its own for a screen or on paper. Both hold health
    data. A DATE is written like 2025-03-09; both are included.
    """
    from homethrive_db.cli.report_table import table
    from homethrive_db.doses.calendar import page
    from homethrive_db.doses.report import read_report

    with database() as db:
        found = read_report(
            db, recipient, first and first.date(), last and last.date(), timedelta(minutes=grace)
        )
    for line in table(found):
        click.echo(line)
    if html is not None:
        html.touch(mode=0o600)  # health data: nobody else's
        html.write_text(page(found), encoding="utf-8")
        click.echo(f"\n  Wrote {html}")
