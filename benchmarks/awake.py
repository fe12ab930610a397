"""Keeps processors from sleeping while something is measured that takes microseconds.

An idle processor of a virtual machine takes up to 0.1 ms to wake, at each message that client and
server send each other: as long as a call, and nothing of either.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processors_awake() -> Iterator[None]:
    """Keep all of them busy with nothing, at the lowest priority."""
    fresh = multiprocessing.get_context("spawn")
    spinning = [fresh.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for one in spinning:
        one.start()
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.join()


def _spin() -> None:
    os.nice(19)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it ends it
    parent = os.getppid()
    while os.getppid() == parent:
        pass
