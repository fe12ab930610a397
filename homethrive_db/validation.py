"""The rules that input must meet, each raising ``ValidationError`` with the field's name.

They run before a connection is used. Rows read from the database never pass through here: the Node
service may have written what we would refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from homethrive_db.enums import Recurrence
from homethrive_db.errors import ValidationError

E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

Rules = Mapping[str, Callable[[Any, str], Any]]
"""The check of each field, called with the value and the field's name."""


NAME_LENGTH = 100
INSTRUCTIONS_LENGTH = 500
DOSAGE_NOTES_LENGTH = 255
SKIP_REASON_LENGTH = 255
MAX_SHARDS = 1_000
MOST_ROWS = 2**31 - 1
"""The highest integer of PostgreSQL."""
ZONE_LENGTH = 64

LONGEST_DURATION = timedelta(days=7)

_REMINDER_KIND = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# PostgreSQL reads these names as abbreviations with a fixed offset, so they would lose their DST.
_ABBREVIATIONS = {
    "CET": "Europe/Brussels",
    "MET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "WET": "Europe/Lisbon",
}


def text(value: object, field: str, *, minimum: int = 0, maximum: int | None = None) -> str:
    """Check text that PostgreSQL can store, *minimum* to *maximum* characters long."""
    if not isinstance(value, str):
        raise ValidationError.of(field, f"text expected, {type(value).__name__} came")
    if not value.isprintable() and _UNSTORABLE.search(value):  # the one is quicker to say
        raise ValidationError.of(field, "text must hold no NUL and no lone surrogate")
    if len(value) < minimum or (maximum is not None and len(value) > maximum):
        bounds = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
        raise ValidationError.of(field, f"{bounds} characters expected, {len(value)} came")
    return str.__str__(value)


def user_id(value: object, field: str = "user_id") -> str:
    """Check the id of a user, as Clerk gives it."""
    if type(value) is str and value and value.isprintable():  # as nearly every one is
        return value
    return text(value, field, minimum=1)


def display_name(value: object, field: str = "display_name") -> str:
    """Check the name a person is shown by: 1 to 100 characters."""
    if type(value) is str and 0 < len(value) <= NAME_LENGTH and value.isprintable():
        return value
    return text(value, field, minimum=1, maximum=NAME_LENGTH)


def medication_name(value: object, field: str = "name") -> str:
    """Check the name of a medication: 1 to 100 characters."""
    return text(value, field, minimum=1, maximum=NAME_LENGTH)


def instructions(value: object, field: str = "instructions") -> str:
    """Check the instructions for a medication: up to 500 characters."""
    return text(value, field, maximum=INSTRUCTIONS_LENGTH)


def dosage_notes(value: object, field: str = "dosage_notes") -> str:
    """Check the notes on a dosage: up to 255 characters."""
    return text(value, field, maximum=DOSAGE_NOTES_LENGTH)


def skip_reason(value: object, field: str = "reason") -> str:
    """Check why a dose was skipped: up to 255 characters."""
    return text(value, field, maximum=SKIP_REASON_LENGTH)


def reminder_kind(value: object, field: str = "kind") -> str:
    """Check the kind of a reminder: a short name like ``due`` or ``missed_late``."""
    kind = text(value, field)
    if not _REMINDER_KIND.fullmatch(kind):
        raise ValidationError.of(
            field, "up to 32 of a-z, 0-9 and _ expected, a letter first, like due"
        )
    return kind


def uuid(value: object, field: str) -> UUID:
    """Check an id; text must be the usual form of 8-4-4-4-12 hexadecimal digits."""
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        raise ValidationError.of(field, f"a UUID expected, {type(value).__name__} came")
    try:
        parsed = UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value.lower():
        raise ValidationError.of(
            field, "a UUID expected, like 6f9619ff-8b86-d011-b42d-00c04fc964ff"
        )
    return parsed


def boolean(value: object, field: str) -> bool:
    """Check a truth value; 0, 1 and text are none."""
    if not isinstance(value, bool):
        raise ValidationError.of(field, f"True or False expected, {type(value).__name__} came")
    return value


def count(value: object, field: str, maximum: int | None = None) -> int:
    """Check how many: a whole number from 1, up to *maximum* if there is one."""
    if type(value) is not int or value < 1 or (maximum is not None and value > maximum):
        bounds = "from 1" if maximum is None else f"from 1 to {maximum}"
        raise ValidationError.of(field, f"a whole number {bounds} expected")
    return value


def seconds(value: object, field: str) -> float:
    """Check a number of seconds, infinity included; one of 0 or less has passed already."""
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise ValidationError.of(field, "a number of seconds expected")
    return value


