"""How two catalogs differ, each difference in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from homethrive_db.migrate.catalog import Catalog, Column, Table


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; ``expected`` or ``found`` is None where there is no such thing."""

    what: str
    where: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        return (
            f"{self.what} {self.where}: "
            f"expected {self.expected or 'none'}, found {self.found or 'none'}"
        )


Pair = tuple[str | None, str | None]


def pairs(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Pair]:
    """Pair the names of two sets of definitions; None stands where there is no other.

    What differs in nothing but the name is a pair: it was renamed.
    """
    nameless = {_nameless(found[name], name): name for name in found if name not in expected}
    renamed = {}
    for name in expected:
        if name not in found and (other := nameless.pop(_nameless(expected[name], name), None)):
            renamed[name] = other
    for name in expected:
        yield name, name if name in found else renamed.get(name)
    for name in found:
        if name not in expected and name not in renamed.values():
            yield None, name


def compare(expected: Catalog, found: Catalog) -> list[Difference]:
    """List how *found* differs from *expected*."""
    return [*_enums(expected, found), *_tables(expected, found)]


def _nameless(definition: str, name: str) -> str:
    return re.sub(rf"(?<=INDEX ){re.escape(name)}(?= ON )", "", definition, count=1)


def _enums(expected: Catalog, found: Catalog) -> Iterator[Difference]:
    for name in sorted(expected.enums.keys() | found.enums.keys()):
        wanted, there = _labels(expected.enums.get(name)), _labels(found.enums.get(name))
        if wanted != there:
            yield Difference("enum", name, wanted, there)


def _labels(labels: tuple[str, ...] | None) -> str | None:
    return None if labels is None else f"({', '.join(labels)})"


def _tables(expected: Catalog, found: Catalog) -> Iterator[Difference]:
    for name in sorted(expected.tables.keys() | found.tables.keys()):
        if name not in found.tables:
            yield Difference("table", name, "it", None)
        elif name not in expected.tables:
            yield Difference("table", name, None, "it")
        else:
            yield from _table(name, expected.tables[name], found.tables[name])


def _table(name: str, expected: Table, found: Table) -> Iterator[Difference]:
    yield from _columns(name, expected.columns, found.columns)
    yield from _definitions(name, _kind_of_constraint, expected.constraints, found.constraints)
    yield from _definitions(name, lambda _: "index", expected.indexes, found.indexes)
    yield from _definitions(name, lambda _: "trigger", expected.triggers, found.triggers)
    for what in sorted(expected.properties.keys() | found.properties.keys()):
        wanted, there = expected.properties.get(what), found.properties.get(what)
        if wanted != there:
            yield Difference(what, name, wanted, there)


def _columns(
    table: str, expected: Mapping[str, Column], found: Mapping[str, Column]
) -> Iterator[Difference]:
    for name in [*expected, *(name for name in found if name not in expected)]:
        wanted, there, where = expected.get(name), found.get(name), f"{table}.{name}"
        if wanted is None or there is None:
            yield Difference("column", where, _definition(wanted), _definition(there))
            continue
        for what, one, other in (
            ("type of", wanted.type, there.type),
            ("nullability of", _nullability(wanted), _nullability(there)),
            ("default of", wanted.default, there.default),
            ("generation of", wanted.generated, there.generated),
        ):
            if one != other:
                yield Difference(what, where, one, other)


def _definition(column: Column | None) -> str | None:
    return None if column is None else column.definition


def _nullability(column: Column) -> str:
    return "NULL" if column.is_nullable else "NOT NULL"


def _definitions(
    table: str,
    kind: Callable[[str], str],
    expected: Mapping[str, str],
    found: Mapping[str, str],
) -> Iterator[Difference]:
    for wanted, there in pairs(expected, found):
        if wanted and there and wanted != there:
            what = f"name of {kind(expected[wanted])}"
            yield Difference(what, f"{table}.{there}", wanted, there)
            continue
        one = expected[wanted] if wanted else None
        other = found[there] if there else None
        if one != other:
            yield Difference(kind(one or other or ""), f"{table}.{wanted or there}", one, other)


def _kind_of_constraint(definition: str) -> str:
    """Take the words before the parenthesis: FOREIGN KEY, CHECK, PRIMARY KEY, UNIQUE."""
    return definition.partition(" (")[0].lower()
