"""Writes queries as SQL: in PostgreSQL's dialect, with no more names than it takes."""

from __future__ import annotations

from typing import Any

from peewee import (
    SCOPE_VALUES,
    Column,
    Context,
    Entity,
    Field,
    Insert,
    ModelBase,
    PostgresqlDatabase,
    QualifiedNames,
    Query,
    Source,
)


class _Writer(Context):
    """Leaves the table out before its columns, where there is but one query of one table.

    That is 2 % of a call: the server has less to read, and to look up.
    """

    __slots__ = ("_needed", "_parts", "_qualifiers", "_sources")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._qualifiers: list[slice] = []
        self._sources: dict[int, object] = {}
        self._needed = False
        self._parts: list[str] = self._sql  # type: ignore[attr-defined]  # peewee has no types

    def sql(self, obj: Any) -> Any:
        """Write a part of a query, and take note of what columns may belong to."""
        if isinstance(obj, ModelBase):
            obj = obj._meta.table  # type: ignore[attr-defined]  # peewee makes it
        if isinstance(obj, Column) and self.scope != SCOPE_VALUES:
            return self._write_column(obj)
        if isinstance(obj, Source | Query):
            self._sources[id(obj)] = obj
            self._needed |= _orders_what_it_computes(obj)
        elif isinstance(obj, QualifiedNames):
            # Where an INSERT turns into an update: of the stored row, or of the new one.
            self._needed |= any(isinstance(one, Insert) for one in self._sources.values())
        write: Any = super().sql
        return write(obj)

    def _write_column(self, column: Column) -> Any:
        start = len(self._parts)
        with self.scope_column():
            self.sql(column.source).literal(".")
        self._qualifiers.append(slice(start, len(self._parts)))
        return self.sql(Entity(column.name))

    def query(self) -> tuple[str, list[object]]:
        """Give the SQL, and the values that come with it."""
        if len(self._sources) == 2 and not self._needed:  # the query and its table
            for qualifier in reversed(self._qualifiers):
                del self._parts[qualifier]
        sql, values = super().query()
        return sql, values


def _orders_what_it_computes(query: Any) -> bool:
    """Say whether ORDER BY may mean what is selected under a column's name, and not the column."""
    return bool(getattr(query, "_order_by", None)) and not all(
        isinstance(one, Field) for one in query._returning or ()
    )


class _Dialect(PostgresqlDatabase):
    """Knows PostgreSQL, and no server: compiling does no I/O."""

    context_class = _Writer


_DIALECT = _Dialect(None)


def written(query: Any) -> tuple[str, list[object]]:
    """Write *query* as SQL, with ``%s`` for each of the values, which are given too."""
    writer: Any = _DIALECT.get_sql_context()
    sql, values = writer.sql(query).query()
    return sql, values
