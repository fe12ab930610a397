"""Direct mode: a statement is PREPAREd once per connection and EXECUTEd by name afterwards.

The server then neither parses nor plans it again. Both go in one message at the first use, so that
a call stays one round trip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

_PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)s")
_ARRAY = re.compile(r"CAST\(%\((?P<name>\w+)\)s AS \w+\[\]\)")

_BATCH_LENGTH = 8_000
"""Of an array's text, some two hundred ids: to plan for so many pays for itself."""

# Else PostgreSQL plans the first five executions anew, and goes on where it takes those for cheaper
# by more than planning takes, which it underrates.
_KEEP_PLANS = "SET plan_cache_mode = force_generic_plan"

# 0A000: "cached plan must not change result type", after a change of the schema.
# 26000: somebody sent DEALLOCATE or DISCARD.
OUTDATED_STATES = frozenset({"0A000", "26000"})

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class PreparedText:
    """A statement's text with ``$1``, ``$2``, ... for the values of a call, and its name."""

    name: str
    body: str
    values: str
    """The values in parentheses, by psycopg2's placeholders."""
    arrays: tuple[str, ...]
    """Which of them are arrays."""
    before: str
    """What goes before it each time, and is not prepared."""

    def is_batch(self, values: Mapping[str, Any]) -> bool:
        """Tell whether an array of *values* is long: the plan that is kept takes it for short."""
        return any(len(values[name] or ()) > _BATCH_LENGTH for name in self.arrays)

    def execute(self, name: str) -> str:
        """Write what executes it, where it is prepared as *name*."""
        return f"{self.before}EXECUTE {name}{self.values}"

    def prepare_and_execute(self, name: str) -> str:
        """Write what prepares it as *name*, and executes it."""
        return f"PREPARE {name} AS {self.body}; {_KEEP_PLANS}; {self.execute(name)}"

    @classmethod
    def of(cls, sql: str, before: str = "") -> PreparedText:
        """Make them of *sql*, which has psycopg2's placeholders, and of what goes before it."""
        parameters: list[str] = []

        def numbered(match: re.Match[str]) -> str:
            name = match["name"]
            if name not in parameters:
                parameters.append(name)
            return f"${parameters.index(name) + 1}"

        body = _PLACEHOLDER.sub(numbered, sql)
        values = ", ".join(f"%({parameter})s" for parameter in parameters)
        arrays = tuple({match["name"] for match in _ARRAY.finditer(sql)})
        name = f"homethrive_{next(_numbers)}"
        return cls(name, body, f" ({values})" if values else "", arrays, before)


class Executable(Protocol):
    """What the database can run: SQL with named placeholders, and the values it brings along."""

    @property
    def name(self) -> str:
        """Name it, for logs."""

    @property
    def is_read(self) -> bool:
        """Say whether it writes nothing and locks nothing."""

    @property
    def is_idempotent(self) -> bool:
        """Say whether it does no more when it is repeated; every read is."""

    def compiled(self) -> str:
        """Give the SQL."""

    def prepared(self) -> PreparedText:
        """Give the texts that prepare and execute it."""


class PreparedStatements:
    """What a connection has prepared."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._count = 0

    def message(self, statement: Executable, values: Mapping[str, Any]) -> str:
        """Give what executes *statement*, and prepares it where that has not been done."""
        text = statement.prepared()
        if text.arrays and text.is_batch(values):
            return statement.compiled()
        known = self._known.get(text.name)
        if known is not None:
            return known
        # A name of its own each time: where only EXECUTE failed, the former is taken for good.
        self._count += 1
        return text.prepare_and_execute(f"{text.name}_{self._count}")

    def note_sent(self, statement: Executable, message: str) -> None:
        """Note what a message has prepared.

        After it has gone through: a signal handler may use the same statement before, or raise.
        """
        if message.startswith("PREPARE "):
            text = statement.prepared()
            self._known[text.name] = text.execute(message.split(" ", 2)[1])

    def knows(self, statement: Executable, message: str) -> bool:
        """Say whether a message executes what had been prepared before."""
        return self._known.get(statement.prepared().name) == message

    def clear(self) -> None:
        """Have every statement prepared anew."""
        self._known.clear()
