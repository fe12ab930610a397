"""``python -m benchmarks``: the repositories beside psycopg2 by hand and other ways."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import click

from benchmarks.awake import processors_awake
from benchmarks.by_hand import ByHand
from benchmarks.comparison import DIRECT, OURS, Contender, Result, check, measure
from benchmarks.fill import SCALES, Households, filled
from benchmarks.latency import round_trips
from benchmarks.report import means, pictures, table
from homethrive_db import Database, Repositories, create_db


@click.command()
@click.option("--scale", type=click.Choice(list(SCALES)), default="small", show_default=True)
@click.option("--url", help="An empty database, in place of one of an own server.")
@click.option("--rounds", type=click.IntRange(min=2), default=30, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=10, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="benchmark-results",
    show_default=True,
    help="Where the figures, the table and the pictures go.",
)
def main(scale: str, url: str | None, rounds: int, repeats: int, out: Path) -> None:
    """Fill a database, see that all contenders answer the same, measure every call."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # before minutes are spent
        raise click.BadParameter(f"{out}: {error.strerror}", param_hint="--out") from error
    with filled(scale, url, quiet=False) as (db, households), processors_awake():
        click.echo(f"{SCALES[scale]:,} doses of {households.recipients:,} recipients")
        results = list(_measure(db, households, rounds, repeats))
    figures = {
        "doses": SCALES[scale],
        "rounds": rounds,
        "repeats": repeats,
        "python": platform.python_version(),
        "postgresql": db.server_version,
        "cores": os.cpu_count(),
        "results": [dataclasses.asdict(one) for one in results],
    }
    for name, mean in means(figures).items():
        whose = "" if name != DIRECT else f" {DIRECT}:"
        click.echo(f"geometric mean of all calls:{whose} {mean:.2f} of {_beside(name)}")
    if SCALES[scale] < SCALES["small"]:
        click.echo("so few doses tell that it runs, and not what a call costs")
    (out / "measured.json").write_text(json.dumps(figures, indent=1) + "\n")
    (out / "table.md").write_text(table(figures))
    pictures(figures, out)
    click.echo(f"written to {out}: measured.json, table.md, speed-light.svg, speed-dark.svg")


def _beside(name: str) -> str:
    return ByHand.name if name == DIRECT else name


def _measure(db: Database, households: Households, rounds: int, repeats: int) -> Iterator[Result]:
    """Show and give the result of each call."""
    with db.connection_context():
        connection = db.connection()
        contenders = [
            Contender(OURS, Repositories(db), nullcontext),
            Contender(ByHand.name, ByHand(connection), nullcontext),
            Contender(DIRECT, Repositories(_direct(db)), nullcontext),
            *_others(connection),
        ]
        check(contenders, connection, households)
        click.echo("all answer the same\n")
        click.echo(
            "Median µs a call; then what ours is beside it, with the quartiles of the rounds"
            f" ({DIRECT}: what it is beside {ByHand.name})\n"
        )
        names = [one.name for one in contenders]
        head = f"{names[0]:>14}" + "".join(f"{name:>29}" for name in names[1:])
        click.echo(f"{'call':48}{head}{'round trips':>13}")
        measured = measure(contenders, connection, households, rounds=rounds, repeats=repeats)
        trips = round_trips(db, households)
        for result, (_, count) in zip(measured, trips, strict=True):
            complete = dataclasses.replace(result, round_trips=round(count, 2))
            _show(complete, names)
            yield complete


def _direct(db: Database) -> Database:
    """Make a database in direct mode that has the connection of *db* in this thread."""
    direct = create_db("postgresql://", prepared=True)
    direct._state.set_connection(db.connection())
    direct._state.slot = db._state.slot
    return direct


def _others(connection: object) -> Iterator[Contender]:
    """Give the other contenders, but for those that are not installed."""
    for module, name in (
        ("plain_peewee", "PlainPeewee"),
        ("sqlalchemy_orm", "SQLAlchemy"),
        ("django_orm", "Django"),
    ):
        try:
            calls = getattr(import_module(f"benchmarks.{module}"), name)(connection)
        except ModuleNotFoundError as error:
            click.echo(f"{name} is left out: {error.name} is not installed (extra bench)")
        else:
            yield Contender(calls.name, calls, calls.around)


def _show(result: Result, names: list[str]) -> None:
    cells = [f"{result.medians[OURS]:14.0f}"]
    for name in names[1:]:
        low, middle, high = result.ratios[name]
        spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        cells.append(f"{result.medians[name]:8.0f} {spread:>20}")
    click.echo(f"{result.call:48}" + "".join(cells) + f"{result.round_trips:13.2f}")


if __name__ == "__main__":
    main()
