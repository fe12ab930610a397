"""Where rejected dose events go: a file in the format of the input, to be mended and fed again."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any, Self

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

    What is there already is lost only where the new rejections begin with just the same lines.
    Otherwise it is ``kept`` under the next free name: ``a.ndjson`` as ``a.1.ndjson``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: Path | None = None
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __call__(self, rejection: Rejection) -> None:
        """Append a rejection; it is in the file when this returns."""
        if self._file is None:
            if self.path.exists():
                self.kept = _set_aside(self.path)
            self._file = self.path.open("x", buffering=1, encoding="utf-8")
        self._file.write(rejection.to_json() + "\n")

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Close the file, if there is one; a run that was cut short takes nothing from another."""
        if self._file is not None:
            self._file.close()
        if self.kept is None:
            return
        if _begins_with(self.path, self.kept):
            self.kept.unlink(missing_ok=True)
            self.kept = None
        elif error is not None and _begins_with(self.kept, self.path):
            self.kept.replace(self.path)
            self.kept = None
        elif error is not None:
            error.add_note(f"What was in {self.path} is now in {self.kept}")


def _set_aside(path: Path) -> Path:
    """Move a file to the next free name beside it; gives that name."""
    for number in count(1):
        free = path.with_name(f"{path.stem}.{number}{path.suffix}")
        try:
            free.touch(exist_ok=False)  # from here on it is nobody else's
        except FileExistsError:
            continue
        return path.replace(free)
    raise AssertionError("there is always a next number")


def _begins_with(whole: Path, part: Path) -> bool:
    """Compare two files; one that could not be made is as good as empty."""
    if not (whole.exists() and part.exists()):
        return whole.exists()
    with whole.open("rb") as long, part.open("rb") as short:
        return all(long.read(len(block)) == block for block in iter(lambda: short.read(65536), b""))


def rejects_path(file: Path) -> Path:
    """Name the rejects of an input file; ``-`` is standard input.

    Only the ending ``.ndjson`` gives way, so that no two inputs share a name.
    """
    if str(file) == "-":
        return Path("rejected.ndjson")
    return file.with_name(f"{file.name.removesuffix(_ENDING)}.rejected{_ENDING}")


def check_place(path: Path, source: IO[bytes]) -> None:
    """Check that rejects of *source* may take the place of what is at *path*; changes nothing.

    Raises ConfigurationError for the input itself, under whatever name, and for what is no plain
    file: a device or a pipe must not be moved.
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
