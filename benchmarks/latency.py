"""How many round trips a call is: on a way to the server that adds 2 ms to each.

python -m benchmarks.latency
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import click

from benchmarks.calls import CALLS, Call, given
from benchmarks.comparison import undone
from benchmarks.fill import Households, filled
from homethrive_db import Database, Repositories, check_connection, create_db

ROUND_TRIP = 0.002
ROUNDS = 15


class SlowWay:
    """A TCP port from which what is sent reaches a server half a round trip later."""

    def __init__(self, connect: Callable[[], socket.socket], round_trip: float) -> None:
        self._connect = connect
        self._one_way = round_trip / 2
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = self._connect()
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                time.sleep(self._one_way)
                with suppress(BlockingIOError):  # the rest of it has come meanwhile
                    while more := source.recv(1 << 20, socket.MSG_DONTWAIT):
                        data += more
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def slowed(near: Database, round_trip: float = ROUND_TRIP) -> Iterator[Database]:
    """Give the same database in the same mode, a slow way off."""
    server = near.connect_params | _address(near)

    def connect() -> socket.socket:
        if server["host"].startswith("/"):
            reached = socket.socket(socket.AF_UNIX)
            reached.connect(f"{server['host']}/.s.PGSQL.{server['port']}")
            return reached
        return socket.create_connection((server["host"], server["port"]))

    way = SlowWay(connect, round_trip)
    parameters = {**server, "host": "127.0.0.1", "port": way.port, "sslmode": "disable"}
    far = create_db("postgresql://", prepared=near.options.prepared, **parameters)
    try:
        yield far
    finally:
        far.close_all()


def _address(db: Database) -> dict[str, Any]:
    with db.connection_context():
        connected = db.connection().info
        return {
            "host": connected.host,
            "port": connected.port,
            "user": connected.user,
            "dbname": connected.dbname,
            **({"password": connected.password} if connected.password else {}),
        }


def quickest(db: Database, call: Call, households: Households) -> float:
    """Time a call, in seconds: what else the machine does only adds."""
    taken = []
    for number in range(ROUNDS):
        with db.connection_context(), undone(db.connection(), call):
            run = call.bound(Repositories(db), households, number)
            began = time.perf_counter()
            run()
            taken.append(time.perf_counter() - began)
    return min(taken)


class _Question(Call):
    """The shortest there is, to tell what a round trip takes."""

    def bound(self, calls: Repositories, *_: object) -> Callable[[], None]:
        """Give what sends it."""
        return partial(check_connection, calls.users._db)


_QUESTION = _Question("SELECT 1", lambda *_: given())


def round_trips(near: Database, households: Households) -> Iterator[tuple[Call, float]]:
    """Tell of each call how many round trips it is: what a slow way adds to it, and to a query."""
    with slowed(near) as far:
        here, there = (quickest(db, _QUESTION, households) for db in (near, far))
        trip = there - here
        for call in CALLS:
            here, there = (quickest(db, call, households) for db in (near, far))
            yield call, (there - here) / trip


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    """Print a line for each call."""
    with filled("tiny") as (db, households):
        print(f"{'call':48}{'round trips':>14}")
        for call, trips in round_trips(db, households):
            print(f"{call.name:48}{trips:14.2f}")


if __name__ == "__main__":
    main()
