"""A worker of reminders whose server goes away and comes back."""

from homethrive_db import create_db
from tests.example_workers import DOSES, end, fill, lines, log, states, worker
from tests.faults.conftest import DATABASE
from tests.waiting import wait_until

# It waits at each delivery, until a line comes; its leases are short, as the test has no time.
HELD = """
import sys
from datetime import timedelta

import remind

def deliver(reminder):
    print(reminder.id, flush=True)
    sys.stdin.readline()

remind.deliver, remind.LEASE, remind.LONGEST_PAUSE = deliver, timedelta(seconds=3), 1
sys.exit(remind.main())
"""


def test_a_worker_outlives_a_restart_of_its_server(server, url, make_db, tmp_path):
    """What was claimed when it went away is delivered again: at least once, and sent once."""
    fill(make_db(url))
    try:
        with worker(HELD, url, tmp_path) as process:
            delivered = lines(process, 1)
            server.stop()
            process.stdin.write("\n")
            wait_until(lambda: log(tmp_path).count("trying again") > 1)
            server.start()
            process.stdin.write("\n" * 2 * DOSES)
            db = create_db(url)
            wait_until(lambda: states(db) == {("due", "sent"): DOSES})
            db.close_all()
            status, rest = end(process)
        delivered += rest.split()
        assert status == 0
        assert delivered.count(delivered[0]) == 2
        assert len(set(delivered)) == DOSES
    finally:
        server.execute("TRUNCATE users CASCADE", database=DATABASE)
