"""A PostgreSQL of a test's own, which can be stopped, started again and halted."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from homethrive_db import embedded
from tests.faults import guard
from tests.waiting import wait_until

FAST = {
    "deadlock_timeout": "50ms",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


UNPRIVILEGED = "nobody" if os.geteuid() == 0 else ""
"""As whom to run what refuses to run as root."""


class Daemon:
    """A program that runs until it is stopped, or this process ends, however that comes about."""

    def __init__(self, folder, command, ending):
        with folder.joinpath("log").open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, guard.__file__, str(ending.value), UNPRIVILEGED, *command],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._pid = int(self._guard.stdout.readline())

    @property
    def runs(self):
        return self._guard.poll() is None

    def send(self, how):
        os.kill(self._pid, how)

    def stop(self, how):
        if not self.runs:
            return
        self.send(how)
        self.wait()

    def wait(self):
        self._guard.wait(timeout=60)
        self._guard.stdin.close()
        self._guard.stdout.close()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return unused.getsockname()[1]


@contextmanager
def folder_of_its_own():
    """Make a folder that a server may read, whoever it runs as."""
    with tempfile.TemporaryDirectory(prefix="homethrive-test-") as made:
        os.chmod(made, 0o777)
        yield Path(made)


class Server:
    """Listens on a loopback port and on a socket; trusts everybody."""

    def __init__(self, folder, version=18, **settings):
        self.folder = folder
        self.port = free_port()
        self.settings = {**FAST, **settings}
        self.daemon = None
        wheel = embedded._import_pgserver()
        self._programs = Path(wheel.POSTGRES_VERSIONS[version])
        if os.geteuid() == 0:
            wheel.ensure_prefix_permissions(self._programs)
        self._run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--pgdata", "data")

    @property
    def socket(self):
        return self.folder / f".s.PGSQL.{self.port}"

    def _run(self, program, *arguments):
        subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **guard.as_user(UNPRIVILEGED),
        )

    def url(self, database="postgres", host="127.0.0.1", port=None):
        return f"postgresql://postgres@{host}:{port or self.port}/{database}"

    def start(self, *, wait=True):
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        listening = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        command = [str(self._programs / "postgres"), "-D", "data", *listening, *options]
        self.daemon = Daemon(self.folder, command, signal.SIGQUIT)
        if wait:
            wait_until(self.answers)

    def answers(self):
        try:
            psycopg2.connect(self.url()).close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self, how=signal.SIGINT):
        """Stop: SIGINT ends every session, SIGTERM waits for them, SIGQUIT is a crash."""
        self.daemon.stop(how)

    def restart(self):
        self.stop()
        self.start()

    @contextmanager
    def in_recovery(self):
        """Follow a primary that there is not for the block: it takes no writes."""
        self.stop()
        self.folder.joinpath("data/standby.signal").touch()
        self.start()
        try:
            yield
        finally:
            if self.execute("SELECT pg_is_in_recovery()") == [(True,)]:
                self.promote()

    def promote(self):
        assert self.execute("SELECT pg_promote()") == [(True,)]

    def execute(self, sql, *values, database="postgres"):
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    @contextmanager
    def locked(self, table, database):
        """Keep every statement on *table* waiting for the block."""
        other = psycopg2.connect(self.url(database))
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table}")
        try:
            yield
        finally:
            other.close()

    def backends(self, database):
        """List the process ids of the sessions on *database*."""
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        return [pid for (pid,) in self.execute(query, database)]

    def terminate_one_backend(self, database):
        """End some session on *database*; gives their number."""
        query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = %s AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"""
        return len(self.execute(query, database))

    def terminate_backends(self, database):
        """End the sessions on *database*; gives their number."""
        query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = %s AND pid <> pg_backend_pid()"""
        return len(self.execute(query, database))


@contextmanager
def halted(pid):
    """Stop a process for the block: its kernel still answers for it, it does not."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def running(version=18, **settings):
    """Run a server for the block."""
    with folder_of_its_own() as folder:
        server = Server(folder, version, **settings)
        server.start()
        try:
            yield server
        finally:
            if server.daemon.runs:
                server.stop(signal.SIGQUIT)
