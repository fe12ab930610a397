"""What the pool costs beside playhouse's, on one and the same connection."""

import heapq
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from playhouse.pool import PooledPostgresqlDatabase

from benchmarks.folder import server_folder
from homethrive_db import Repositories, User, create_db
from homethrive_db.migrate import migrate
from homethrive_db.repositories.users import _FIND

ROUNDS = 60


class StockPool(PooledPostgresqlDatabase):
    """Playhouse's pool without its query at each checkout."""

    def _is_closed(self, conn: Any) -> bool:  # noqa: ARG002  # playhouse's signature
        return False

    def lend(self, connection: Any) -> None:
        """Put a connection of somebody else's into the pool."""
        heapq.heappush(self._connections, (time.time(), 0, connection))


def microseconds(call: Callable[[], object], count: int) -> float:
    """Time a call."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count * 1e6


def compare(name: str, stock: Callable[[], object], ours: Callable[[], object], count: int) -> None:
    """Measure both by turns; print the medians and their ratio, with quartiles."""
    for call in (stock, ours):
        microseconds(call, count)
    pairs = [(microseconds(stock, count), microseconds(ours, count)) for _ in range(ROUNDS)]
    theirs, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, ratio, high = statistics.quantiles([b / a for a, b in pairs], n=4)
    print(f"{name:28} {theirs:8.2f} µs {mine:8.2f} µs   {ratio:.2f} ({low:.2f} to {high:.2f})")


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    """Print a line for each of the two."""
    with server_folder() as folder:
        db = create_db(f"embedded://{Path(folder) / 'data'}")
        list(migrate(db))
        users = Repositories(db).users
        users.upsert("user_1")
        stock = StockPool("homethrive", autoconnect=False)
        with db.connection_context():
            stock.lend(db.connection())
        sql = _FIND.compiled()

        def cycle(pool: Any) -> Callable[[], None]:
            def call() -> None:
                pool.connect()
                pool.close()

            return call

        def find_on_stock() -> User:
            stock.connect()
            rows = stock.execute_sql(sql, {"clerk_user_id": "user_1"}).fetchall()
            stock.close()
            return User(*rows[0])

        print(f"{'':28} {'stock pool':>11} {'ours':>11}   ratio (quartiles)")
        compare("checkout and return", cycle(stock), cycle(db), 1000)
        compare("users.find_by_clerk_user_id", find_on_stock,
                lambda: users.find_by_clerk_user_id("user_1"), 200)  # fmt: skip
        db.close_all()


if __name__ == "__main__":
    main()
