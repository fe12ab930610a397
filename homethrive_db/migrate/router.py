"""Applies and takes back: one migrator at a time, each migration exactly once.

It takes the place of peewee-migrate's router; the stock ``pw_migrate`` works through it too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import peewee
import psycopg2

from homethrive_db.database import Database
from homethrive_db.errors import MigrationError, quotes_values
from homethrive_db.migrate.failures import failed, wrong
from homethrive_db.migrate.files import MigrationFile, Step, read_folder
from homethrive_db.migrate.history import AppliedMigration, History
from homethrive_db.migrate.lock import Holder, Listener, migration_lock
from homethrive_db.migrate.migrator import (
    NonTransactionalMigrator,
    SafeMigrator,
    limit_locks,
    perform,
)
from homethrive_db.models import MODELS

_NO_LOCK = {"55P03", "40P01"}  # lock_timeout, and the loser of a deadlock
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0

_OLDEST_TRANSACTION = """
SELECT pid, application_name, xact_start FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 1
"""


class MigrationOptions(TypedDict, total=False):
    """How migrations are applied; times in seconds."""

    wait: float
    """How long to wait for another migrator, at each migration: 60 unless given."""
    lock_timeout: float
    """How long a statement may queue for a lock, with everybody else behind it: 5 unless given."""
    attempts: int
    """How often a migration is tried that does not get its locks: 8 unless given."""
    accept_edits: bool
    """Take applied files as they are now, though they were edited since."""
    on_wait: Listener
    """Hears what is waited for; its argument reads as a sentence."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A migration did not get its locks and is tried again; ``holder`` is the likeliest reason."""

    migration: str
    pause: float
    holder: Holder | None

    def __str__(self) -> str:
        oldest = f"; the oldest transaction is that of {self.holder}" if self.holder else ""
        return f"{self.migration} tries again in {self.pause:.1f} s to get its locks{oldest}"


def _check_order(file: MigrationFile, done: Collection[str]) -> None:
    """Refuse a file that is older than one that is applied."""
    if done and file.name < max(done):
        raise wrong(file.name, f"it is older than {max(done)}, which is applied: renumber it")


