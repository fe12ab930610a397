"""Borrows connections while interrupts come at random: ``python interrupted.py URL``.

They come anywhere between the first step of taking a slot and the last of returning it. Ends with
an error where a slot is lost, or one connection is in two hands.
"""

import random
import signal
import sys
import threading
import time

from homethrive_db import create_db

INTERRUPTS = 300


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but nobody else's."""


def interrupt(*_):
    raise Interrupt


def main(url):
    db = create_db(url, max_connections=2, pool_timeout=2)
    done, wrong = threading.Event(), []

    def ask():
        while not done.is_set():
            with db.connection_context():
                question = time.monotonic_ns()
                if db.execute_sql("SELECT %s", (question,)).fetchone() != (question,):
                    wrong.append(question)

    other = threading.Thread(target=ask)
    other.start()
    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(1)
    for _ in range(INTERRUPTS):
        try:
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 1e-3))
            while True:
                with db.connection_context():
                    pass
        except Interrupt:
            pass
        assert db.is_closed()
    done.set()
    other.join()
    assert wrong == []
    assert db.stats().in_use == 0


if __name__ == "__main__":
    main(sys.argv[1])
