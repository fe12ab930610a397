"""Runs the stock command of peewee-migrate as a process."""

import os
import subprocess
import sys

from homethrive_db.migrate import migrations_folder


def pw_migrate(*arguments, url=None, folder=None):
    """Run ``pw_migrate`` with ``DATABASE_URL`` set to *url*, or unset."""
    environment = {name: os.environ[name] for name in os.environ if name != "DATABASE_URL"}
    directory = folder or migrations_folder()
    return subprocess.run(
        [sys.executable, "-m", "peewee_migrate", *arguments, "--directory", directory],
        env={**environment, **({"DATABASE_URL": url} if url else {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
