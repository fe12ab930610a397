"""A worker of one's own: dose events from standard input, recorded in batches of a thousand.

DATABASE_URL=postgresql://… python examples/record_doses.py < events.ndjson
"""

import json
import sys
from datetime import datetime
from itertools import islice

from homethrive_db import DoseReport, Repositories, ValidationError, get_db

KEYS = ("user_id", "schedule_id", "scheduled_for", "taken_at")


def read(line):
    """Make a report of one line; raises ValidationError, ValueError or TypeError for a bad one."""
    event = json.loads(line)
    if missing := [key for key in KEYS if key not in event]:
        raise ValueError(f"{', '.join(missing)} missing")
    for key in ("scheduled_for", "taken_at"):
        event[key] = datetime.fromisoformat(event[key])
    return DoseReport(**event)


doses_taken = Repositories(get_db()).doses_taken
numbered = enumerate(sys.stdin, 1)
while lines := list(islice(numbered, 1000)):
    reports = []
    for number, line in lines:
        try:
            reports.append(read(line))
        except (ValidationError, ValueError, TypeError) as error:
            print(f"line {number} is refused: {error}", file=sys.stderr)
    for outcome in doses_taken.mark_taken_many(reports):  # one statement, safe to repeat
        print(outcome.status, outcome.report.schedule_id, outcome.report.scheduled_for)
