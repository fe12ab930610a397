"""What a call costs in a large database beside a small one, by turns on one server.

    python -m benchmarks.growth --scale large

At most 1.3 times is wanted: the indexes have a level or two more, and nothing else may grow. In
both, as many households are met, again and again: what a page costs that was not read before is
the disk's. Lower quartiles, since whatever else a machine does only adds.
"""

import statistics
from collections.abc import Sequence

import click
import psycopg2

from benchmarks.awake import processors_awake
from benchmarks.calls import CALLS, Call
from benchmarks.comparison import geometric_mean, time_call
from benchmarks.fill import SCALES, Households, fill
from benchmarks.folder import server_folder
from homethrive_db import Database, Repositories, create_db
from homethrive_db.migrate import migrate

SMALL = "small"
HOUSEHOLDS = 25
"""From all over each database."""


def filled(server: Database, scale: str) -> tuple[Database, Households]:
    """Give a server's database of that scale, filled where it is new."""
    name = f"{scale}_bench"
    with server.connection_context():
        known = server.execute_sql("SELECT datname FROM pg_database").fetchall()
        if (name,) not in known:
            server.execute_sql(f"CREATE DATABASE {name}")
    db = create_db("postgresql://", **{**server.connect_params, "dbname": name})
    click.echo(f"{name}: {SCALES[scale]:,} doses")
    if (name,) in known:
        return db, Households(SCALES[scale])
    list(migrate(db))
    filling = psycopg2.connect(**db.connect_params)
    households = fill(filling, SCALES[scale])
    filling.close()
    return db, households


def compare(call: Call, both: Sequence[tuple[Database, Households]], rounds: int) -> list[float]:
    """Give the lower quartile of a call in each database, in microseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range((1 + rounds) * HOUSEHOLDS):
        for place in (0, 1) if turn % 2 else (1, 0):
            db, households = both[place]
            with db.connection_context():
                number = turn % HOUSEHOLDS * (households.recipients // HOUSEHOLDS)
                repositories = Repositories(db)
                taken = time_call(call, repositories, db.connection(), households, number)
                if turn >= HOUSEHOLDS:  # met before
                    times[place].append(taken)
    return [statistics.quantiles(one, n=4)[0] for one in times]


@click.command()
@click.option("--scale", type=click.Choice(list(SCALES)), default="medium", show_default=True)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="How often each household is met.",
)
@click.option("--url", help="A server's, where both databases are kept.")
def main(scale: str, rounds: int, url: str | None) -> None:
    """Measure each call in both databases, another household at each turn."""
    with server_folder() as folder:
        server = create_db(url or f"embedded://{folder}/data")
        both = [filled(server, one) for one in (SMALL, scale)]
        ratios = []
        click.echo(f"\n{'lower quartile, µs':48}{SMALL:>10}{scale:>10}{'ratio':>8}")
        with processors_awake():
            for call in CALLS:
                few, many = compare(call, both, rounds)
                ratios.append(many / few)
                click.echo(f"{call.name:48}{few:10.0f}{many:10.0f}{many / few:8.2f}")
        click.echo(f"geometric mean {geometric_mean(ratios):.2f}, highest {max(ratios):.2f}")
        for db, _ in both:
            db.close_all()
        server.close_all()


if __name__ == "__main__":
    main()
