"""Where three copies of the zone data differ: the server's, the system's and the package's.

Doses are computed by Python's zoneinfo alone, which reads the system's zone files, and those of the
package tzdata for a zone that the system lacks. The server's data narrow what SQL looks at.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from peewee import RawQuery

from homethrive_db import validation
from homethrive_db.database import Database
from homethrive_db.errors import ConfigurationError, ValidationError
from homethrive_db.statements import array, statement

SERVER, SYSTEM, PACKAGE = "server", "system", "package"

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


class Change(NamedTuple):
    """From an instant on, a zone is so far off UTC."""

    at: datetime
    offset: timedelta


Timeline = Sequence[Change]
"""How far a zone is off UTC from the first of its instants on, to the minute."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of the zone data: where it is, and its version where that can be told."""

    source: str
    place: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in which a zone's offsets differ, by the copies; no end is open."""

    since: datetime
    until: datetime | None
    offsets: dict[str, str]


@dataclass(frozen=True, slots=True)
class ZoneDifference:
    """A zone about which the copies differ, and the copies that lack it."""

    zone: str
    stretches: tuple[Stretch, ...]
    lacking: tuple[str, ...]


# By 24 hours, since the length of an interval of a day is a matter of the session's zone.
_LEVEL = """{name} AS (
    SELECT zone, moment AS at FROM {wider}, generate_series(at, {end}, '{step}') moment
    WHERE (moment AT TIME ZONE zone) + interval '{step}'
        <> (moment + interval '{step}') AT TIME ZONE zone
)"""
_LEVELS = ",\n".join(
    _LEVEL.format(name=name, wider=wider, end=end, step=step)
    for name, wider, end, step in (
        ("day", "whole", "%(until)s::timestamptz - interval '24 hours'", "24 hours"),
        ("hour", "day", "at + interval '23 hours'", "1 hour"),
        ("minute", "hour", "at + interval '59 minutes'", "1 minute"),
    )
)
# Peewee knows no function in FROM that reads another table of it. A name that the server does not
# know would fail the statement, so its own list goes first.
_SERVER_TIMELINES = statement(
    RawQuery(
        f"""
WITH whole AS (
    SELECT name AS zone, %(since)s::timestamptz AS at
    FROM pg_timezone_names WHERE name = ANY(%(zones)s::text[])
),
{_LEVELS},
change AS (
    SELECT zone, at FROM whole UNION ALL SELECT zone, at + interval '1 minute' FROM minute
)
SELECT zone, at, (at AT TIME ZONE zone) - (at AT TIME ZONE 'UTC') FROM change ORDER BY zone, at
"""  # noqa: S608  # of constants
    )
)
_SERVER_VERSION = statement(RawQuery("SELECT current_setting('server_version')"))


def engine_zone(name: str) -> str | None:
    """Tell under which name the engine looks a stored zone up; None where it refuses it."""
    try:
        return validation.zone(name)
    except ValidationError:
        return None


def system_zone(name: str) -> ZoneInfo | None:
    """Read a zone of the system's zone files; None where they lack it.

    Where zoneinfo looks, so ``PYTHONTZPATH`` has its say. Raises ConfigurationError for a file that
    holds no zone.
    """
    path = next((path for path in _paths(name) if path.is_file()), None)
    if path is None:
        return None
    with path.open("rb") as file:
        try:
            return ZoneInfo.from_file(file, key=name)
        except ValueError as error:
            raise ConfigurationError(f"{path} holds no zone: {error}") from error


def package_zone(name: str) -> ZoneInfo | None:
    """Read a zone of the package tzdata; None where it lacks it."""
    with suppress(FileNotFoundError):
        path = files("tzdata").joinpath("zoneinfo", *name.split("/"))
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=name)
    return None


def server_copy(db: Database) -> Copy:
    """Tell of the server, which knows no version of its zone data."""
    ((version,),) = db.rows(_SERVER_VERSION, {})
    return Copy(SERVER, f"PostgreSQL {version}", None)


def system_copy() -> Copy | None:
    """Tell of the system's zone files; None where there are none, as in slim containers."""
    folder = next((path for path in map(Path, zoneinfo.TZPATH) if path.is_dir()), None)
    if folder is None:
        return None
    versions = (_first_line(folder / name) for name in ("+VERSION", "tzdata.zi"))
    version = next((line.removeprefix("# version").strip() for line in versions if line), None)
    return Copy(SYSTEM, str(folder), version)


