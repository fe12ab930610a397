"""How connections are kept, checked, given out and given up.

Everything that concerns a physical connection is in this module, on top of playhouse's pool.
"""

from __future__ import annotations

import select
from datetime import UTC, datetime
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from peewee import Psycopg2Adapter
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from homethrive_db.errors import Translation, UnavailableError

_TIMESTAMPTZ_OID = 1184
_UUID_OIDS = (2950, 2951)

# Ask libpq to notice a dead peer: seconds, and milliseconds for what was sent and not acknowledged.
CONNECTION_DEFAULTS = {
    "application_name": "homethrive_db",
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def _utc(text: Any, cursor: Any) -> datetime | None:
    """Read a timestamptz as UTC, whatever zone the session has."""
    value: datetime | None = psycopg2.extensions.PYDATETIMETZ(text, cursor)
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


_UTC_TIMESTAMPTZ = psycopg2.extensions.new_type((_TIMESTAMPTZ_OID,), "UTC_TIMESTAMPTZ", _utc)


class _Adapter(Psycopg2Adapter):
    """Connects with libpq's keywords alone: no database name is guessed from a URL."""

    def connect(self, db: Pool, **params: Any) -> Any:  # noqa: ARG002  # peewee's signature
        connection = psycopg2.connect(**params)
        psycopg2.extras.register_uuid(_UUID_OIDS, connection)  # type: ignore[no-untyped-call]
        psycopg2.extensions.register_type(_UTC_TIMESTAMPTZ, connection)
        return connection


class Pool(PooledPostgresqlDatabase):
    """Playhouse's pool without its query at each checkout, and with our errors."""

    psycopg2_adapter = _Adapter

    def __init__(
        self, name: str, *, max_connections: int, pool_timeout: float, **parameters: Any
    ) -> None:
        super().__init__(
            name,
            max_connections=max_connections,
            timeout=None,
            autoconnect=False,
            **{**CONNECTION_DEFAULTS, **parameters},
        )
        # Set here: playhouse would round it to whole seconds and read 0 as "for ever".
        self._wait_timeout = pool_timeout

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Take a connection for this thread; wait for a free one up to ``pool_timeout`` seconds.

        Raises UnavailableError where none comes free in time, or the server cannot be reached.
        """
        try:
            with Translation(nothing_written=True):
                return bool(super().connect(reuse_if_open))
        except MaxConnectionsExceeded as error:
            raise UnavailableError(
                f"no connection came free: all {self._max_connections} of the pool are in use",
                "POOL_EXHAUSTED",
                {"max_connections": self._max_connections},
                retryable=True,
            ) from error

    def _is_closed(self, connection: psycopg2.extensions.connection) -> bool:
        """Tell a dead idle connection by its socket: a server that closes says so on it.

        A query would cost every call a second round trip.
        """
        if connection.closed:
            return True
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
