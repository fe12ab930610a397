"""What is unsafe in a migration: statements that lock long, or break those who use the tables.

Squawk knows most of it. What it finds is allowed by a comment in the SQL, on the line before or
on the same one: ``-- squawk-ignore ban-drop-column``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from homethrive_db.migrate import squawk
from homethrive_db.migrate.literals import MigrationSource
from homethrive_db.migrate.squawk import SYNTAX_ERROR, Violation

_EXCLUDED = frozenset(
    {
        # The migrator sets lock_timeout, and tries again; what then runs long blocks nobody, or
        # another rule says so.
        "require-lock-timeout",
        "require-statement-timeout",
        # The contract decides on types: days_of_week is smallint[].
        "prefer-bigint-over-int",
        "prefer-bigint-over-smallint",
    }
)

# Applied wherever there are many rows; a comment in the file would change its checksum.
_ACCEPTED = {
    "002_onboarding_and_caregiver_access": {
        "adding-foreign-key-constraint",
        "require-concurrent-index-creation",
    },
}

_NOT_VALID = "add it NOT VALID, and VALIDATE CONSTRAINT in the next migration"
_BATCHES = "batches by key, each with a WHERE, in a file marked TRANSACTIONAL = False"
_REMEDIES = {
    "adding-foreign-key-constraint": _NOT_VALID,
    "adding-not-nullable-field": (
        "a CHECK (… IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in the next migration, "
        "SET NOT NULL in the one after it"
    ),
    "ban-concurrent-index-creation-in-transaction": "mark the file TRANSACTIONAL = False",
    "constraint-missing-not-valid": _NOT_VALID,
    "full-table-delete": _BATCHES,
    "full-table-update": _BATCHES,
    "prefer-robust-stmts": "IF [NOT] EXISTS, or a file that is one transaction",
    "require-concurrent-index-creation": (
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS in a file marked TRANSACTIONAL = False"
    ),
    "require-concurrent-index-deletion": (
        "DROP INDEX CONCURRENTLY IF EXISTS in a file marked TRANSACTIONAL = False"
    ),
    SYNTAX_ERROR: (
        "nothing of it was checked: see which locks it takes, then allow it by the comment "
        f"-- squawk-ignore {SYNTAX_ERROR}"
    ),
}
_REMEDIES_BY_PREFIX = {
    "ban-drop-": "drop it in a later release than the last one, of any service, that uses it",
    "changing-": "a new one beside it, and drop the old one when no service uses it any more",
    "renaming-": "a new one beside it, and drop the old one when no service uses it any more",
}

# Our own rules, by the node of the syntax tree.
_FULL_TABLE = {"UPDATE": "full-table-update", "DELETE": "full-table-delete"}
_OWN = {*_FULL_TABLE.values(), SYNTAX_ERROR}

_IGNORE = re.compile(r"(?:--|/\*)\s*squawk-ignore(?P<file>-file)?\b(?P<rules>[^*]*?)(?:--.*|\*/)?")
_BETWEEN = "\n;\n"  # a statement may end in a comment


@dataclass(frozen=True, slots=True)
class Finding:
    """What is unsafe at a line of a migration file, why, and what to do instead."""

    path: Path
    line: int
    rule: str
    message: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}"
        return f"{where}: {self.rule}: {self.message}; instead: {self.remedy}"


def lint(path: Path, statements: Sequence[str], *, transactional: bool = True) -> list[Finding]:
    """List what is unsafe in the SQL that the file at *path* executes, as psycopg2 sends it.

    What one statement creates, the others may change. Raises ConfigurationError where squawk is
    not installed, MigrationError where it fails.
    """
    source = MigrationSource(path.read_bytes().decode())
    starts = _starts(statements)
    findings = []
    for violation in sorted(_violations(statements, transactional), key=lambda one: one.start):
        if violation.rule in _ACCEPTED.get(path.stem, ()):
            continue
        number = bisect_right(starts, violation.start, hi=len(statements)) - 1
        findings.append(
            Finding(
                path,
                source.line_of(statements[number], violation.start - starts[number]),
                violation.rule,
                violation.message.rstrip("."),
                _remedy(violation),
            )
        )
    return findings


def _starts(statements: Sequence[str]) -> list[int]:
    """List where each statement starts in the script, and where another would."""
    return list(accumulate((len(one) + len(_BETWEEN) for one in statements), initial=0))


def _remedy(violation: Violation) -> str:
    """Say what to do instead: in the words of this project, else in those of squawk."""
    rule = violation.rule
    by_prefix = (
        remedy for prefix, remedy in _REMEDIES_BY_PREFIX.items() if rule.startswith(prefix)
    )
    remedy = _REMEDIES.get(rule) or next(by_prefix, None) or violation.help
    return (remedy or f"see https://squawkhq.com/docs/{rule}").rstrip(".")


def _violations(statements: Sequence[str], transactional: bool) -> list[Violation]:
    """Check *statements* as one script, without those that squawk cannot read."""
    script = _BETWEEN.join(statements)
    found = _squawk(script, transactional)
    errors: list[Violation] = []
    if any(one.rule == SYNTAX_ERROR for one in found):
        for start, statement in zip(_starts(statements), statements, strict=False):
            error = _syntax_error(statement)
            if error:
                blank = " " * len(statement)
                script = script[:start] + blank + script[start + len(statement) :]
                if not _Ignores(statement).names(SYNTAX_ERROR):
                    errors.append(replace(error, start=start + error.start))
        found = _squawk(script, transactional)
    return [*errors, *found, *_full_table(script)]


def _syntax_error(statement: str) -> Violation | None:
    for one in _squawk(statement, transactional=True):
        if one.rule == SYNTAX_ERROR:
            return replace(one, message=f"squawk cannot read this: {one.message}")
    return None


def _squawk(script: str, transactional: bool) -> list[Violation]:
    """Let squawk check a script; it does not know the names of our own rules."""
    known = {f"unknown name {rule}" for rule in _OWN}
    found = squawk.check(script, exclude=_EXCLUDED, transactional=transactional)
    return [one for one in found if one.message not in known]


def _full_table(script: str) -> list[Violation]:
    """Find each UPDATE and DELETE without a WHERE of its own that is executed."""
    writes = {}
    around: list[squawk.Node] = []
    for node in squawk.tree(script):
        del around[node.depth :]
        within = around[-1] if around else None
        around.append(node)
        if node.kind in _FULL_TABLE:
            if not any(one.kind.startswith("CREATE_") for one in around):
                writes[node] = node.start
        elif within in writes and node.kind == f"{within.kind}_KW":
            writes[within] = node.start  # behind a WITH
        elif within in writes and node.kind.startswith("WHERE_"):
            del writes[within]
    ignores = _Ignores(script)
    return [
        Violation(
            start,
            _FULL_TABLE[node.kind],
            f"{node.kind} without WHERE locks every row until its transaction ends",
        )
        for node, start in writes.items()
        if not ignores.cover(_FULL_TABLE[node.kind], script.count("\n", 0, start))
    ]


class _Ignores:
    """The comments that allow what our own rules find, as squawk reads those for its rules."""

    def __init__(self, script: str) -> None:
        self._everywhere: list[str] = []
        self._lines: dict[int, list[str]] = {}
        for node in squawk.tree(script):
            match = node.kind == "COMMENT" and _IGNORE.fullmatch(script[node.start : node.end])
            if match:
                rules = [rule.strip() for rule in match["rules"].split(",")]
                if match["file"]:
                    self._everywhere += rules
                else:
                    self._lines[script.count("\n", 0, node.start)] = rules

    def names(self, rule: str) -> bool:
        """Tell whether any of them names *rule*."""
        return any(rule in rules for rules in [self._everywhere, *self._lines.values()])

    def cover(self, rule: str, line: int) -> bool:
        """Tell whether *rule* is allowed on a line."""
        rules = [*self._everywhere, *self._lines.get(line - 1, []), *self._lines.get(line, [])]
        return rule in rules or "" in self._everywhere
