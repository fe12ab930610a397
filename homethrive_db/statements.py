"""Statements: declared once as Peewee expressions, compiled once, bound by name per call.

    _FIND = statement(models.User.select().where(models.User.email == param("email")))
    db.first(_FIND, User, email="someone@example.org")

Peewee builds and compiles a query in 100 to 400 microseconds, as long as the server needs for a
look-up; compiled once, a call costs what psycopg2 costs with the same SQL by hand.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json import JSONEncoder
from types import FrameType, NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from peewee import (
    CTE,
    SQL,
    Cast,
    ColumnBase,
    Context,
    EnclosedNodeList,
    Node,
    NodeList,
    Query,
    RawQuery,
    Select,
    fn,
)
from psycopg2.extensions import adapt

from homethrive_db.dialect import written
from homethrive_db.prepared import PreparedText

if TYPE_CHECKING:
    from homethrive_db.database import Database

T = TypeVar("T")

PROXY_BYTES = 16_000
"""The length of a statement that does not pin a session of RDS Proxy, with a margin."""
_SINGLE_VALUES_BYTES = 3_000  # a name and instructions, of the longest characters, and ids

AnyQuery = Query | RawQuery

# A row lock (FOR UPDATE) counts as a write.
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)

_json = JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))

_POSITIONAL = re.compile(r"%([%s])")


class Parameter(ColumnBase):
    """A value that each call brings, by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __sql__(self, context: Context) -> Context:
        return context.literal(f"%({self.name})s")


def param(name: str, as_type: str | None = None) -> ColumnBase:
    """Stand for the value *name* of a call, cast to *as_type* where PostgreSQL cannot infer it."""
    return Parameter(name) if as_type is None else Cast(Parameter(name), as_type)


class Statement:
    """A Peewee query that is compiled on first use and executed by name afterwards."""

    __slots__ = (
        "_after",
        "_compiled",
        "_declared",
        "_is_idempotent",
        "_is_read",
        "_name",
        "_prepared",
        "_query",
    )

    def __init__(
        self,
        query: AnyQuery,
        declared: FrameType,
        *,
        name: str = "",
        is_idempotent: bool = False,
        after: AnyQuery | None = None,
    ) -> None:
        self._query = query
        self._after = after
        self._declared = (declared.f_globals, declared.f_code.co_name)
        self._name = name
        self._is_idempotent = is_idempotent
        self._is_read = False
        self._prepared: PreparedText | None = None
        self._compiled = ""

    def compiled(self) -> str:
        """Give the SQL with named placeholders."""
        if not self._compiled:
            compiled = self._before() + _compile(self._query)
            self._is_read = _WRITES.search(compiled) is None
            self._compiled = compiled
        return self._compiled

    def prepared(self) -> PreparedText:
        """Give the texts that prepare and execute it."""
        if self._prepared is None:
            self._prepared = PreparedText.of(_compile(self._query), self._before())
        return self._prepared

    def _before(self) -> str:
        return "" if self._after is None else f"{_compile(self._after)}; "

    @property
    def is_read(self) -> bool:
        """Say whether it writes nothing and locks nothing."""
        self.compiled()
        return self._is_read

    @property
    def is_idempotent(self) -> bool:
        """Say whether it does no more when it is repeated; every read is."""
        return self._is_idempotent or self.is_read

    @property
    def name(self) -> str:
        """Name it by the module and the constant, or the function, that declares it."""
        if "." not in self._name:
            variables, function = self._declared
            constants = (name for name, value in variables.items() if self._is_in(value))
            declared = self._name or next(constants, function).strip("_").lower()
            self._name = f"{variables['__name__'].rpartition('.')[2]}.{declared}"
        return self._name

    def _is_in(self, constant: object) -> bool:
        values = constant.values() if isinstance(constant, dict) else [constant]
        return any(value is self for value in values)  # Peewee's columns are equal to anything


def statement(
    query: AnyQuery,
    *,
    name: str = "",
    is_idempotent: bool = False,
    after: AnyQuery | None = None,
) -> Statement:
    """Declare *query* as a statement; its ``param`` values come with each call.

    *name* is for one that neither a constant nor a function of its own declares. *is_idempotent*
    says that a write may be repeated where its answer was lost. *after* goes before it, in one
    message and one transaction; it has the same values, and its rows are not fetched. What it waits
    for, the query sees: PostgreSQL reads as of the beginning of a statement.
    """
    declared = sys._getframe(1)
    return Statement(query, declared, name=name, is_idempotent=is_idempotent, after=after)


def columns(source: Any, entity: type) -> list[Any]:
    """List the columns of a model or a CTE that *entity* is made of, in the order of its fields."""
    names = [field.name for field in dataclasses.fields(entity)]
    if isinstance(source, CTE):
        return [getattr(source.c, name) for name in names]
    return [source._meta.columns[name] for name in names]


