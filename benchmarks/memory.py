"""What a process holds in memory, however much it reads: ``homethrive-db record``, and ``iter_``.

    python -m benchmarks.memory --lines 1000000 --rows 1000000

Each is a process of its own, for a tenth of the number and for the number.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import click

from benchmarks.calls import NOW
from benchmarks.fill import Households, filled, url_of
from homethrive_db import Database

_ITERATION = """
import sys
from datetime import UTC, datetime
from homethrive_db import Repositories, create_db
doses_taken = Repositories(create_db(sys.argv[1])).doses_taken
ages = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
rows = doses_taken.iter_by_recipient(sys.argv[2], sys.argv[3], *ages)
print(sum(1 for _ in rows))
"""


# A process between: what one that is begun held at most counts what its parent held then.
_BETWEEN = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak(arguments: list[str], **environment: str) -> tuple[float, int]:
    """Run a process; give its seconds and the most that it held, in kilobytes."""
    began = time.perf_counter()
    ended = subprocess.run(  # noqa: S603  # this program's own
        [sys.executable, "-I", "-S", "-c", _BETWEEN, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - began, int(ended.stdout)


def write_events(path: Path, households: Households, lines: int, first_day: int) -> None:
    """Write events of all users by turns, each of a dose of its own."""
    with path.open("w") as file:
        for number in range(lines):
            due = NOW + timedelta(days=first_day, minutes=number // households.recipients)
            file.write(
                f'{{"user_id": "{households.user(number)}", '
                f'"schedule_id": "{households.schedule(number)}", '
                f'"scheduled_for": "{due.isoformat()}", "taken_at": "{due.isoformat()}"}}\n'
            )


def record_many_doses(db: Database, households: Households, number: int, rows: int) -> None:
    """Give one recipient so many doses, a minute apart."""
    with db.connection_context():
        db.execute_sql(
            "INSERT INTO dose_taken (recipient_id, medication_id, schedule_id, scheduled_for,"
            " taken_at, taken_by_user_id) SELECT %s::uuid, %s::uuid, %s::uuid,"
            " %s + n * interval '1 minute', now(), %s FROM generate_series(1, %s) n",
            (
                str(households.recipient(number)),
                str(households.medication(number)),
                str(households.schedule(number)),
                NOW,
                households.user(number),
                rows,
            ),
        )
        db.execute_sql("ANALYZE dose_taken")


def show(what: str, count: int, seconds: float, kilobytes: int) -> None:
    """Print a line."""
    click.echo(
        f"{what:24}{count:12,}{seconds:8.1f} s{count / seconds:10,.0f} a second"
        f"{kilobytes / 1024:8.1f} MB at most"
    )


@click.command()
@click.option("--lines", type=click.IntRange(min=10), default=1_000_000, show_default=True)
@click.option("--rows", type=click.IntRange(min=10), default=1_000_000, show_default=True)
def main(lines: int, rows: int) -> None:
    """Print what each run held."""
    with (
        tempfile.TemporaryDirectory(prefix="homethrive-bench-") as folder,
        filled("tiny") as (db, households),
    ):
        url = url_of(db)
        for turn, count in enumerate((rows // 10, rows)):
            record_many_doses(db, households, turn, count)
            recipient = str(households.recipient(turn))
            arguments = ["-c", _ITERATION, url, households.user(turn), recipient]
            show("iter_by_recipient", count, *peak([sys.executable, *arguments]))
        for turn, count in enumerate((lines // 10, lines)):
            events = Path(folder, "events.ndjson")
            write_events(events, households, count, first_day=(turn + 1) * 10_000)
            command = [sys.executable, "-m", "homethrive_db.cli", "record", str(events)]
            show("homethrive-db record", count, *peak(command, DATABASE_URL=url))


if __name__ == "__main__":
    main()
