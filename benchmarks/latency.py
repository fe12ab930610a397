"""How many round trips a call is: on a way to the server that adds 2 ms to each.

python -m benchmarks.latency
"""

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import click

from benchmarks.calls import CALLS, Call, given
from benchmarks.comparison import time_call
from benchmarks.fill import Households, filled
from homethrive_db import Database, Repositories, check_connection, create_db

ROUND_TRIP = 0.002
ROUNDS = 9
REPEATS = 4


class SlowWay:
    """A TCP port from which what is sent reaches a database's server half a round trip later.

    How long that takes may be changed at any time, by ``round_trip``, in seconds.
    """

    def __init__(self, near: Database, round_trip: float = ROUND_TRIP) -> None:
        self.round_trip = round_trip
        self._near = near
        self._server = near.connect_params | _address(near)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Give the same database in the same mode, at the other end; then it is closed."""
        port = self._listener.getsockname()[1]
        parameters = {**self._server, "host": "127.0.0.1", "port": port, "sslmode": "disable"}
        far = create_db("postgresql://", prepared=self._near.options.prepared, **parameters)
        try:
            yield far
        finally:
            far.close_all()
            with self._listener:
                self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, self._connect() as server:
            answers = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            answers.start()
            self._pump(client, server)
            answers.join()

    def _connect(self) -> socket.socket:
        host, port = self._server["host"], self._server["port"]
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        reached = socket.socket(socket.AF_UNIX)
        reached.connect(f"{host}/.s.PGSQL.{port}")
        return reached

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                time.sleep(self.round_trip / 2)
                with suppress(BlockingIOError):  # the rest of it has come meanwhile
                    while more := source.recv(1 << 20, socket.MSG_DONTWAIT):
                        data += more
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


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


class _Question(Call):
    """The shortest there is, to tell what a round trip takes."""

    def bound(self, calls: Repositories, *_: object) -> Callable[[], None]:
        """Give what sends it."""
        return partial(check_connection, calls.users._db)


_QUESTION = _Question("SELECT 1", lambda *_: given())


def round_trips(near: Database, households: Households) -> Iterator[tuple[Call, float]]:
    """Tell of each call how many round trips it is: what a slow way adds to it, and to a query."""
    way = SlowWay(near)
    with way.database() as far, far.connection_context():
        trip = _added(_QUESTION, way, far, households)
        for call in CALLS:
            yield call, _added(call, way, far, households) / trip


def _added(call: Call, way: SlowWay, far: Database, households: Households) -> float:
    """Tell how much longer a call takes for the way being slow, in seconds.

    On one connection, by turns: two differ by more than a round trip in what a batch takes.
    """
    repositories, connection = Repositories(far), far.connection()

    def timed(round_trip: float, number: int) -> float:
        way.round_trip = round_trip
        return time_call(call, repositories, connection, households, number) / 1e6

    added = []
    for number in range(ROUNDS):
        pairs = [(timed(0, number), timed(ROUND_TRIP, number)) for _ in range(REPEATS)]
        quick, slow = map(min, zip(*pairs, strict=True))  # what else runs only adds
        added.append(slow - quick)
    return statistics.median(added)


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    """Print a line for each call."""
    with filled("tiny") as (db, households):
        print(f"{'call':48}{'round trips':>14}")
        for call, trips in round_trips(db, households):
            print(f"{call.name:48}{trips:14.2f}")


if __name__ == "__main__":
    main()
