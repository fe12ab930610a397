"""Where rejected dose events go: a file in the format of the input, to be mended and fed again."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from homethrive_db.errors import ConfigurationError

_ENDING = ".ndjson"
_ADDED = ("line", "reason")


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not recorded: its line (from 1), why, and what the line held."""

    line: int
    reason: str
    event: dict[str, Any]

    def to_json(self) -> str:
        """Write it as an event again, to be mended and fed anew; line and reason come last."""
        event = {name: value for name, value in self.event.items() if name not in _ADDED}
        return json.dumps({**event, "line": self.line, "reason": self.reason})


class RejectsFile:
    """A file for rejections, NDJSON as the input is; no rejection, no file.

    Made anew by each run: what an earlier run left under the name is removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        path.unlink(missing_ok=True)

    def __call__(self, rejection: Rejection) -> None:
        """Append a rejection."""
        if self._file is None:
            self._file = self.path.open("x", encoding="utf-8")
        self._file.write(rejection.to_json() + "\n")

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()


def rejects_path(file: Path) -> Path:
    """Name the rejects of an input file; ``-`` is standard input.

    Only the ending ``.ndjson`` gives way, so that no two inputs share a name.
    """
    if str(file) == "-":
        return Path("rejected.ndjson")
    return file.with_name(f"{file.name.removesuffix(_ENDING)}.rejected{_ENDING}")


def check_place(path: Path, source: IO[bytes]) -> None:
    """Check that rejects of *source* may replace what is at *path*; changes nothing.

    Raises ConfigurationError for the input itself, under whatever name, and for what is no plain
    file: a device or a pipe must not be removed.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder for the rejects {path}")
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(there.st_mode):
        raise ConfigurationError(f"the rejects need a plain file, which {path} is not")
    if os.path.samestat(there, os.fstat(source.fileno())):
        raise ConfigurationError(
            f"the rejects cannot go to the input itself: {path}; --rejects names another file"
        )
