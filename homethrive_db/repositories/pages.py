"""Lists that are read by pages: in constant memory, without a cursor on the server.

A page is one statement of its own, the access rule included, so that nothing is held between two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

from peewee import Field, Tuple

from homethrive_db import validation
from homethrive_db.statements import param

T = TypeVar("T")

_BEFORE_ALL = ("-infinity", UUID(int=0))


def page(query: Any, at: Field, id: Field) -> Any:
    """Make of *query* a page: rows after a key in the order of *at* and *id*, so many at most."""
    after = Tuple(param("after_at", "timestamptz"), param("after_id", "uuid"))
    return query.where(Tuple(at, id) > after).order_by(at, id).limit(param("page_size", "integer"))


def read_pages(
    read: Callable[..., list[T]],
    after: tuple[datetime, UUID | str] | None,
    page_size: int,
    *,
    at: str = "created_at",
) -> Iterator[T]:
    """Give what *read* gives for page after page, from behind the key *after* on.

    A key is the field *at* and the id. Raises ValidationError before anything is read.
    """
    size = validation.count(page_size, "page_size", validation.MOST_ROWS)
    key = _BEFORE_ALL if after is None else validation.key(after, "after")
    return _read_pages(read, key, size, attrgetter(at, "id"))


def _read_pages(
    read: Callable[..., list[T]],
    key: tuple[object, UUID],
    size: int,
    key_of: Callable[[T], tuple[datetime, UUID]],
) -> Iterator[T]:
    while True:
        rows = read(after_at=key[0], after_id=key[1], page_size=size)
        yield from rows
        if len(rows) < size:
            return
        key = key_of(rows[-1])
