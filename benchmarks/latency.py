"""How many round trips a call is: on a way to the server that adds 2 ms to each.

python -m benchmarks.latency
"""

import socket
import statistics
import tempfile
import threading
import time
from contextlib import suppress

import psycopg2

from benchmarks.calls import CALLS, DOSE_CALLS, Call
from benchmarks.comparison import undone
from benchmarks.fill import SCALES, Households, fill
from homethrive_db import Database, Repositories, check_connection, create_db
from homethrive_db.migrate import migrate

ROUND_TRIP = 0.002
ROUNDS = 15


class SlowWay:
    """A TCP port from which what is sent reaches a server's socket a round trip's half later."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._socket_path)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 20):
                time.sleep(ROUND_TRIP / 2)
                with suppress(BlockingIOError):  # the rest of it has come meanwhile
                    while more := source.recv(1 << 20, socket.MSG_DONTWAIT):
                        data += more
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def median(db: Database, call: Call, households: Households) -> float:
    """Time a call, in seconds."""
    taken = []
    for number in range(ROUNDS):
        with db.connection_context(), undone(db.connection(), call):
            began = time.perf_counter()
            call.run(Repositories(db), households, number)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Measure each call on both ways; print what the slow one adds, in round trips."""
    with tempfile.TemporaryDirectory(prefix="homethrive-bench-") as folder:
        near = create_db(f"embedded://{folder}/data")
        list(migrate(near))
        filling = psycopg2.connect(**near.connect_params)
        households = fill(filling, SCALES["tiny"], quiet=True)
        filling.close()
        way = SlowWay(f"{near.connect_params['host']}/.s.PGSQL.5432")
        far = create_db(f"postgresql://postgres@127.0.0.1:{way.port}/homethrive?sslmode=disable")
        question = Call(
            "SELECT 1", lambda repositories, *_: check_connection(repositories.users._db)
        )
        here, there = (median(db, question, households) for db in (near, far))
        trip = there - here
        print(f"one round trip takes {trip * 1e3:.2f} ms\n")
        print(f"{'call':48}{'near':>10}{'far':>10}{'round trips':>14}")
        for call in (*CALLS, *DOSE_CALLS):
            here, there = (median(db, call, households) for db in (near, far))
            trips = (there - here) / trip
            print(f"{call.name:48}{here * 1e3:7.2f} ms{there * 1e3:7.2f} ms{trips:14.2f}")
        far.close_all()
        near.close_all()


if __name__ == "__main__":
    main()