def input_rows(name: str, /, **columns: str) -> CTE:
    """Declare rows that a call brings as arrays: one parameter and one column for each name.

    *columns* gives each one's PostgreSQL type; a last one, ``position``, numbers the rows from 1.
    Bind each parameter to ``array(values)``. PostgreSQL counts the elements, and plans for them.
    """
    return _numbered(name, columns, fn.unnest(*_arrays(columns)))


def uncounted_rows(name: str, /, **columns: str) -> CTE:
    """Declare rows as ``input_rows`` does, which PostgreSQL takes for ten, however many they are.

    It then thinks of no table as a whole, of no join by hash and of no code to compile, and in
    direct mode keeps one plan for any number.
    """
    arrays = [NodeList((SQL("SELECT"), one), parens=True) for one in _arrays(columns)]
    return _numbered(name, columns, fn.unnest(*arrays))


def _arrays(columns: Mapping[str, str]) -> list[ColumnBase]:
    return [param(column, f"{as_type}[]") for column, as_type in columns.items()]


def json_rows(name: str, /, **columns: str) -> CTE:
    """Declare rows that a call brings as JSON, in one parameter, which has their *name*.

    *columns* and ``position`` as for ``input_rows``; bind to ``json_text(rows)``. A few rows of
    many columns take less time so than as arrays, and an array is a column like others.
    """
    types = ", ".join(f"{column} {as_type}" for column, as_type in columns.items())
    source = NodeList((fn.json_to_recordset(param(name, "json")), SQL(f"AS ({types})")))
    return _numbered(name, columns, NodeList((SQL("ROWS FROM"), EnclosedNodeList((source,)))))


def _numbered(name: str, columns: Iterable[str], source: Node) -> CTE:
    numbered = NodeList((source, SQL("WITH ORDINALITY")))
    return Select((numbered,), (SQL("*"),)).cte(
        name, columns=(*columns, "position"), materialized=True
    )


def array(values: Iterable[object]) -> str:
    """Write *values* as a PostgreSQL array literal, None as NULL.

    One text is bound three times as fast as a list of values, each adapted by itself.
    """
    elements = list(values)
    if elements and NoneType not in map(type, elements):
        text = '","'.join(map(str, elements))
        if "\\" not in text and text.count('"') == 2 * len(elements) - 2:  # nothing to escape
            return f'{{"{text}"}}'
    return "{" + ",".join(map(_array_element, elements)) + "}"


def _array_element(value: object) -> str:
    if value is None:
        return "NULL"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def array_bytes(*values: object) -> int:
    """Tell how many bytes *values* take as elements of arrays in a statement, once quoted."""
    elements = list(map(_array_element, values))
    text = "".join(elements)
    return len(text.encode()) + text.count("\\") + text.count("'") + len(elements)


def json_text(rows: Iterable[Mapping[str, object]]) -> str:
    """Write *rows* as ``json_rows`` reads them."""
    return _json.encode(list(rows))


def json_bytes(row: Mapping[str, object]) -> int:
    """Tell how many bytes *row* takes in a statement, once quoted."""
    text = _json.encode(row)
    return len(text.encode()) + text.count("\\") + text.count("'") + 1


def portions(
    db: Database, statement: Statement, items: Sequence[T], weigh: Callable[[T], int]
) -> Iterator[Sequence[T]]:
    """Split *items*, the rows of a statement: behind a proxy it has at most ``PROXY_BYTES``.

    *weigh* tells how many bytes of the statement an item takes. Gives one portion at least.
    """
    room = PROXY_BYTES - _SINGLE_VALUES_BYTES - len(statement.compiled())
    start = weight = 0
    if db.options.proxy:
        for number, item in enumerate(items):
            weight += (added := weigh(item))
            if weight > room and number > start:
                yield items[start:number]
                start, weight = number, added
    yield items[start:]


def _compile(query: AnyQuery) -> str:
    """Compile to SQL, with the values that the query itself holds written out."""
    sql, values = written(query)
    remaining = iter(values)

    def filled(match: re.Match[str]) -> str:
        return match[0] if match[1] == "%" else _literal(next(remaining))

    return _POSITIONAL.sub(filled, sql)


def _literal(constant: object) -> str:
    """Write a constant of a query as psycopg2 would, which needs a connection for text."""
    if isinstance(constant, str):
        quoted = constant.replace("'", "''").replace("\\", "\\\\")
        text = f"E'{quoted}'" if "\\" in constant else f"'{quoted}'"
    else:
        text = adapt(constant).getquoted().decode()
    return text.replace("%", "%%")
