"""Makes physical connections: with what parameters, whose credentials, and within what time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import psycopg2
import psycopg2.extensions
from psycopg2.extensions import make_dsn

from homethrive_db import validation
from homethrive_db.deadlines import exceeded
from homethrive_db.errors import ConfigurationError, Translation, ValidationError
from homethrive_db.secrecy import without_locals
from homethrive_db.value_types import register_types

# Ask libpq to notice a dead peer: seconds, and milliseconds for what was sent and not acknowledged.
# A read is then repeated once, which takes another connect: all of it is to end within 30 seconds.
CONNECTION_DEFAULTS = {
    "application_name": "homethrive_db",
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
}

_DRIVERS_OWN = frozenset({"connection_factory", "cursor_factory"})


class _Connection(psycopg2.extensions.connection):
    """A connection that shows no DSN: psycopg2 leaves ``sslpassword`` in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<connection at {id(self):#x}, closed: {self.closed}>"


class Credentials(Protocol):
    """Gives libpq's keywords for one physical connection: ``user`` and ``password``, say.

    Where its attribute ``verify_tls`` is true, they are given only to a server whose certificate
    is checked, unless the URL chooses another ``sslmode``.
    """

    def __call__(self, *, refresh: bool) -> Mapping[str, str]:
        """Give them; anew where the server has just refused the former ones (*refresh*)."""


class Connector:
    """Connects to one database, and asks for credentials each time."""

    def __init__(self, parameters: Mapping[str, Any], credentials: Credentials | None) -> None:
        # The encoding is no choice: in another, names that people have could not be sent, or read.
        self.parameters = {
            "connection_factory": _Connection,
            **parameters,
            "client_encoding": "UTF8",
        }
        self._credentials = credentials

    @without_locals
    def connect(self, seconds: float) -> Any:
        """Connect, in *seconds*, which may be infinite.

        Raises UnavailableError where the server cannot be reached or refuses, or does not answer
        in time; what the credentials raise passes.
        """
        with Translation(nothing_written=True):
            connection = self._connect(seconds)
            register_types(connection)
            connection.autocommit = True
            return connection

    def _connect(self, seconds: float) -> Any:
        if self._credentials is None:
            return _open(self.parameters, seconds)
        given = self._credentials(refresh=False)
        started = time.monotonic()
        try:
            return _open({**self.parameters, **given}, seconds)
        except psycopg2.OperationalError:
            # libpq gives no SQLSTATE here, and its text is translated: a refusal is what comes
            # long before the time is up (which libpq measures roughly).
            spent = time.monotonic() - started
            if spent > self._connect_timeout() / 2:
                raise
            anew = self._credentials(refresh=True)
            if anew == given:
                raise
        spent = time.monotonic() - started
        return _open({**self.parameters, **anew}, max(0.0, seconds - spent))

    def _connect_timeout(self) -> float:
        return float(self.parameters.get("connect_timeout") or 0) or math.inf


def check_keywords(parameters: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for what is no keyword of libpq, or a value that it cannot take."""
    _check_texts(parameters)
    with Translation(nothing_written=True):
        make_dsn(**{name: parameters[name] for name in parameters.keys() - _DRIVERS_OWN})


def _check_texts(parameters: Mapping[str, Any]) -> None:
    """Refuse what libpq would end at, or Python cannot encode: its error has all parameters."""
    for name, value in parameters.items():
        if isinstance(value, str):
            try:
                validation.text(value, name)
            except ValidationError as error:
                raise ConfigurationError(error.message) from error


def _open(parameters: Mapping[str, Any], seconds: float) -> Any:
    """Connect; where there are only so many *seconds*, in a thread that can be left behind.

    libpq counts whole seconds, and no socket is there yet that could be cut.
    """
    _check_texts(parameters)  # now with what the credentials gave
    if seconds == math.inf:
        return psycopg2.connect(**parameters)
    if seconds <= 0:  # a thread may be quicker than who waits for it not at all
        raise exceeded()
    outcomes: SimpleQueue[Any] = SimpleQueue()

    def attempt() -> None:
        try:
            outcomes.put(psycopg2.connect(**parameters))
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            outcomes.put(error.with_traceback(None))  # this frame, which still runs, has a password

    threading.Thread(target=attempt, name="homethrive_db connect", daemon=True).start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except Empty:  # a connection that comes later is closed with the queue
        raise exceeded() from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
