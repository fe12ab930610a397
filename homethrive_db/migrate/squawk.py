"""Squawk, a linter of SQL for PostgreSQL: it runs as a program of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from homethrive_db.errors import ConfigurationError, MigrationError

SYNTAX_ERROR = "syntax-error"
"""The rule of what squawk cannot read; it then checks nothing else."""

_NODE = re.compile(r"(?P<indent> *)(?P<kind>[A-Z_]+)@(?P<start>\d+)\.\.(?P<end>\d+)(?: \".*)?")
_INDENT = 2


@dataclass(frozen=True, slots=True)
class Violation:
    """What a rule says of the SQL at *start*, a number of characters."""

    start: int
    rule: str
    message: str
    help: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A part of the SQL, in characters; what follows it and lies deeper is inside it."""

    kind: str
    start: int
    end: int
    depth: int


def check(sql: str, *, exclude: frozenset[str], transactional: bool) -> list[Violation]:
    """List what squawk finds, but for the rules of *exclude*.

    Raises ConfigurationError where squawk is not installed, MigrationError where it fails.
    """
    if transactional:  # and not alone: by itself, squawk lets CREATE INDEX CONCURRENTLY pass
        sql += "\n;\nSELECT 1"
    answer = _run(
        sql,
        "--reporter=json",
        "--pg-version=16",
        f"--exclude={','.join(sorted(exclude))}",
        *(["--assume-in-transaction"] if transactional else []),
    )
    characters = _characters(sql)
    lines = list(accumulate((len(line) + 1 for line in sql.encode().split(b"\n")), initial=0))
    return [
        Violation(
            characters[lines[one["line"]] + one["column"]],
            one["rule_name"],
            one["message"],
            one["help"],
        )
        for one in json.loads(answer)
    ]


def tree(sql: str) -> Iterator[Node]:
    """Give the syntax tree, a node before what is in it. Raises as ``check`` does."""
    characters = _characters(sql)
    for match in map(_NODE.fullmatch, _run(sql, "--debug=parse").split("\n")):
        if match:
            yield Node(
                match["kind"],
                characters[int(match["start"])],
                characters[int(match["end"])],
                len(match["indent"]) // _INDENT,
            )


def _characters(sql: str) -> list[int]:
    """Tell for each byte of *sql*, and for its end, how many characters are before it."""
    return list(accumulate((byte & 0xC0 != 0x80 for byte in sql.encode()), initial=0))


def _run(sql: str, *options: str) -> str:
    beside = Path(sys.executable).with_name("squawk")
    program = str(beside) if beside.exists() else shutil.which("squawk")
    if program is None:
        raise ConfigurationError("squawk is an extra: pip install 'homethrive-db[lint]'")
    # No .squawk.toml counts that lies in the working folder or above it.
    command = [program, f"--config={os.devnull}", *options]
    done = subprocess.run(  # noqa: S603  # nothing in the command is from outside
        command, input=sql, capture_output=True, text=True, encoding="utf-8", check=False
    )
    # 1 is for violations, and for some failures: those print no answer.
    if done.returncode not in {0, 1} or not done.stdout:
        reason = done.stderr.strip().partition("\n")[0]
        raise MigrationError(f"squawk failed with exit status {done.returncode}: {reason}")
    return done.stdout
