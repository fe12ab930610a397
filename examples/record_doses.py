"""A worker of one's own: dose events from standard input, recorded in batches of a thousand.

DATABASE_URL=postgresql://… python examples/record_doses.py < events.ndjson
"""

import json
import sys
from datetime import datetime
from itertools import islice

from homethrive_db import DoseReport, Repositories, ValidationError, get_db


def read(line):
    """Make a report of one line; raises ValidationError or ValueError for a bad one."""
    event = json.loads(line)
    for key in ("scheduled_for", "taken_at"):
        event[key] = datetime.fromisoformat(event[key])
    return DoseReport(**event)


doses_taken = Repositories(get_db()).doses_taken
while lines := list(islice(sys.stdin, 1000)):
    reports = []
    for line in lines:
        try:
            reports.append(read(line))
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            print(f"refused: {error}", file=sys.stderr)
    for outcome in doses_taken.mark_taken_many(reports):  # one statement, safe to repeat
        print(outcome.status, outcome.report.schedule_id, outcome.report.scheduled_for)
