"""What a feed is asked for, and the conditions that say so in SQL.

They let pass what may be due; whether it is, the recurrence says. A schedule that cannot be passes,
too, to be reported.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from peewee import SQL, Expression, fn

from homethrive_db import models
from homethrive_db.doses.agenda_rows import TOUCHES_DAYS, days_around, records_window
from homethrive_db.statements import array, param

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication


class Shard(NamedTuple):
    """Some of the recipients: those whose number, modulo *of*, is *number*."""

    number: int
    of: int


class FeedWindow(NamedTuple):
    """What a feed is asked for: doses from *since* to before *until*, of all or some recipients."""

    since: datetime
    until: datetime
    shard: Shard | None

    @property
    def length(self) -> timedelta:
        """Tell how long it is."""
        return self.until - self.since

    def values(self) -> dict[str, object]:
        """Bind the conditions."""
        dates = days_around(self.since, self.until)
        first, count = dates["first_day"], (dates["last_day"] - dates["first_day"]).days + 1
        days = {(first + timedelta(days=number)).isoweekday() for number in range(min(count, 7))}
        return {
            "since": self.since,
            "days": array(days),
            "shard_number": self.shard and self.shard.number,
            "shard_of": self.shard and self.shard.of,
            **dates,
            **records_window(self.since, self.until),
        }


def _has_days() -> Any:
    days = _SCHEDULE.days_of_week
    return (
        days.is_null() | Expression(days, "&&", param("days", "smallint[]")) | (days == SQL("'{}'"))
    )


_HAS_DAYS = _has_days()
"""Holds for schedules whose days of the week touch the window."""

_IS_OPEN = _MEDICATION.is_active | (_MEDICATION.inactive_at >= param("since", "timestamptz"))
"""Holds for medications that were active when the window began."""


def _is_in_shard() -> Any:
    uuid = fn.uuid_send(_MEDICATION.recipient)
    number = fn.get_byte(uuid, 14) * 256 + fn.get_byte(uuid, 15)
    off = fn.MOD(number, param("shard_of", "int")) - param("shard_number", "int")
    # Of an equality PostgreSQL would expect one row in 200, and rather read all than look for them.
    return fn.ABS(off) < 1


_IS_IN_SHARD = _is_in_shard()
"""Holds for the recipients of a shard, by the last two bytes of their random ids."""


def conditions(*, is_sharded: bool) -> list[Any]:
    """List what holds for the schedules that may have doses in a window."""
    always = [TOUCHES_DAYS, _HAS_DAYS, _IS_OPEN]
    return [*always, _IS_IN_SHARD] if is_sharded else always
