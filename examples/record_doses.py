"""A worker of one's own: dose events from standard input, recorded in batches of a thousand.

DATABASE_URL=postgresql://… python examples/record_doses.py < events.ndjson
"""

import json
import sys
from datetime import datetime
from itertools import islice

from homethrive_db import DoseReport, HomethriveDbError, Repositories, ValidationError, get_db

KEYS = ("user_id", "schedule_id", "scheduled_for", "taken_at")


def read(line):
    """Make a report of one line; raises ValidationError, ValueError or TypeError for a bad one."""
    event = json.loads(line)
    if missing := [key for key in KEYS if key not in event]:
        raise ValueError(f"{', '.join(missing)} missing")
    user_id, schedule_id, *instants = (event[key] for key in KEYS)  # further fields are ignored
    return DoseReport(user_id, schedule_id, *map(datetime.fromisoformat, instants))


def record(stream):
    """Record the events of a stream; what is no event is refused by its line."""
    doses_taken = Repositories(get_db()).doses_taken
    numbered = enumerate(stream, 1)
    while lines := list(islice(numbered, 1000)):
        reports = []
        for number, line in lines:
            try:
                reports.append(read(line))
            except (ValidationError, ValueError, TypeError) as error:
                print(f"line {number} is refused: {error}", file=sys.stderr)
        for outcome in doses_taken.mark_taken_many(reports):  # one statement, safe to repeat
            print(outcome.status, outcome.report.schedule_id, outcome.report.scheduled_for)


if __name__ == "__main__":
    try:
        record(sys.stdin)
    except HomethriveDbError as error:
        sys.exit(f"{error.code}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