class SafeRouter:
    """Applies and takes back migrations one by one, each under the migrators' lock.

    Each is one transaction with the lock, its row of the history, and everything it does; one that
    is not transactional runs while another connection holds the lock.
    """

    def __init__(
        self, database: Database, folder: Path, **options: Unpack[MigrationOptions]
    ) -> None:
        self.database = database
        self.folder = folder
        self.history = History(database)
        self._wait = options.get("wait", 60.0)
        self._lock_timeout = options.get("lock_timeout", 5.0)
        self._attempts = options.get("attempts", 8)
        self._accept_edits = options.get("accept_edits", False)
        self._on_wait: Listener = options.get("on_wait", lambda _: None)

    @property
    def done(self) -> list[str]:
        """List the names of what is applied. Creates nothing."""
        return [one.name for one in self.history.applied()]

    def files(self) -> list[MigrationFile]:
        """Read the folder."""
        return read_folder(self.folder)

    def apply(self, name: str | None = None, *, fake: bool = False) -> Iterator[str]:
        """Apply the pending migrations up to *name*; yields the name of each that it applied.

        One that another migrator applied meanwhile is passed over, and one that somebody took back
        meanwhile is applied again. *fake* only notes them. Raises MigrationError.
        """
        while pending := self._pending(name):
            file = pending[0]
            if self._run(file, partial(self._apply_one, file, fake=fake)):
                yield file.name

    def take_back(self) -> str:
        """Take the last migration back; gives its name. Raises MigrationError."""
        applied = self.history.applied()
        if not applied:
            raise MigrationError("no migration is applied, so none can go back")
        last = applied[-1]
        file = next((one for one in self.files() if one.name == last.name), None)
        if file is None:
            raise wrong(last.name, "it is applied, but its file is not there")
        self._check_edits([last], [file])
        if not self._run(file, partial(self._take_back_one, file)):
            raise wrong(file.name, "another migrator took it back meanwhile")
        return file.name

    def pending(self, name: str | None = None) -> list[MigrationFile]:
        """List what is to be applied, up to *name*, without a look at what was edited.

        Raises MigrationError where *name* is unknown or the files do not fit the history.
        """
        return self._split(name)[1]

    def _pending(self, name: str | None) -> list[MigrationFile]:
        applied, pending = self._split(name)
        self._check_edits(applied, self.files())
        return pending

    def _split(self, name: str | None) -> tuple[list[AppliedMigration], list[MigrationFile]]:
        files, applied = self.files(), self.history.applied()
        if name is not None and name not in {file.name for file in files}:
            raise wrong(name, "there is no migration of this name")
        done = {one.name for one in applied}
        pending = [file for file in files if file.name not in done]
        if pending:
            _check_order(pending[0], done)
        return applied, [file for file in pending if name is None or file.name <= name]

    def _check_edits(self, applied: list[AppliedMigration], files: list[MigrationFile]) -> None:
        of_name = {file.name: file for file in files}
        known = [(one, of_name[one.name]) for one in applied if one.name in of_name]
        for one, file in known:
            if one.was_edited(file) and not self._accept_edits:
                raise wrong(
                    one.name,
                    "its file was edited since it was applied: restore it and put the change into "
                    "a new migration, or say --accept-edits where the schema stays the same",
                    "MIGRATION_EDITED",
                )
        unknown = [file for one, file in known if one.checksum != file.checksum]
        if unknown:
            with self._lock():
                self.history.create()
                for file in unknown:
                    self.history.note(file)

    def _lock(self, db: Database | None = None) -> AbstractContextManager[None]:
        return migration_lock(db or self.database, wait=self._wait, on_wait=self._on_wait)

    def _apply_one(self, file: MigrationFile, *, fake: bool) -> bool:
        with self._turn(file):
            done = self.done
            here = {one.name for one in self.files() if one.name <= file.name}
            if here - {*done} != {file.name}:  # others were at work since it was the next
                return False
            _check_order(file, done)
            if not done:
                self._check_new()
            self.history.create()
            started = time.monotonic()
            if not fake:
                self._perform(file, file.migrate)
            with self.database.atomic():
                self.history.add(file, time.monotonic() - started)
        return True

    def _take_back_one(self, file: MigrationFile) -> bool:
        with self._turn(file):
            if self.done[-1:] != [file.name]:
                return False
            self._perform(file, file.rollback)
            with self.database.atomic():
                self.history.remove(file.name)
        return True

    @contextmanager
    def _turn(self, file: MigrationFile) -> Iterator[None]:
        """Hold the lock: with the transaction of the migration, or beside one that has none."""
        if file.is_transactional:
            with self._lock():
                limit_locks(self.database, self._lock_timeout)
                yield
            return
        with Database.beside(self.database) as keeper, self._lock(keeper):
            yield

    def _perform(self, file: MigrationFile, step: Step) -> None:
        migrator: SafeMigrator
        if file.is_transactional:
            migrator = SafeMigrator(self.database)
        else:
            migrator = NonTransactionalMigrator(
                self.database,
                lock_timeout=self._lock_timeout,
                wait=self._wait,
                on_wait=self._on_wait,
            )
        perform(file, step, migrator, self.database)

    def _check_new(self) -> None:
        """Refuse a database whose tables somebody else made."""
        there = set(self.database.get_tables())
        ours = [model._meta.table_name for model in MODELS]
        found = [table for table in ours if table in there]
        if found:
            raise MigrationError(
                f"the database has tables of ours ({', '.join(found)}) but no history of "
                "migrations: run `homethrive-db adopt`",
                "NEEDS_ADOPTION",
            )

    def _run(self, file: MigrationFile, step: Callable[[], bool]) -> bool:
        """Try *step* until it gets its locks. Raises MigrationError."""
        tries_left = self._attempts
        while True:
            tries_left -= 1
            try:
                return step()
            except (peewee.PeeweeException, psycopg2.Error) as error:
                failure = self._failure(file, error)
                is_last = tries_left <= 0 or failure.code != "LOCK_TIMEOUT"
                if is_last and not quotes_values(error):
                    raise failure from error
            if is_last:  # outside of the handler, which would tie the driver's error to it
                raise failure
            self._pause(file, self._attempts - tries_left)

    def _pause(self, file: MigrationFile, failures: int) -> None:
        pause = min(_FIRST_PAUSE * 2.0 ** (failures - 1), _LONGEST_PAUSE)
        pause *= random.uniform(0.7, 1.0)  # noqa: S311  # so that waiters do not march in step
        row = self.database.execute_sql(_OLDEST_TRANSACTION).fetchone()
        self._on_wait(Retry(file.name, pause, Holder(*row) if row else None))
        time.sleep(pause)

    def _failure(self, file: MigrationFile, error: Exception) -> MigrationError:
        outcome = "was rolled back" if file.is_transactional else "can be run again"
        failure = failed(file.name, f"failed and {outcome}", error)
        if failure.details.get("sqlstate") not in _NO_LOCK:
            return failure
        return MigrationError(
            f"{file.name} did not get its locks: tried {self._attempts} times, "
            f"{self._lock_timeout:g} seconds each; run it at a quieter time",
            "LOCK_TIMEOUT",
            failure.details,
        )
