"""Workers of reminders, to be killed: ``python tests/reminder_workers.py URL COUNT``.

Each prints its process id at each step, so that a test can end it there: when it has claimed, has
delivered, has sent. Those that are killed are replaced. What is delivered goes into the table
deliveries, each ``sent`` that was True into the table said, in one transaction with it.
"""

import os
import sys
import threading
from datetime import timedelta

from homethrive_db import ReminderLedger, create_db

LEASE = timedelta(seconds=1)
PENDING = "SELECT count(*) FROM dose_reminders WHERE state = 'pending'"


def work(url):
    db = create_db(url, max_connections=1)
    ledger = ReminderLedger(db, max_attempts=100)

    def execute(sql, *values):
        with db.connection_context():
            return db.execute_sql(sql, values or None)

    def step():
        os.write(1, f"{os.getpid()}\n".encode())

    while True:
        reminders = ledger.claim("due", limit=3, lease=LEASE)
        for reminder in reminders:
            step()
            execute("INSERT INTO deliveries VALUES (%s)", reminder.id)
            step()
            with db.atomic():
                if ledger.sent(reminder):
                    execute("INSERT INTO said VALUES (%s)", reminder.id)
            step()
        if not reminders:
            if not execute(PENDING).fetchone()[0]:
                return
            threading.Event().wait(0.05)  # others have the rest, or had it when they were killed


def main(url, count):
    def start():
        if os.fork() == 0:
            work(url)
            os._exit(0)

    for _ in range(count):
        start()
    while count:
        _, status = os.wait()
        if os.WIFSIGNALED(status):
            start()
        elif status:
            sys.exit("a worker has failed")
        else:
            count -= 1


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
