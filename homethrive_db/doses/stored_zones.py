"""The zones that rows name, and the schedules that have none of their own.

For a schedule without a zone the Node service takes America/New_York, this package the recipient's.
Where those two differ, a schedule is read in two ways until it gets the recipient's zone for its
own. It then no longer follows a recipient who moves, so the others are left without.

No access rule holds here: these are for who looks after the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from peewee import SQL, Cast, Select, fn

from homethrive_db import models
from homethrive_db.database import Database, Row
from homethrive_db.doses.zone_copies import engine_zone
from homethrive_db.local_days import NODE_ZONE
from homethrive_db.statements import (
    Statement,
    array,
    array_bytes,
    input_rows,
    param,
    portions,
    statement,
)

PAGE = 1_000
"""How many schedules get their zone in one transaction."""

_SCHEDULE, _RECIPIENT = models.MedicationSchedule, models.CareRecipient
_FIRST_ID = UUID(int=0)

# Over for whatever zone: the date is a day behind UTC's at most.
_HAS_ENDED = fn.COALESCE(
    _SCHEDULE.end_date < SQL("(statement_timestamp() AT TIME ZONE 'UTC')::date - 1"), SQL("false")
)


@dataclass(frozen=True, slots=True)
class ZoneUse:
    """How many rows of a table name a zone."""

    zone: str
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class UnknownZone:
    """A zone in rows of a table that is no IANA name, and the ids of some of the rows."""

    zone: str
    table: str
    rows: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Zoneless:
    """How many schedules without a zone have recipients in *zone*, which is not New York's.

    *target* is the name that would be written into them; None where the zone is no IANA name. Of
    those that *have_ended* nothing is due any more.
    """

    zone: str
    target: str | None
    have_ended: bool
    schedules: int


def _zones_in_use() -> Statement:
    tables: Sequence[Any] = (_SCHEDULE, _RECIPIENT, models.User)
    counts = [
        table.select(SQL(f"'{table._meta.table_name}'"), table.timezone, fn.COUNT(SQL("*")))
        .where(table.timezone.is_null(False))
        .group_by(table.timezone)
        for table in tables
    ]
    return statement(counts[0].union_all(counts[1]).union_all(counts[2]))


_ZONES_IN_USE = _zones_in_use()
_ROWS_OF_ZONE = {
    table._meta.table_name: statement(
        table.select(Cast(table._meta.primary_key, "text"))
        .where(table.timezone == param("zone"))
        .order_by(table._meta.primary_key)
        .limit(param("limit", "int"))
    )
    for table in (_SCHEDULE, _RECIPIENT, models.User)
}


def _zoneless(*selected: Any) -> Any:
    """Select of the schedules without a zone whose recipients have another than New York's."""
    return (
        _SCHEDULE.select(*selected)
        .join(models.Medication, on=models.Medication.id == _SCHEDULE.medication)
        .join(_RECIPIENT, on=_RECIPIENT.id == models.Medication.recipient)
        .where(_SCHEDULE.timezone.is_null(), _RECIPIENT.timezone != NODE_ZONE)
    )


_COUNT_ZONELESS = statement(
    _zoneless(_RECIPIENT.timezone, _HAS_ENDED, fn.COUNT(SQL("*")))
    .group_by(_RECIPIENT.timezone, SQL("2"))
    .order_by(SQL("2"), _RECIPIENT.timezone)
)


def _list_zoneless() -> Statement:
    """List the first ids of each group in one pass over the table."""
    group = (_RECIPIENT.timezone, _HAS_ENDED.alias("have_ended"))
    number = fn.ROW_NUMBER().over(
        partition_by=[_RECIPIENT.timezone, _HAS_ENDED], order_by=[_SCHEDULE.id]
    )
    rows = _zoneless(*group, _SCHEDULE.id, number.alias("number")).cte("rows")
    return statement(
        Select((rows,), (rows.c.timezone, rows.c.have_ended, Cast(rows.c.id, "text")))
        .where(rows.c.number <= param("limit", "int"))
        .order_by(rows.c.number)
        .with_cte(rows)
    )


_LIST_ZONELESS = _list_zoneless()

_ZONES = input_rows("zones", stored="text", target="text")


