"""What a call costs in a large database beside a small one, by turns on one server.

    python -m benchmarks.growth --scale large

At most 1.3 times is wanted: the indexes have a level or two more, and nothing else may grow. In
both, as many households are met, again and again, by a connection that has read all tables and
indexes before: the first reading of a page costs the disk, or mapping the server's memory. Lower
quartiles, since whatever else a machine does only adds. COPY of the doses of the batch is what the
database itself takes for them, and no call: mean and highest leave it out.
"""

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
import psycopg2

from benchmarks.awake import processors_awake
from benchmarks.bulk import copied, copy
from benchmarks.calls import BATCH, CALLS, Call, given
from benchmarks.comparison import geometric_mean, time_call
from benchmarks.fill import SCALES, Households, fill, read_whole
from benchmarks.folder import server_folder
from homethrive_db import Database, Repositories, create_db
from homethrive_db.migrate import migrate

SMALL = "small"
HOUSEHOLDS = 25
"""From all over each database."""


def memory(server: Database) -> str:
    """Tell what the figures depend on: with small pages the memory's own tables are in the way."""
    with server.connection_context():
        settings = server.execute_sql(
            "SELECT current_setting('shared_buffers'), current_setting('huge_pages_status', true)"
        ).fetchone()
    return "shared_buffers {}, huge pages {}".format(*settings)


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


class Copied(Call):
    """Copies the doses that the batch marks, for what the database itself takes for them."""

    def bound(self, calls: Repositories, households: Households, number: int) -> Any:
        """Give what copies them."""
        lines = copied(households, number, BATCH)
        return partial(copy, calls.users._db.connection(), lines)


COPIED = Copied(f"COPY of {BATCH} such doses", lambda *_: given(), writes=True)


def compare(
    calls: Sequence[Call], both: Sequence[tuple[Database, Households]], rounds: int
) -> dict[Call, list[float]]:
    """Give the lower quartile of each call in each database, in microseconds.

    All calls on a household, then on the next: what else the machine does meets them alike.
    """
    times: dict[Call, tuple[list[float], list[float]]] = {call: ([], []) for call in calls}
    with click.progressbar(range((1 + rounds) * HOUSEHOLDS), label=f"{'measuring':20}") as bar:
        for turn in bar:
            for call, taken in times.items():
                for place in (0, 1) if turn % 2 else (1, 0):
                    taken[place].append(time_turn(call, *both[place], turn % HOUSEHOLDS))
    # The first time a household is met does not count.
    return {
        call: [statistics.quantiles(one[HOUSEHOLDS:], n=4)[0] for one in taken]
        for call, taken in times.items()
    }


def time_turn(call: Call, db: Database, households: Households, number: int) -> float:
    """Time a call on one of the households."""
    household = number * (households.recipients // HOUSEHOLDS)
    with db.connection_context():
        return time_call(call, Repositories(db), db.connection(), households, household)


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
        click.echo(memory(server))
        both = [filled(server, one) for one in (SMALL, scale)]
        for db, _ in both:
            read_whole(db)
        with processors_awake():
            measured = compare([*CALLS, COPIED], both, rounds)
        click.echo(f"\n{'lower quartile, µs':48}{SMALL:>10}{scale:>10}{'ratio':>8}")
        for call, (few, many) in measured.items():
            click.echo(f"{call.name:48}{few:10.0f}{many:10.0f}{many / few:8.2f}")
        ratios = [many / few for call, (few, many) in measured.items() if call is not COPIED]
        click.echo(f"geometric mean {geometric_mean(ratios):.2f}, highest {max(ratios):.2f}")
        for db, _ in both:
            db.close_all()
        server.close_all()


if __name__ == "__main__":
    main()
