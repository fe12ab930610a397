"""``python -m benchmarks``: the repositories beside psycopg2 by hand and other ways."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import click
import psycopg2

from benchmarks.by_hand import ByHand
from benchmarks.comparison import (
    OURS,
    Contender,
    Result,
    check,
    geometric_mean,
    measure,
    write_json,
)
from benchmarks.fill import SCALES, fill
from homethrive_db import Database, Repositories, create_db
from homethrive_db.migrate import migrate

BY_HAND = ByHand.name


@click.command()
@click.option("--scale", type=click.Choice(list(SCALES)), default="small", show_default=True)
@click.option("--url", help="An empty database whose name ends in _bench or _test.")
@click.option("--rounds", default=30, show_default=True)
@click.option("--repeats", default=10, show_default=True)
@click.option("--prepared", is_flag=True, help="Measure direct mode.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here."
)
def main(  # noqa: PLR0913, PLR0917  # click's
    scale: str, url: str | None, rounds: int, repeats: int, prepared: bool, json_path: Path | None
) -> None:
    """Fill a database, see that all contenders answer the same, measure every call."""
    with tempfile.TemporaryDirectory(prefix="homethrive-bench-") as folder:
        db = create_db(url or f"embedded://{folder}/data", prepared=prepared)
        try:
            list(migrate(db))
            _run(db, SCALES[scale], rounds, repeats, json_path)
        finally:
            db.close_all()


def _run(db: Database, doses: int, rounds: int, repeats: int, json_path: Path | None) -> None:
    filling = psycopg2.connect(**db.connect_params)
    households = fill(filling, doses)
    filling.close()
    with db.connection_context():
        connection = db.connection()
        contenders = [
            Contender(OURS, Repositories(db), nullcontext),
            Contender(BY_HAND, ByHand(connection), nullcontext),
            *_others(connection),
        ]
        check(contenders, connection, households)
        click.echo(f"{doses:,} doses of {households.recipients:,} recipients; all answer the same")
        names = [one.name for one in contenders]
        click.echo(f"\n{'median µs a call':48}" + "".join(f"{name:>30}" for name in names))
        results = []
        for result in measure(contenders, connection, households, rounds=rounds, repeats=repeats):
            results.append(result)
            _show(result, names)
    for name in names[1:]:
        mean = geometric_mean([result.ratios[name][1] for result in results])
        click.echo(f"geometric mean of all calls: {mean:.2f} of {name}")
    if json_path is not None:
        write_json(json_path, results, doses=doses, prepared=db.options.prepared)


def _others(connection: object) -> Iterator[Contender]:
    """Give the other contenders, but for those that are not installed."""
    for module, name in (
        ("plain_peewee", "PlainPeewee"),
        ("sqlalchemy_orm", "SqlAlchemy"),
        ("django_orm", "Django"),
    ):
        try:
            calls = getattr(import_module(f"benchmarks.{module}"), name)(connection)
        except ModuleNotFoundError as error:
            click.echo(f"{name} is left out: {error.name} is not installed (extra bench)")
        else:
            yield Contender(calls.name, calls, calls.around)


def _show(result: Result, names: list[str]) -> None:
    cells = [f"{result.medians[OURS]:30.0f}"]
    for name in names[1:]:
        low, middle, high = result.ratios[name]
        spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
        cells.append(f"{result.medians[name]:9.0f} {spread:>20}")
    click.echo(f"{result.call:48}" + "".join(cells))


if __name__ == "__main__":
    main()
