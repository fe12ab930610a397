"""Gives a benchmark a folder for a server of its own."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 10.0
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def server_folder() -> Iterator[str]:
    """Make a folder; at the end its server ``data`` is stopped, and it is gone, signal or not."""
    before = {one: signal.getsignal(one) for one in _ENDINGS}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(one, lambda number, _frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="homethrive-bench-") as folder:
            try:
                yield folder
            finally:
                _stop(Path(folder, "data", "postmaster.pid"))
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _stop(pid_file: Path) -> None:
    """Stop a server at once: nobody wants its data."""
    if not pid_file.exists():
        return
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
    latest = time.monotonic() + _PATIENCE
    while pid_file.exists() and time.monotonic() < latest:
        time.sleep(0.01)
