"""The migration files of a folder: what each is called, holds, and does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from homethrive_db.errors import MigrationError
from homethrive_db.migrate.failures import naming, wrong

NUMBERED = re.compile(r"(?P<number>\d+)_[^.]+\.py")
_DIGITS = 3  # what peewee-migrate reads; it would pass a longer number over in silence

Step = Callable[..., object]


@dataclass(frozen=True)
class MigrationFile:
    """One file. Its code runs when ``migrate`` or ``rollback`` is first asked for."""

    path: Path

    @property
    def name(self) -> str:
        """Give the name that the history keeps."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Give the number that the name begins with."""
        return int(self.name.partition("_")[0])

    @cached_property
    def checksum(self) -> str:
        """Hash the text, whatever line endings the checkout gave it (SHA-256, hexadecimal)."""
        return hashlib.sha256(self._text.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def migrate(self) -> Step:
        """Give the way up. Raises MigrationError where the file has none."""
        return self._function("migrate")

    @property
    def rollback(self) -> Step:
        """Give the way back. Raises MigrationError where the file has none."""
        return self._function("rollback")

    @property
    def is_transactional(self) -> bool:
        """Say whether it runs in a transaction: yes, unless it says ``TRANSACTIONAL = False``."""
        return bool(self._scope.get("TRANSACTIONAL", True))

    @property
    def summary(self) -> str:
        """Give the first line of the docstring."""
        return str(self._scope.get("__doc__") or "").strip().partition("\n")[0]

    @cached_property
    def _text(self) -> str:
        try:
            return self.path.read_bytes().decode()
        except UnicodeDecodeError:
            raise wrong(self.name, "it is not UTF-8") from None

    @cached_property
    def _scope(self) -> dict[str, Any]:
        scope: dict[str, Any] = {}
        text = self._text
        with naming(self.path):
            exec(compile(text, str(self.path), "exec", dont_inherit=True), scope)  # noqa: S102
        return scope

    def _function(self, name: str) -> Step:
        function = self._scope.get(name)
        if not callable(function):
            again = ", and say --accept-edits" if name == "rollback" else ""
            raise wrong(self.name, f"it has no {name}: write one{again}")
        return function  # type: ignore[no-any-return]  # a file's function is untyped


def read_folder(folder: Path) -> list[MigrationFile]:
    """List the migrations of *folder*, oldest first.

    Raises MigrationError where two have one number, or a number has not three digits.
    """
    if not folder.is_dir():
        raise MigrationError(f"there is no folder of migrations {folder}")
    found = []
    for path in sorted(folder.iterdir()):
        match = NUMBERED.fullmatch(path.name)
        if match and len(match["number"]) != _DIGITS:
            raise wrong(path.stem, "its number must have three digits")
        if match:
            found.append(MigrationFile(path))
    for one, other in pairwise(found):
        if one.number == other.number:
            raise wrong(other.name, f"it has the number of {one.name}: give it the next free one")
    return found