def _lock_page() -> Statement:
    """Lock the next schedules by id, and give their recipients' zones.

    In the order of their ids, so that two that do this cannot deadlock; the lock lets the Node
    service go on inserting doses. What got a zone meanwhile is left out.
    """
    locked = (
        _zoneless(_SCHEDULE.id, _ZONES.c.target)
        .join(_ZONES, on=_ZONES.c.stored == _RECIPIENT.timezone)
        .where(
            _SCHEDULE.id >= param("first_id", "uuid"),
            param("ended", "boolean") | ~_HAS_ENDED,
        )
        .order_by(_SCHEDULE.id)
        .limit(PAGE)
        .for_update("FOR NO KEY UPDATE", of=_SCHEDULE)
    )
    return statement(locked.with_cte(_ZONES))


_LOCK_PAGE = _lock_page()
_PAGE = input_rows("page", id="uuid", target="text")
_FIX_PAGE = statement(
    _SCHEDULE.update(
        {_SCHEDULE.timezone: _PAGE.c.target, _SCHEDULE.updated_at: fn.statement_timestamp()}
    )
    .from_(_PAGE)
    .where(_SCHEDULE.id == _PAGE.c.id)
    .with_cte(_PAGE)
)


def zones_in_use(db: Database) -> list[ZoneUse]:
    """Count the rows of schedules, care recipients and users by the zones they name."""
    found = db.rows(_ZONES_IN_USE, {})
    return sorted(
        (ZoneUse(zone, table, rows) for table, zone, rows in found),
        key=lambda use: (use.zone, use.table),
    )


def unknown_zones(db: Database, uses: Sequence[ZoneUse], *, limit: int) -> list[UnknownZone]:
    """Find the rows whose zones are no IANA names; at most *limit* ids of each zone and table."""
    found = []
    for use in uses:
        if engine_zone(use.zone) is None:
            ids = db.rows(_ROWS_OF_ZONE[use.table], {"zone": use.zone, "limit": limit})
            found.append(
                UnknownZone(use.zone, use.table, use.rows, tuple(row_id for (row_id,) in ids))
            )
    return found


def count_zoneless(db: Database) -> list[Zoneless]:
    """Count the schedules that both services read in different zones; those that go on first."""
    return [
        Zoneless(zone, engine_zone(zone), have_ended, schedules)
        for zone, have_ended, schedules in db.rows(_COUNT_ZONELESS, {})
    ]


def list_zoneless(db: Database, *, limit: int) -> list[tuple[Zoneless, tuple[str, ...]]]:
    """Count as ``count_zoneless``, each with at most *limit* ids."""
    groups = count_zoneless(db)
    ids: dict[tuple[str, bool], list[str]] = {}
    for zone, have_ended, schedule_id in db.rows(_LIST_ZONELESS, {"limit": limit}):
        ids.setdefault((zone, have_ended), []).append(schedule_id)
    return [(group, tuple(ids.get((group.zone, group.have_ended), ()))) for group in groups]


def fix_zones(
    db: Database, groups: Sequence[Zoneless], *, ended: bool = False
) -> Iterator[Counter[str]]:
    """Write their recipients' zones into the schedules of *groups*; gives counts page by page.

    Those that have ended only with *ended*. Each page is a transaction, and a schedule that has a
    zone by then keeps it: after whatever ended it, start again; any number may do so at once.
    """
    zones = {group.zone: group.target for group in groups if group.target is not None}
    for some in portions(db, _LOCK_PAGE, list(zones.items()), lambda pair: array_bytes(*pair)):
        values = {
            "stored": array(stored for stored, _ in some),
            "target": array(target for _, target in some),
            "ended": ended,
            "first_id": _FIRST_ID,
        }
        while page := _fix_page(db, values):
            yield Counter(zone for _, zone in page)
            values["first_id"], _ = page[-1]


def _fix_page(db: Database, values: Mapping[str, object]) -> list[Row]:
    """Write the zones of a page; gives its ids, in order, with them.

    Two statements, as in ``schedule_changes``, and the second one has the ids of the first: a
    schedule that lost its zone while that waited would be locked out of order.
    """
    with db.atomic():
        page = db.rows(_LOCK_PAGE, values)
        for some in portions(db, _FIX_PAGE, page, lambda row: array_bytes(*row)):
            targets = {"id": array(id for id, _ in some), "target": array(zone for _, zone in some)}
            db.rows(_FIX_PAGE, targets)
        return page
