"""One migrator at a time: an advisory lock that ends with its transaction.

Not a session's lock, which a transaction-pooling proxy would hand to a stranger. Waiters poll: one
that blocked would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for every snapshot to end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from homethrive_db.backoff import attempts
from homethrive_db.database import Database
from homethrive_db.errors import MigrationError

# "homethrive_db migrations" as a number that no other program is likely to lock.
KEY = 0x686F6D6574687269
_CLASS, _OBJECT = KEY >> 32, KEY & 0xFFFFFFFF

_LONGEST_PAUSE = 0.5

_HOLDER = """
SELECT pid, application_name, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s AND objsubid = 1
    AND datname = current_database()
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who migrates now; ``since`` is None where the server does not tell."""

    pid: int
    application_name: str
    since: datetime | None

    def __str__(self) -> str:
        since = f" since {self.since:%H:%M:%S} UTC" if self.since else ""
        return f"process {self.pid} ({self.application_name or 'unnamed'}){since}"


Listener = Callable[[object], object]
"""Hears what is waited for; its argument reads as a sentence."""


@contextmanager
def migration_lock(
    db: Database, *, wait: float, on_wait: Listener = lambda _: None
) -> Iterator[None]:
    """Hold the lock for the block, which is a transaction.

    Waits up to *wait* seconds; *on_wait* hears of each holder that it waits for. Raises
    MigrationError (``MIGRATION_LOCKED``) where the lock does not come free in time.
    """
    told = None
    for is_last in attempts(wait, _LONGEST_PAUSE):
        with db.deadline(math.inf), db.atomic():
            if db.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", (KEY,)).fetchone()[0]:
                # It is idle while a file without a transaction runs on another connection.
                db.execute_sql(
                    "SELECT set_config('idle_in_transaction_session_timeout', '0', true)"
                )
                yield
                return
            holder = _holder(db)
        if holder is not None and holder.pid != told:
            told = holder.pid
            on_wait(holder)
        if is_last:
            raise MigrationError(
                f"another migration did not end within {wait:g} seconds: "
                f"{holder or 'its process does not show'}",
                "MIGRATION_LOCKED",
                {"pid": holder.pid if holder else None},
            )


def _holder(db: Database) -> Holder | None:
    row = db.execute_sql(_HOLDER, (_CLASS, _OBJECT)).fetchone()
    return Holder(*row) if row else None
