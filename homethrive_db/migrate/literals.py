"""The string literals of a migration file, and on which lines their text stands."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

_HOLE = "\0"  # stands for {what an f-string fills in}; no SQL has it
# What psycopg2 fills in, and how it reads a doubled %.
_FILLED = re.compile(r"(\0|%s|%\(\w+\)s|%%)")
_QUOTE = re.compile(r"\w*('''|\"\"\"|'|\")")
_BETWEEN_PARTS = {tokenize.NL, tokenize.COMMENT}


@dataclass(frozen=True)
class _Part:
    """One literal of several that stand side by side and are one string."""

    line: int
    source: str

    @cached_property
    def text(self) -> str:
        return _evaluate(self.source)

    def line_of(self, offset: int) -> int:
        """Give the line of the file on which a character of the text stands."""
        match = _QUOTE.match(self.source)
        quote = match[1] if match else ""
        lines = _lines(self.source)
        ends = []
        for count in range(1, len(lines)):
            try:
                ends.append(len(_evaluate("".join(lines[:count]) + quote)))
            except SyntaxError:  # the line ends inside of what an f-string fills in
                ends.append(ends[-1] if ends else 0)
        return self.line + bisect_right(ends, offset)


@dataclass(frozen=True)
class Literal:
    """A string of the file. An f-string is what it says between the braces."""

    parts: list[_Part] = field(default_factory=list)

    @cached_property
    def text(self) -> str:
        """Give the text, with a NUL for each part that is filled in at run time."""
        return "".join(part.text for part in self.parts)

    def line_of(self, offset: int) -> int:
        """Give the line of the file on which a character of the text stands."""
        for part in self.parts[:-1]:
            if offset < len(part.text):
                return part.line_of(offset)
            offset -= len(part.text)
        return self.parts[-1].line_of(offset)

    def find(self, sql: str, offset: int) -> int | None:
        """Give the line of *sql* at *offset*, None where it did not come of this literal."""
        text = self.text.strip()
        if not re.search(r"\s", text):
            return None  # a name or a word, which many a statement may hold
        pieces = _FILLED.split(text)
        # Every other piece is what psycopg2 or the f-string changed.
        pattern = "".join(
            f"({re.escape(piece)})" if not number % 2 else "%" if piece == "%%" else ".*?"
            for number, piece in enumerate(pieces)
        )
        for match in re.finditer(pattern, sql, re.DOTALL):
            if match.start() <= offset < match.end():
                break
        else:
            return None
        group = max(n for n in range(1, match.re.groups + 1) if match.start(n) <= offset)
        before = sum(map(len, pieces[: 2 * (group - 1)]))
        inside = min(offset - match.start(group), len(match[group]))
        return self.line_of(self.text.find(text) + before + inside)


class MigrationSource:
    """The text of a migration file."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")

    def line_of(self, sql: str, offset: int) -> int:
        """Give the line at which an executed statement says what it says at *offset*.

        Where no literal holds that, it is the line of ``def migrate``.
        """
        for literal in self._literals:
            line = literal.find(sql, offset)
            if line is not None:
                return line
        return next(
            (
                node.lineno
                for node in ast.parse(self._text).body
                if isinstance(node, ast.FunctionDef) and node.name == "migrate"
            ),
            1,
        )

    @cached_property
    def _literals(self) -> list[Literal]:
        """List the literals, the longest first: it tells most of what was executed."""
        literals: list[Literal] = []
        is_next_part = False
        for part in self._parts():
            if part is None:
                is_next_part = False
            elif is_next_part:
                literals[-1].parts.append(part)
            else:
                literals.append(Literal([part]))
                is_next_part = True
        return sorted(literals, key=lambda literal: -len(literal.text.replace(_HOLE, "")))

    def _parts(self) -> Iterator[_Part | None]:
        """Give each literal as it stands, and None for whatever parts one from another."""
        lines = _lines(self._text)
        depth = 0
        start = (0, 0)
        for token in tokenize.generate_tokens(io.StringIO(self._text).readline):
            kind = tokenize.tok_name[token.type]  # an f-string is several tokens from 3.12 on
            if kind == "FSTRING_START":
                start = start if depth else token.start
                depth += 1
            elif kind == "FSTRING_END":
                depth -= 1
                if not depth:
                    yield _Part(start[0], _between(lines, start, token.end))
            elif kind == "STRING" and not depth:
                yield _Part(token.start[0], token.string)
            elif token.type not in _BETWEEN_PARTS and not depth:
                yield None


def _lines(text: str) -> list[str]:
    """Split as Python does, which knows no other line end than this one (str.splitlines does)."""
    return list(io.StringIO(text))


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


def _evaluate(source: str) -> str:
    """Give the string that a literal is, with a hole for each part that is filled in."""
    with warnings.catch_warnings():  # of a backslash, which the import of the file gives
        warnings.simplefilter("ignore")
        node = ast.parse(source, mode="eval").body
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(
        value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else _HOLE
        for value in values
    )
