"""Runs the command line as a user does: as a process of its own."""

import os
import subprocess
import sys

PROGRAM = [sys.executable, "-m", "homethrive_db.cli"]


def run_command(*arguments, url=None, folder=None, **variables):
    """Run ``homethrive-db`` with ``DATABASE_URL`` set to *url*, or unset."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [*PROGRAM, *arguments],
        env={**environment, **({"DATABASE_URL": url} if url else {}), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def unmeasured():
    """Give an environment for a process to be interrupted, in which coverage measures nothing.

    An interrupt may find it with its own lock in hand, which nobody would let go of any more.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