def instant(value: object, field: str) -> datetime:
    """Check an aware datetime; gives it in UTC, as PostgreSQL stores it: to the microsecond."""
    if not isinstance(value, datetime):
        raise ValidationError.of(field, f"a datetime expected, {type(value).__name__} came")
    if value.tzinfo is UTC and type(value) is datetime:
        return value
    if value.utcoffset() is None:
        raise ValidationError.of(field, "a datetime with a time zone expected, a naive one came")
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        raise ValidationError.of(field, "the datetime is outside the years 1 to 9999") from None
    return datetime.combine(utc.date(), utc.timetz())  # a subclass may be finer


def scheduled_instant(value: object, field: str = "scheduled_for") -> datetime:
    """Check the instant of a dose: aware, in whole milliseconds.

    The Node service truncates to milliseconds, so a finer key would be a second dose to it.
    """
    checked = instant(value, field)
    if checked.microsecond % 1000:
        raise ValidationError.of(field, "whole milliseconds expected, microseconds came")
    return checked


def key(value: object, field: str) -> tuple[datetime, UUID]:
    """Check the key of a row in a list: an instant and an id."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValidationError.of(field, "an instant and an id expected, as a tuple")
    return instant(value[0], field), uuid(value[1], field)


def window(
    start: object, end: object, fields: tuple[str, str] = ("start", "end")
) -> tuple[datetime, datetime]:
    """Check a stretch of time that does not end before it starts; gives it in UTC."""
    first, last = (instant(one, field) for one, field in zip((start, end), fields, strict=True))
    if first > last:
        raise ValidationError.of(fields[0], f"it must not be after {fields[1]}")
    return first, last


def shard(value: object, field: str = "shard") -> tuple[int, int]:
    """Check which of how many shards is meant: ``(i, n)``, with 0 <= i < n."""
    match value:
        case (number, of) if type(number) is type(of) is int and 0 <= number < of <= MAX_SHARDS:
            return number, of
    raise ValidationError.of(field, f"(i, n) with 0 <= i < n <= {MAX_SHARDS} expected")


def duration(value: object, field: str) -> timedelta:
    """Check a length of time; zero is one, a negative one is not."""
    if not isinstance(value, timedelta):
        raise ValidationError.of(field, f"a timedelta expected, {type(value).__name__} came")
    if value < timedelta():
        raise ValidationError.of(field, "it must not be negative")
    return value


def positive_duration(value: object, field: str) -> timedelta:
    """Check a length of time: more than nothing, and seven days at most."""
    length = duration(value, field)
    if not timedelta() < length <= LONGEST_DURATION:
        raise ValidationError.of(field, "more than nothing and at most seven days expected")
    return length


def day(value: object, field: str) -> date:
    """Check a calendar date; a datetime is none."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValidationError.of(field, f"a date expected, {type(value).__name__} came")
    return value


def time_of_day(value: object, field: str = "time_of_day") -> time:
    """Check a local time of day, a ``time`` or "HH:MM": whole minutes, no zone."""
    if isinstance(value, str):
        if not _TIME_OF_DAY.fullmatch(value):
            raise ValidationError.of(field, "a time HH:MM expected, like 08:30")
        return time(int(value[:2]), int(value[3:]))
    if not isinstance(value, time):
        raise ValidationError.of(field, f"a time expected, {type(value).__name__} came")
    if value.second or value.microsecond or value.tzinfo is not None:
        raise ValidationError.of(field, "whole minutes without a zone expected")
    return value.replace(fold=0)


def days_of_week(value: object, field: str = "days_of_week") -> tuple[int, ...] | None:
    """Check ISO days, 1 Monday to 7 Sunday; gives them sorted without duplicates, none as None."""
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ValidationError.of(field, f"ISO days 1 to 7 expected, {type(value).__name__} came")
    days = list(value)
    if not all(type(one) is int and 1 <= one <= 7 for one in days):
        raise ValidationError.of(field, "ISO days expected: 1 (Monday) to 7 (Sunday)")
    return tuple(sorted(set(days))) or None


def recurrence(value: object, field: str = "recurrence") -> Recurrence:
    """Check a ``Recurrence`` or its string value."""
    return member(value, Recurrence, field)


def member(value: Any, kind: type[E], field: str) -> E:
    """Check a member of the enum *kind*, or its string value."""
    try:
        return kind(value)
    except ValueError:
        expected = ", ".join(kind)
        raise ValidationError.of(field, f"one of {expected} expected") from None


