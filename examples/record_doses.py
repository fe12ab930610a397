"""A worker of one's own: dose events from standard input, recorded in batches of a thousand.

DATABASE_URL=postgresql://… python examples/record_doses.py < events.ndjson

It ends with 0, with 1 where a line was refused or a dose not recorded, with 2 after an error, and
with 130 when it is interrupted.
"""

import json
import sys
from datetime import datetime
from itertools import islice

from homethrive_db import DoseReport, HomethriveDbError, Repositories, ValidationError, get_db

KEYS = ("user_id", "schedule_id", "scheduled_for", "taken_at")


def read(line):
    """Make a report of one line; raises ValidationError, ValueError or TypeError for a bad one."""
    try:
        event = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")
    if missing := [key for key in KEYS if key not in event]:
        raise ValueError(f"{', '.join(missing)} missing")
    user_id, schedule_id, *instants = (event[key] for key in KEYS)  # further fields are ignored
    return DoseReport(user_id, schedule_id, *map(datetime.fromisoformat, instants))


class Worker:
    """Records the events of a stream, and knows how far it came."""

    def __init__(self, doses_taken):
        self.doses_taken = doses_taken
        self.settled = self.refused = 0

    def record(self, stream):
        """Record all events; what is no event is refused by its line."""
        numbered = enumerate(stream, 1)
        while lines := list(islice(numbered, 1000)):
            reports = list(self.read_all(lines))
            outcomes = self.doses_taken.mark_taken_many(reports)  # one statement, safe to repeat
            self.settled, _ = lines[-1]
            for outcome in outcomes:
                self.refused += outcome.dose is None
                print(outcome.status, outcome.report.schedule_id, outcome.report.scheduled_for)

    def read_all(self, lines):
        """Give the reports of numbered lines; blank ones are skipped."""
        for number, line in lines:
            try:
                if line.strip():
                    yield read(line)
            except (ValidationError, ValueError, TypeError) as error:
                self.refused += 1
                print(f"line {number} is refused: {error}", file=sys.stderr)


def main():
    """Record standard input; gives the exit status."""
    worker = Worker(Repositories(get_db()).doses_taken)
    try:
        worker.record(sys.stdin.buffer)  # bytes: a line that is no UTF-8 is refused as others are
    except KeyboardInterrupt:
        again = "feed the same again, nothing is recorded twice"
        print(f"interrupted: {worker.settled:,} lines are settled; {again}", file=sys.stderr)
        return 130
    return 1 if worker.refused else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HomethriveDbError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        sys.exit(2)
