"""The workers among the examples as processes, and a household that keeps them busy."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homethrive_db import Repositories
from homethrive_db.testing.factories import Factory

EXAMPLES = Path(__file__).parents[1] / "examples"
DOSES = 60


def fill(db):
    """Make doses of the user "owner" that were due in the last hour, and one due in two hours."""
    factory = Factory(Repositories(db))
    owner = factory.user("owner")
    medication = factory.medication(factory.own_profile(owner), name="Lisinopril 10 mg")
    factory.caregiver_access(factory.user("carer"), owner)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes in (*(number % 50 + 1 for number in range(DOSES)), -120):
        factory.schedule(
            medication,
            time_of_day=(now - timedelta(minutes=minutes)).time(),
            start_date=now.date() - timedelta(days=2),
            end_date=now.date() + timedelta(days=2),
            timezone="Etc/UTC",
        )


@contextmanager
def worker(program, url, folder, *arguments):
    """Run a worker of the examples; *program* is its file's name, or code that imports it."""
    code = [EXAMPLES / program] if program.endswith(".py") else ["-c", program]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url:
        environment["DATABASE_URL"] = url
    with folder.joinpath("log").open("ab") as log_file:
        process = subprocess.Popen(
            [sys.executable, *code, "--every", "0.05", *arguments],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(EXAMPLES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            bufsize=1,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def lines(process, count):
    return [process.stdout.readline().strip() for _ in range(count)]


def end(process, number=signal.SIGTERM):
    """Ask it to end; gives its exit status and what else it prints."""
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    return process.returncode, rest


def states(db):
    with db.connection_context():
        query = "SELECT kind, state, count(*) FROM dose_reminders GROUP BY kind, state"
        return {(kind, state): count for kind, state, count in db.execute_sql(query)}


def log(folder):
    """Give what the workers of a folder have logged."""
    return folder.joinpath("log").read_text()
