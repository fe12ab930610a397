"""Whether the zones in use mean the same to everything that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homethrive_db.database import Database
from homethrive_db.doses.stored_zones import (
    UnknownZone,
    Zoneless,
    list_zoneless,
    unknown_zones,
    zones_in_use,
)
from homethrive_db.doses.zone_copies import (
    Copy,
    ZoneDifference,
    differences,
    package_copy,
    server_copy,
    system_copy,
)
from homethrive_db.local_days import NODE_ZONE


@dataclass(frozen=True, slots=True)
class ListedZoneless:
    """Schedules without a zone, with the ids of some."""

    group: Zoneless
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ZoneCheck:
    """What a check of the zones in use found. Names nobody: ids and zones only."""

    server: Copy
    system: Copy | None
    """None where there are no zone files, as in slim containers: the package's are enough."""
    package: Copy
    zones: tuple[str, ...]
    """The names in use, and the one that the Node service takes where there is none."""
    differences: tuple[ZoneDifference, ...]
    unknown: tuple[UnknownZone, ...]
    zoneless: tuple[ListedZoneless, ...]

    @property
    def is_clean(self) -> bool:
        """Say whether nothing was found; schedules that have ended are none of it."""
        read_in_two_ways = any(not one.group.have_ended for one in self.zoneless)
        return not (self.differences or self.unknown or read_in_two_ways)


def check_zones(db: Database, since: datetime, until: datetime, *, limit: int) -> ZoneCheck:
    """Check the zones in use, their data from *since* to before *until*. Changes nothing.

    At most *limit* ids of each kind are listed.
    """
    uses = zones_in_use(db)
    names = sorted({NODE_ZONE, *(use.zone for use in uses)})
    return ZoneCheck(
        server=server_copy(db),
        system=system_copy(),
        package=package_copy(),
        zones=tuple(names),
        differences=tuple(differences(db, names, since, until)),
        unknown=tuple(unknown_zones(db, uses, limit=limit)),
        zoneless=tuple(ListedZoneless(group, ids) for group, ids in list_zoneless(db, limit=limit)),
    )
