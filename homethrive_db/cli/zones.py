"""``homethrive-db tz-check`` and ``fix-zones``: the zones by which doses are computed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from homethrive_db.cli.migrations import FORMAT
from homethrive_db.cli.program import database, main

if TYPE_CHECKING:
    from homethrive_db.doses.stored_zones import UnknownZone
    from homethrive_db.doses.zone_check import ListedZoneless, ZoneCheck
    from homethrive_db.doses.zone_copies import Copy, ZoneDifference

_MINUTE = "%Y-%m-%d %H:%M"


@main.command("tz-check", short_help="Compare the zone data in use.")
@click.option(
    "--years",
    type=click.IntRange(0, 50),
    default=5,
    show_default=True,
    help="How many years to look ahead; last year and this one are looked at, too.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many ids of each kind to list.",
)
@FORMAT
def tz_check(years: int, limit: int, form: str) -> None:
    """Compare the zone data of server, system and package; exit with 1 where anything is found.

    For the zones in use. It lists also the rows whose zones are no IANA names, and the schedules
    that have no zone where the recipient's is not the one that the Node service takes.
    """
    from homethrive_db.doses.zone_check import check_zones

    year = datetime.now(UTC).year
    since, until = (datetime(one, 1, 1, tzinfo=UTC) for one in (year - 1, year + years + 1))
    with database() as db:
        result = check_zones(db, since, until, limit=limit)
        if form == "json":
            found = {"database_name": db.database, "ok": result.is_clean, **asdict(result)}
            click.echo(json.dumps(found, default=str))
        else:
            click.echo(f"Checking {db.database}, {since.year} to {until.year - 1}")
            _show(result)
    if not result.is_clean:
        sys.exit(1)


def _show(result: ZoneCheck) -> None:
    _show_copies(result)
    for difference in result.differences:
        for line in _difference(difference):
            click.echo(f"  {difference.zone}: {line}")
    for unknown in result.unknown:
        click.echo(f"  {_unknown(unknown)}")
    if not result.differences:
        click.echo(f"  {_same(result)}")
    for zoneless in result.zoneless:
        click.echo(f"  {_zoneless(zoneless)}")
    if not result.zoneless:
        click.echo("  ok: no schedule without a zone that the Node service reads in another")


def _show_copies(result: ZoneCheck) -> None:
    engine, spare = "computes the doses", "computes the doses in zones that the system lacks"
    click.echo(f"  server   {_copy(result.server)}")
    if result.system is None:
        click.echo("  system   has no zone files")
        click.echo(f"  package  {_copy(result.package)}; {engine}")
    else:
        click.echo(f"  system   {_copy(result.system)}; {engine}")
        click.echo(f"  package  {_copy(result.package)}; {spare}")


def _copy(copy: Copy) -> str:
    return f"{copy.place}, version {copy.version or 'not known'}"


def _same(result: ZoneCheck) -> str:
    """Say that the data are the same, and ok where each zone has data."""
    count = len(set(result.zones) - {one.zone for one in result.unknown})
    if result.unknown:
        return f"the other zones in use ({count}) have the same data everywhere"
    return f"ok: the zones in use ({count}) have the same data everywhere"


def _difference(difference: ZoneDifference) -> Iterator[str]:
    for source in difference.lacking:
        yield f"the {source} lacks it"
    if difference.stretches:
        first, *others = difference.stretches
        offsets = ", ".join(f"{source} {offset}" for source, offset in first.offsets.items())
        end = "on" if first.until is None else f"to {first.until:{_MINUTE}} UTC"
        more = f"; {len(others)} more like it" if others else ""
        yield f"from {first.since:{_MINUTE}} UTC {end}: {offsets}{more}"


def _unknown(unknown: UnknownZone) -> str:
    ids = _ids(unknown.ids, unknown.rows)
    return f"{unknown.zone!r} is no IANA zone, in {unknown.table}: {ids}"


def _zoneless(zoneless: ListedZoneless) -> str:
    group = zoneless.group
    what = "ended schedules" if group.have_ended else "schedules"
    ids = _ids(zoneless.ids, group.schedules)
    return f"{what} without a zone, whose recipients have {group.zone!r}: {ids}"


def _ids(ids: tuple[str, ...], rows: int) -> str:
    """List ids, and count those that are left out."""
    if not ids:
        return str(rows)
    more = f" and {rows - len(ids)} more" if rows > len(ids) else ""
    return f"{', '.join(ids)}{more}"


@main.command("fix-zones", short_help="Write zones into schedules that have none.")
@click.option("--yes", is_flag=True, help="Write; without it nothing is written.")
@click.option("--ended", is_flag=True, help="Into schedules that have ended, too.")
def fix_zones(yes: bool, ended: bool) -> None:
    """Write the recipient's zone into schedules that have none, where it is not New York's.

    America/New_York is what the Node service takes for them; from then on it takes what is written.
    Without --yes it shows what it would do. Exits with 1 where a recipient's zone is no IANA name.
    """
    from homethrive_db.doses import stored_zones

    with database() as db:
        click.echo(f"Fixing zones in {db.database}")
        found = stored_zones.count_zoneless(db)
        groups = [group for group in found if ended or not group.have_ended]
        counts: Counter[str] = Counter()
        if yes:
            for page in stored_zones.fix_zones(db, groups, ended=ended):
                counts.update(page)
        else:
            for group in groups:
                if group.target is not None:
                    counts[group.target] += group.schedules
    _show_fixed(counts, "got" if yes else "would get")
    for group in groups:
        if group.target is None:
            click.echo(f"  {group.schedules} left: {group.zone!r} is no IANA zone")
    if len(groups) < len(found):
        count = sum(group.schedules for group in found if group.have_ended)
        click.echo(f"  {count} left: they have ended (--ended takes them, too)")
    if counts and not yes:
        click.echo("Nothing was written: --yes writes it")
    if any(group.target is None for group in groups):
        sys.exit(1)


def _show_fixed(counts: Counter[str], verb: str) -> None:
    width = max(map(len, counts), default=0)
    for zone, schedules in sorted(counts.items()):
        click.echo(f"  {zone:{width}}  {schedules}")
    total = counts.total()
    click.echo(f"  {total} schedule{'' if total == 1 else 's'} {verb} the recipient's zone")
