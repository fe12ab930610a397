"""How values of a row are read: ids as UUID, instants in UTC, whatever zone the session has, JSON.

A row has up to four ids and three instants; psycopg2's own readers take longer for all of them.

Ids of new rows are made here too, by the same short cut.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from json import JSONDecoder
from typing import Any
from uuid import UUID

from psycopg2.extensions import (
    PYDATETIMETZ,
    new_array_type,
    new_type,
    register_adapter,
    register_type,
)
from psycopg2.extras import UUID_adapter

_UUID_OID, _UUID_ARRAY_OID = 2950, 2951
_TIMESTAMPTZ_OID = 1184
_JSON_OID = 114

# UUID(text) checks what the server has checked: here its two fields are filled in.
_new = object.__new__
_fields: Any = UUID
_set_int, _set_is_safe = _fields.int.__set__, _fields.is_safe.__set__
_IS_SAFE = UUID(int=0).is_safe

_VERSION_4 = UUID(int=0, version=4).int
_RANDOM_BITS = UUID(int=2**128 - 1, version=4).int ^ _VERSION_4

_decoder: Any = JSONDecoder()
_scan = _decoder.scan_once

_KEPT_IDS = 5_000
_kept_ids: dict[str, UUID] = {}


def _uuid(text: Any, _cursor: Any) -> UUID | None:
    """Read a uuid. Rows that come together have many in common."""
    value = _kept_ids.get(text)
    if value is None and text is not None:
        value = _of_number(int(text.replace("-", ""), 16))
        if len(_kept_ids) >= _KEPT_IDS:
            _kept_ids.clear()
        _kept_ids[text] = value
    return value


def _of_number(number: int) -> UUID:
    value = _new(UUID)
    _set_int(value, number)
    _set_is_safe(value, _IS_SAFE)
    return value


def new_ids(count: int) -> list[UUID]:
    """Make random ids, version 4 of RFC 9562; for thousands it takes a third of ``uuid4``."""
    random = os.urandom(16 * count)
    return [
        _of_number(int.from_bytes(random[at : at + 16], "big") & _RANDOM_BITS | _VERSION_4)
        for at in range(0, len(random), 16)
    ]


def _utc(text: Any, cursor: Any) -> datetime | None:
    """Read a timestamptz."""
    if text is None:
        return None
    try:
        value: datetime = datetime.fromisoformat(text)
    except ValueError:  # infinity, a year before Christ, an offset with seconds
        value = PYDATETIMETZ(text, cursor)
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _json(text: Any, _cursor: Any) -> Any:
    """Read a json value; what the server has made of rows begins with its bracket."""
    if text is None:
        return None
    return _scan(text, 0)[0] if text[0] == "[" else _decoder.decode(text)


_UUID = new_type((_UUID_OID,), "UUID", _uuid)
_TYPES = (
    _UUID,
    new_array_type((_UUID_ARRAY_OID,), "UUID[]", _UUID),
    new_type((_TIMESTAMPTZ_OID,), "UTC_TIMESTAMPTZ", _utc),
    new_type((_JSON_OID,), "JSON", _json),
)


def register_types(connection: Any) -> None:
    """Have *connection* read values so, and psycopg2 take a UUID as one."""
    register_adapter(UUID, UUID_adapter)
    for one in _TYPES:
        register_type(one, connection)