def _first_line(path: Path) -> str:
    with suppress(OSError), path.open(encoding="ascii", errors="replace") as file:
        return file.readline()
    return ""


def package_copy() -> Copy:
    """Tell of the package tzdata."""
    tzdata = import_module("tzdata")
    return Copy(PACKAGE, f"tzdata {tzdata.__version__}", tzdata.IANA_VERSION)


def differences(
    db: Database, names: Iterable[str], since: datetime, until: datetime
) -> list[ZoneDifference]:
    """Compare the copies for some zones by their stored names, from *since* to before *until*.

    The engine's own spelling of a name is what the system and the package are asked for, the name
    as stored what the server is. One statement.
    """
    wanted = {name: engine for name in names if (engine := engine_zone(name)) is not None}
    by_server = server_timelines(db, wanted, since, until)
    read: dict[str, Callable[[str], ZoneInfo | None]] = {PACKAGE: package_zone}
    if system_copy() is not None:
        read = {SYSTEM: system_zone, **read}
    found = []
    for name, engine in sorted(wanted.items()):
        timelines: dict[str, Timeline | None] = {SERVER: by_server.get(name)}
        for source, find in read.items():
            zone = find(engine)
            timelines[source] = None if zone is None else timeline(zone, since, until)
        known = {source: one for source, one in timelines.items() if one is not None}
        lacking = tuple(source for source in timelines if source not in known)
        stretches = tuple(disagreements(known))
        if stretches or lacking:
            found.append(ZoneDifference(name, stretches, lacking))
    return found


def server_timelines(
    db: Database, names: Iterable[str], since: datetime, until: datetime
) -> dict[str, list[Change]]:
    """Ask the server when the offsets of zones change; those that it does not know are left out."""
    values = {"zones": array(names), "since": since, "until": until}
    found: dict[str, list[Change]] = {}
    for name, at, offset in db.rows(_SERVER_TIMELINES, values):
        found.setdefault(name, []).append(Change(at.astimezone(UTC), offset))
    return found


def timeline(zone: ZoneInfo, since: datetime, until: datetime) -> list[Change]:
    """Find when the offset of a zone changes, the way the server is asked."""

    def offset(at: datetime) -> timedelta:
        return at.astimezone(zone).utcoffset() or timedelta()

    def changing(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
        moments = (start + number * step for number in range((end - start) // step + 1))
        for before, after in pairwise(moments):
            if offset(before) != offset(after):
                yield before

    return [
        Change(since, offset(since)),
        *(
            Change(minute + _MINUTE, offset(minute + _MINUTE))
            for day in changing(since, until, _DAY)
            for hour in changing(day, day + _DAY, _HOUR)
            for minute in changing(hour, hour + _HOUR, _MINUTE)
        ),
    ]


def disagreements(timelines: Mapping[str, Timeline]) -> Iterator[Stretch]:
    """List the stretches in which the timelines differ, each with the offsets at its beginning."""
    instants = sorted({change.at for one in timelines.values() for change in one})
    beginning: tuple[datetime, dict[str, timedelta]] | None = None
    for at in instants:
        offsets = {source: _offset_at(one, at) for source, one in timelines.items()}
        differ = len(set(offsets.values())) > 1
        if differ and beginning is None:
            beginning = at, offsets
        elif beginning is not None and not differ:
            yield _stretch(*beginning, at)
            beginning = None
    if beginning is not None:
        yield _stretch(*beginning, None)


def _offset_at(timeline: Timeline, at: datetime) -> timedelta:
    return next(change.offset for change in reversed(timeline) if change.at <= at)


def _stretch(since: datetime, offsets: Mapping[str, timedelta], until: datetime | None) -> Stretch:
    return Stretch(since, until, {source: _clock(offset) for source, offset in offsets.items()})


def _clock(offset: timedelta) -> str:
    """Write an offset as clocks do, like -05:00."""
    minutes = abs(offset) // _MINUTE
    return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _paths(name: str) -> Iterator[Path]:
    return (Path(folder, name) for folder in zoneinfo.TZPATH)
