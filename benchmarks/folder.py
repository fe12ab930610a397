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


@contextmanager
def server_folder() -> Iterator[str]:
    """Make a folder; at the end its server ``data`` is stopped, and it is gone, SIGTERM or not."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with tempfile.TemporaryDirectory(prefix="homethrive-bench-") as folder:
            try:
                yield folder
            finally:
                _stop(Path(folder, "data", "postmaster.pid"))
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(pid_file: Path) -> None:
    """Stop a server at once: nobody wants its data."""
    if not pid_file.exists():
        return
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
    latest = time.monotonic() + _PATIENCE
    while pid_file.exists() and time.monotonic() < latest:
        time.sleep(0.01)
