"""Databases for a test run: one server, one migrated template on it, and clones of that.

No pytest in here: the plugin turns these into fixtures.
"""

from __future__ import annotations

import math
import os
import re
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from psycopg2.errors import ObjectInUse

from homethrive_db.connector import Connector
from homethrive_db.database import create_db
from homethrive_db.errors import ConfigurationError
from homethrive_db.secrecy import without_locals
from homethrive_db.settings import (
    EmbeddedLocation,
    Settings,
    connection_parameters,
    describe,
    embedded_location,
    is_embedded,
)

COMPOSE_URL = "postgresql://homethrive_test:test_password@localhost:5433/homethrive_test"
"""Where docker/compose.yaml puts the test database."""

_RUN = "homethrive_test_run_{}"
_OURS = re.compile(r"homethrive_([0-9a-f]{12})_\w+")
_OUR_FOLDER = re.compile(r"homethrive-test-[0-9a-f]{12}")

# A test run that loses its data in a crash loses nothing: trade durability for speed.
_FAST = ("fsync", "synchronous_commit", "full_page_writes")


class ServerUrl(str):
    """A URL that may hold a password, and shows none where the variables of a test are shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Describe where it leads."""
        return f"<URL of {describe(connection_parameters(self))}>"


class TestDatabases:
    """Makes databases on one server for one test run, and drops them all at its end.

    The processes of a run (pytest-xdist's workers) share the template. Each keeps a connection that
    is named after the run, by which the last one knows to drop the template, and by which the next
    run can tell what a crashed one left behind.
    """

    __test__ = False  # its name would make pytest collect it

    @without_locals
    def __init__(self, server_url: str, run: str, process: str = "main") -> None:
        self.server_url = ServerUrl(server_url)
        self._run = run
        self._process = process
        self._numbers = count(1)
        self._connection = _connect(server_url, application_name=_RUN.format(run))
        self._drop_what_crashed_runs_left()

    def template(self) -> str:
        """Give the name of the run's migrated template, made by whichever process comes first."""
        name = f"homethrive_{self._run}_template"
        with self._exclusively():
            if not self._databases(name):
                unfinished = f"homethrive_{self._run}_unfinished"
                self._drop(unfinished)
                self._execute(f"CREATE DATABASE {unfinished}")
                _migrate(self.url_of(unfinished))
                self._execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
        return name

    @contextmanager
    def clone(self) -> Iterator[str]:
        """Make a clone of the template for the block; gives its URL."""
        name = f"homethrive_{self._run}_{self._process}_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self.template()}")
        try:
            yield self.url_of(name)
        finally:
            self._drop(name)

    def url_of(self, database: str) -> str:
        """Give the URL of another database of the server."""
        return ServerUrl(urlsplit(self.server_url)._replace(path=f"/{database}").geturl())

    def close(self) -> None:
        """Leave the run; the last process drops the template."""
        with self._exclusively():
            self._execute("SET application_name = ''")
            self._drop_run_without_processes(self._run)
        self._connection.close()

    def _drop_what_crashed_runs_left(self) -> None:
        runs = {match[1] for name in self._databases("%") if (match := _OURS.fullmatch(name))}
        for run in runs - {self._run}:
            self._drop_run_without_processes(run)

    def _drop_run_without_processes(self, run: str) -> None:
        sessions = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
        if not self._execute(sessions, _RUN.format(run)):
            for name in self._databases(f"homethrive\\_{run}\\_%"):
                with suppress(ObjectInUse):
                    self._execute(f"DROP DATABASE IF EXISTS {name}")

    def _databases(self, pattern: str) -> list[str]:
        rows = self._execute("SELECT datname FROM pg_database WHERE datname LIKE %s", pattern)
        return [name for (name,) in rows]

    def _drop(self, name: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Let one process of the run at a time into the block."""
        key = int(self._run, 16)
        self._execute("SELECT pg_advisory_lock(%s)", key)
        try:
            yield
        finally:
            self._execute("SELECT pg_advisory_unlock(%s)", key)

    def _execute(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []


def run_name(environment: Mapping[str, str] = os.environ) -> str:
    """Name this test run; the workers of pytest-xdist have one name in common."""
    shared = environment.get("PYTEST_XDIST_TESTRUNUID")
    return (shared or uuid.uuid4().hex)[:12]


@without_locals
def server_url(run: str, environment: Mapping[str, str] = os.environ) -> str:
    """Find the server for a test run, or start one.

    ``DATABASE_URL_TEST``, else the compose file's if something answers on localhost:5433, else an
    embedded server that is deleted with the run (``HOMETHRIVE_TEST_POSTGRES`` gives its version).
    Raises ConfigurationError for a database that we did not make, unless its name ends in _test.
    """
    url = Settings.from_environment(environment).database_url_test
    if url is None and _answers("localhost", 5433):
        url = COMPOSE_URL
    if url is None:
        return _own_server(run, environment.get("HOMETHRIVE_TEST_POSTGRES"))
    if is_embedded(url):
        from homethrive_db import embedded

        return embedded.start(embedded_location(url)).url
    name = connection_parameters(url).get("dbname", "")
    if not name.endswith("_test"):
        raise ConfigurationError(
            f"tests run only where the database's name ends in _test, and DATABASE_URL_TEST "
            f"names {name or 'none'}"
        )
    return url


def _own_server(run: str, version: str | None) -> str:
    from homethrive_db import embedded

    temporary = Path(tempfile.gettempdir())
    for left in filter(lambda path: _OUR_FOLDER.fullmatch(path.name), temporary.iterdir()):
        embedded.delete_left_behind(left)
    folder = temporary / f"homethrive-test-{run}"
    location = EmbeddedLocation(folder, int(version) if version else None)
    server = embedded.start(location, delete_after=True)
    let_forget(server.url)
    return server.url


@without_locals
def let_forget(url: str) -> None:
    """Let a server of the tests' own be fast, and lose what it holds when its machine fails."""
    connection = _connect(url)
    with connection.cursor() as cursor:
        for setting in _FAST:
            cursor.execute(f"ALTER SYSTEM SET {setting} = off")
        cursor.execute("SELECT pg_reload_conf()")
    connection.close()


def _connect(url: str, **parameters: str) -> Any:
    return Connector({**connection_parameters(url), **parameters}, None).connect(math.inf)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _migrate(url: str) -> None:
    from homethrive_db.migrate import migrate  # brings click: not at every start of pytest

    db = create_db(url)
    try:
        for _ in migrate(db):
            pass
    finally:
        db.close_all()
