"""A worker that reminds: whoever is to take a dose is told when it is due.

DATABASE_URL=postgresql://… python examples/remind.py --ahead 10 --health /tmp/remind.health

Replace `deliver`; the rest may stay. Any number of these may run at once, and may be killed: each
dose is enqueued once, and claimed by one worker at a time. SIGTERM and SIGINT end it between two
batches, with status 0; what trying again cannot mend ends it with status 1.
"""

import argparse
import logging
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue

from homethrive_db import DoseFeed, HomethriveDbError, ReminderLedger, UnavailableError, get_db

KIND = "due"
ENQUEUED = 500  # doses a transaction
CLAIMED = 50  # reminders a batch: all of them have to be delivered within the lease
LEASE = timedelta(minutes=5)
KEPT = timedelta(days=30)
LONGEST_PAUSE = 60.0
LONGEST_DURATION = 366 * 24 * 60.0  # of an option, in minutes or seconds

log = logging.getLogger("remind")
signals = SimpleQueue()  # no Event: a handler that sets one may wait for itself


def deliver(reminder):
    """REPLACE THIS: send it to `reminder.contact`, or raise what went wrong.

    Now and then one is delivered a second time. Where your service takes an idempotency key, give
    it `reminder.id`.
    """
    print(reminder.kind, reminder.id, reminder.contact.user_id, flush=True)


def enqueue(arguments, ledger):
    """Put into the ledger what is due; what is there already stays as it is."""
    now = datetime.now(UTC)
    since = now - timedelta(minutes=arguments.late)
    doses = DoseFeed(get_db()).due(since, now + timedelta(minutes=arguments.ahead))
    while signals.empty() and (batch := list(islice(doses, ENQUEUED))):
        # The first contact is who takes it, or looks after who does not sign in.
        firsts = [one._replace(contacts=one.contacts[:1]) for one in batch]
        with get_db().atomic():
            ledger.enqueue(firsts, KIND)
        arguments.health.touch()


def send(arguments, ledger):
    """Deliver what the ledger has; each is marked as soon as it is delivered."""
    while signals.empty():
        # A reminder that comes hours late may have somebody take two doses at once.
        oldest = datetime.now(UTC) - timedelta(minutes=arguments.late)
        batch = ledger.claim(KIND, limit=CLAIMED, lease=LEASE, due_after=oldest)
        if not batch:
            return
        for reminder in batch:
            try:
                deliver(reminder)
            except Exception as error:  # noqa: BLE001  # whatever it is, the others go on
                state = ledger.failed(reminder, str(error))
                log.warning("%s: %s, now %s", reminder.id, type(error).__name__, state)
            else:
                ledger.sent(reminder)
        arguments.health.touch()


def work(arguments):
    """Go round until a signal comes."""
    ledger = ReminderLedger(get_db())
    pause = 1.0
    while signals.empty():
        try:
            enqueue(arguments, ledger)
            send(arguments, ledger)
            # Never what `enqueue` reaches back to: that would be sent again.
            ledger.purge(datetime.now(UTC) - timedelta(minutes=arguments.late) - KEPT)
        except UnavailableError as error:
            log.warning("%s: %s; trying again in %.0f s", error.code, error, pause)
            wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            arguments.health.touch()
            pause = 1.0
            wait(arguments.every)


def wait(seconds):
    """Wait, but no longer than until a signal comes."""
    with suppress(Empty):
        signals.put(signals.get(timeout=seconds))


def duration(text):
    """Read the minutes or seconds of an option."""
    number = float(text)
    if not 0 <= number <= LONGEST_DURATION:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {LONGEST_DURATION:.0f}")
    return number


def main():
    """Read the arguments, and work until a signal comes."""
    parser = argparse.ArgumentParser(description="Remind of doses that are due.")
    parser.add_argument("--every", type=duration, default=30, help="seconds between two rounds")
    parser.add_argument("--ahead", type=duration, default=0, help="minutes to remind before a dose")
    parser.add_argument("--late", type=duration, default=60, help="minutes it may be late")
    parser.add_argument("--health", type=Path, default="remind.health", help="a file to touch")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    try:
        work(arguments)
    except HomethriveDbError as error:
        log.error("%s: %s", error.code, error)
        return 1
    except OSError as error:  # a folder that is not there, a full disk
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