def zone(value: object, field: str = "timezone") -> str:
    """Check an IANA time zone name; gives the one to store.

    https://www.iana.org/time-zones, as packaged by tzdata; case counts.
    """
    name = text(value, field, minimum=1, maximum=ZONE_LENGTH)
    if name not in _iana_zones():
        raise ValidationError.of(field, "an IANA time zone expected, like America/New_York")
    return _ABBREVIATIONS.get(name, name)


@cache
def _iana_zones() -> frozenset[str]:
    """Read the names from the tzdata package, the same on every machine."""
    from importlib.resources import files  # slow to import, and needed for zones only

    names = files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(names) - {"Factory"}


def made(value: object, kind: type[T], field: str) -> T:
    """Check that a value is a *kind*, which has checked its fields when it was made."""
    if not isinstance(value, kind):
        raise ValidationError.of(field, f"a {kind.__name__} expected, {type(value).__name__} came")
    return value


def mapping(value: object, field: str) -> Mapping[Any, Any]:
    """Check a mapping."""
    if not isinstance(value, Mapping):
        raise ValidationError.of(field, f"a mapping expected, {type(value).__name__} came")
    return value


def each(values: object, field: str) -> Iterator[Any]:
    """Check that there are values to go through, and no text, which is one value."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValidationError.of(field, f"a list expected, {type(values).__name__} came")
    return iter(values)


def all_made(values: object, kind: type[T], field: str) -> Iterator[T]:
    """Check that each value is of *kind*, when its turn comes."""
    return (made(one, kind, field) for one in each(values, field))


def optional(rule: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Make of *rule* one that lets None pass."""

    def check(value: object, field: str) -> Any:
        return None if value is None else rule(value, field)

    return check


USER_PROFILE: Rules = {
    "email": optional(text),
    "display_name": optional(display_name),
    "image_url": optional(text),
}
CARE_RECIPIENT: Rules = {"display_name": display_name, "timezone": zone}
MEDICATION: Rules = {"name": medication_name, "instructions": optional(instructions)}
SCHEDULE: Rules = {
    "recurrence": recurrence,
    "time_of_day": time_of_day,
    "start_date": day,
    "days_of_week": days_of_week,
    "timezone": optional(zone),
    "end_date": optional(day),
    "dosage_notes": optional(dosage_notes),
}
_REVISION: Rules = {field: rule for field, rule in SCHEDULE.items() if field != "start_date"}
DOSE: Rules = {
    "schedule_id": uuid,
    "scheduled_for": scheduled_instant,
    "taken_at": instant,
}


def changes(rules: Rules, values: Mapping[str, object]) -> dict[str, Any]:
    """Check the fields that are to change; one without a rule cannot."""
    checked = {}
    for field, value in values.items():
        rule = rules.get(field)
        if rule is None:
            raise ValidationError.of(field, f"one of {', '.join(rules)} expected")
        checked[field] = rule(value, field)
    return checked


def schedule_changes(values: Mapping[str, object]) -> dict[str, Any]:
    """Check what is to change of a schedule, as far as it shows without the stored row."""
    return _consistent(changes(SCHEDULE, values))


def _consistent(checked: dict[str, Any]) -> dict[str, Any]:
    if {"recurrence", "days_of_week"} <= checked.keys():
        schedule_days(checked["recurrence"], checked["days_of_week"])
    if {"start_date", "end_date"} <= checked.keys():
        schedule_dates(checked["start_date"], checked["end_date"])
    return checked


def schedule_revision(effective: object, values: Mapping[str, object]) -> dict[str, Any]:
    """Check what is to change of a schedule from the date *effective* on."""
    start = day(effective, "effective")
    if "start_date" in values:
        raise ValidationError.of("start_date", "the new schedule starts on effective")
    return _consistent({**changes(_REVISION, values), "start_date": start})


def schedule_days(recurrence: Recurrence, days: tuple[int, ...] | None) -> None:
    """Check that a weekly schedule has days and a daily one has none."""
    if (recurrence is Recurrence.WEEKLY) is (days is None):
        raise wrong_days()


def schedule_dates(start: date, end: date | None) -> None:
    """Check that a schedule does not end before it starts."""
    if end is not None and end < start:
        raise wrong_dates()


def wrong_days() -> ValidationError:
    """Make the error for days that do not fit the recurrence."""
    return ValidationError.of("days_of_week", "weekly needs at least one day, daily has none")


def wrong_dates(field: str = "end_date") -> ValidationError:
    """Make the error for an end, called *field*, before the start."""
    return ValidationError.of(field, "it must not be before start_date")
