"""Peewee-migrate's router, made safe: one migrator at a time, each migration exactly once.

The stock ``pw_migrate`` works through it too: ``migrations/conf.py`` puts it in place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import peewee
from peewee_migrate.migrator import Migrator
from peewee_migrate.models import MigrateHistory
from peewee_migrate.router import Router

from homethrive_db.errors import MigrationError, ValidationError, quotes_values, translate
from homethrive_db.migrate.lock import Holder, migration_lock

WAIT_SECONDS = 60.0
"""How long to wait for another migrator unless told otherwise."""

# Peewee-migrate logs each failure with the driver's text, which may quote rows; here it is raised.
_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.disabled = True


class SafeRouter(Router):
    """Applies and takes back migrations one by one, each under the migrators' lock.

    Each is one transaction with the lock, its row of the history, and everything it does.
    """

    def __init__(
        self,
        database: Any,
        migrate_dir: Path | None = None,
        *,
        wait: float = WAIT_SECONDS,
        on_wait: Callable[[Holder], object] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(database, migrate_dir, **{**options, "logger": _SILENT})
        self._wait = wait
        self._on_wait = on_wait or (lambda _: None)

    @cached_property
    def model(self) -> Any:
        """Bind the history to the database; create its table under the lock."""
        meta: Any = MigrateHistory._meta
        meta.database, meta.table_name, meta.schema = self.database, self.migrate_table, self.schema
        if not self.has_history():
            with self._lock():
                MigrateHistory.create_table(safe=True)
        return MigrateHistory

    @property
    def migrator(self) -> Migrator:
        """Give a migrator without a replay of the applied files.

        The replay rebuilds models that a migration may use, and patches peewee for the whole
        process while it runs; migrations that are SQL need neither.
        """
        return self.migrator_class(self.database)

    def has_history(self) -> bool:
        """Say whether the history table is there."""
        return bool(self.database.table_exists(self.migrate_table, self.schema))

    def apply(self, name: str | None = None, *, fake: bool = False) -> Iterator[str]:
        """Apply the pending migrations up to *name*; yields the name of each that it applied.

        One that another migrator applied meanwhile is passed over. Raises MigrationError.
        """
        for pending in self._pending(name):
            with self._lock():
                is_pending = pending not in self.done
                if is_pending:
                    self._run_guarded(pending, fake=fake, force=fake)
            if is_pending:
                yield pending

    def take_back(self) -> str:
        """Take the last migration back; gives its name. Raises MigrationError."""
        with self._lock():
            done = self.done
            if not done:
                raise MigrationError("no migration is applied, so none can go back")
            self._check_rollback(done[-1])
            self._run_guarded(done[-1], downgrade=True)
        return str(done[-1])

    def run(self, name: str | None = None, *, fake: bool = False) -> list[str]:
        """Apply the pending migrations, as ``pw_migrate migrate`` asks."""
        return list(self.apply(name, fake=fake))

    def rollback(self) -> None:
        """Take the last migration back, as ``pw_migrate rollback`` asks."""
        self.take_back()

    def _lock(self) -> AbstractContextManager[Any]:
        return migration_lock(self.database, wait=self._wait, on_wait=self._on_wait)

    def _pending(self, name: str | None) -> list[str]:
        """Check what is asked for and what is there; list what is to be applied."""
        files, done = list(self.todo), set(self.done)
        if name is not None and name not in files:
            raise MigrationError(f"there is no migration {name}", details={"migration": name})
        for one, other in pairwise(files):
            if one.partition("_")[0] == other.partition("_")[0]:
                raise _wrong(other, f"it has the number of {one}: give it the next free one")
        pending = [one for one in files if one not in done]
        if pending and done and pending[0] < max(done):
            raise _wrong(pending[0], f"it is older than {max(done)}, which is applied: renumber it")
        return [one for one in pending if name is None or one <= name]

    def _check_rollback(self, name: str) -> None:
        if name not in self.todo:
            raise _wrong(name, "it is applied, but its file is not there")
        _, rollback = self.read(name)
        if rollback.__name__ != "rollback":
            raise MigrationError(f"{name} has no rollback", details={"migration": name})

    def _run_guarded(self, name: str, **options: Any) -> None:
        failure = None
        try:
            self.run_one(name, self.migrator, **{"fake": False, **options})
        except (peewee.PeeweeException, MigrationError) as error:
            failure = _failure(name, error)
            if not quotes_values(error):
                raise failure from error
        if failure is not None:  # outside of the handler, which would tie the driver's error to it
            raise failure


def _wrong(name: str, what: str) -> MigrationError:
    return MigrationError(f"{name}: {what}", details={"migration": name})


def _failure(name: str, error: Exception) -> MigrationError:
    ours = translate(error)
    reason = str(error).strip().partition("\n")[0]
    if isinstance(ours, ValidationError):  # the one kind whose first line may quote a value
        reason = str(ours)
    return MigrationError(
        f"{name} failed and was rolled back: {reason}",
        details={"migration": name, **(ours.details if ours else {})},
    )
