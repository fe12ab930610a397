r"""A worker that tells of missed doses: neither taken nor skipped, long after they were due.

DATABASE_URL=postgresql://… python examples/missed.py --grace 60 --state /var/lib/missed.json \
    --health /tmp/missed.health

Replace `deliver`; the rest may stay. How far it has come stands in the file --state: started again,
whatever ended it, it goes on there, and tells of each missed dose once. SIGTERM and SIGINT end it
between two batches, with status 0; what trying again cannot mend ends it with status 1.
"""

import argparse
import json
import logging
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue

from homethrive_db import (
    DoseFeed,
    HomethriveDbError,
    ReminderLedger,
    UnavailableError,
    ValidationError,
    get_db,
)

KIND = "missed"
ENQUEUED = 500  # doses a transaction
CLAIMED = 50  # reminders a batch: all of them have to be delivered within the lease
LEASE = timedelta(minutes=5)
LOOKBACK = timedelta(days=1)  # where the first run begins
KEPT = timedelta(days=30)
LONGEST_PAUSE = 60.0
LONGEST_DURATION = 366 * 24 * 60.0  # of an option, in minutes or seconds

log = logging.getLogger("missed")
signals = SimpleQueue()  # no Event: a handler that sets one may wait for itself


def deliver(reminder):
    """REPLACE THIS: tell `reminder.contact`, or raise what went wrong.

    Now and then one is delivered a second time. Where your service takes an idempotency key, give
    it `reminder.id`.
    """
    print(reminder.kind, reminder.id, reminder.contact.user_id, flush=True)


def load(path):
    """Read how far it has come: since and until when doses were due, and the cursor in there."""
    if not path.exists():
        return {"since": (datetime.now(UTC) - LOOKBACK).isoformat(), "until": None, "after": None}
    try:
        place = json.loads(path.read_text())
        if not isinstance(place, dict) or not {"since", "until", "after"} <= place.keys():
            raise ValueError("an object with since, until and after expected")
        check_window(place["since"], place["until"])
    except (ValueError, TypeError) as error:
        raise unusable(path, error) from error
    return place


def unusable(path, error):
    """Say what is wrong with the file, and what to do."""
    return ValueError(
        f"{path} holds something else: {error}; delete it: the last day is then read anew"
    )


def check_window(since, until):
    """Raise ValueError or TypeError for what are no texts of instants, in their order."""
    ends = [datetime.fromisoformat(text) for text in (since, until or since)]
    if any(end.tzinfo is None for end in ends):
        raise ValueError("an instant has no offset from UTC")
    if ends[0] > ends[1]:
        raise ValueError("since is after until")


def store(path, place):
    """Write it in one piece, whatever happens meanwhile."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(place))
    new.replace(path)


def enqueue(arguments, ledger):
    """Put into the ledger what was missed since the last time; all contacts are told."""
    place = load(arguments.state)
    grace = timedelta(minutes=arguments.grace)
    latest = datetime.now(UTC) - grace
    place["until"] = place["until"] or latest.isoformat()  # one that was cut short keeps its end
    since, until = (datetime.fromisoformat(place[one]) for one in ("since", "until"))
    if not since < until <= latest:
        log.warning(
            "%s: nobody is told until doses due at %s are missed; unless the grace has grown, a"
            " clock was ahead: delete it, and the last day is read anew",
            arguments.state,
            max(since, until),
        )
        return
    feed = DoseFeed(get_db())
    try:
        doses = feed.missed(since + grace, until + grace, grace=grace, after=place["after"])
    except ValidationError as error:
        raise unusable(arguments.state, error) from error
    while batch := list(islice(doses, ENQUEUED)):
        with get_db().atomic():
            ledger.enqueue(batch, KIND)
        store(arguments.state, {**place, "after": batch[-1].cursor})
        arguments.health.touch()
        if not signals.empty():
            return
    store(arguments.state, {"since": place["until"], "until": None, "after": None})


def send(arguments, ledger):
    """Deliver what the ledger has; each is marked as soon as it is delivered."""
    while signals.empty() and (batch := ledger.claim(KIND, limit=CLAIMED, lease=LEASE)):
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
            ledger.purge(datetime.now(UTC) - KEPT)
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
    parser = argparse.ArgumentParser(description="Tell of doses that were missed.")
    parser.add_argument("--every", type=duration, default=60, help="seconds between two rounds")
    parser.add_argument(
        "--grace", type=duration, default=60, help="minutes after which one is missed"
    )
    parser.add_argument("--state", type=Path, default="missed.json", help="how far it has come")
    parser.add_argument("--health", type=Path, default="missed.health", help="a file to touch")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    try:
        work(arguments)
    except HomethriveDbError as error:
        log.error("%s: %s", error.code, error)
        return 1
    except (OSError, ValueError) as error:  # a folder that is not there, a file of something else
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
