"""What a schema is, read from PostgreSQL's catalog, in a form that compares by equality.

Definitions are the server's own words (``pg_get_constraintdef`` and its kin), read while the schema
is the search path: so two schemas of equal content give equal text. The order of columns does not
count. Names are quoted where SQL needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from homethrive_db.database import Database
from homethrive_db.migrate import history


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``generated`` stands in place of a default: ``serial`` or ``GENERATED …``."""

    type: str
    is_nullable: bool
    default: str | None = None
    generated: str | None = None

    @property
    def definition(self) -> str:
        """Give it as CREATE TABLE takes it, after the name."""
        kind = _SERIALS[self.type] if self.generated == SERIAL else self.type
        words = [kind]
        if self.generated and self.generated != SERIAL:
            words.append(self.generated)
        if self.default is not None:
            words.append(f"DEFAULT {self.default}")
        if not self.is_nullable:
            words.append("NOT NULL")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; each part by its name, as the server defines it."""

    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    """What is out of the ordinary of the table itself, such as row security."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The enums and tables of a schema."""

    enums: dict[str, tuple[str, ...]]
    tables: dict[str, Table]


SERIAL = "serial"
_SERIALS = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}

# Tables that are members of an extension are not ours.
_TABLES = """
SELECT oid::integer, relname, quote_ident(relname),
    CASE WHEN relkind = 'p' THEN 'partitioned' WHEN relkind = 'f' THEN 'foreign'
        WHEN relpersistence = 'u' THEN 'unlogged' END,
    CASE WHEN relforcerowsecurity THEN 'forced' WHEN relrowsecurity THEN 'enabled' END,
    (
        SELECT string_agg(concat_ws(' ', polname, polcmd, CASE WHEN polpermissive THEN 'permissive'
            ELSE 'restrictive' END, polroles::regrole[]::text, pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid)), '; ' ORDER BY polname)
        FROM pg_policy WHERE polrelid = pg_class.oid
    ),
    (SELECT regexp_replace(string_agg(pg_get_ruledef(oid, true), ' ' ORDER BY rulename),
            '[[:space:]]+', ' ', 'g')
        FROM pg_rewrite WHERE ev_class = pg_class.oid),
    (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) FROM pg_inherits
        WHERE inhrelid = pg_class.oid)
FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'f')
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
ORDER BY relname
"""
_COLUMNS = """
SELECT attrelid::integer, quote_ident(attname), format_type(atttypid, atttypmod) || CASE
        WHEN attcollation <> typcollation THEN ' COLLATE ' || quote_ident(collname) ELSE '' END,
    NOT attnotnull, pg_get_expr(adbin, adrelid), attidentity, attgenerated, EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid IN (SELECT seqrelid FROM pg_sequence)
            AND refclassid = 'pg_class'::regclass AND refobjid = attrelid
            AND refobjsubid = attnum AND deptype = 'a'
    )
FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
LEFT JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attrelid = ANY(%(tables)s::oid[]) AND attnum > 0 AND NOT attisdropped
ORDER BY attrelid, attnum
"""
# From PostgreSQL 18 on, NOT NULL is a constraint too: the columns say it, unless it is not valid.
_CONSTRAINTS = """
SELECT conrelid::integer, quote_ident(conname), pg_get_constraintdef(oid, true) || CASE
        WHEN EXISTS (
            SELECT FROM pg_trigger
            WHERE tgconstraint = pg_constraint.oid AND tgisinternal AND tgenabled = 'D'
        ) THEN ' (its triggers are disabled)'
        ELSE '' END
FROM pg_constraint
WHERE conrelid = ANY(%(tables)s::oid[]) AND contype <> 't' AND (contype <> 'n' OR NOT convalidated)
ORDER BY conname
"""
_INDEXES = """
SELECT indrelid::integer, quote_ident(relname), pg_get_indexdef(indexrelid, 0, true)
    || CASE WHEN indisvalid AND indisready AND indislive THEN '' ELSE ' (INVALID)' END
FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = ANY(%(tables)s::oid[]) AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x')
) ORDER BY relname
"""
_TRIGGERS = """
SELECT tgrelid::integer, quote_ident(tgname), pg_get_triggerdef(oid, true)
    || CASE tgenabled WHEN 'O' THEN '' ELSE ' (mode ' || tgenabled::text || ')' END
FROM pg_trigger WHERE tgrelid = ANY(%(tables)s::oid[]) AND NOT tgisinternal ORDER BY tgname
"""
# An enum that only tables of others use is theirs.
_ENUMS = """
WITH uses AS (
    SELECT atttypid AS type, bool_or(attrelid = ANY(%(tables)s::oid[])) AS by_ours
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relkind IN ('r', 'p', 'f') AND NOT attisdropped GROUP BY atttypid
)
SELECT quote_ident(typname), array_agg(enumlabel::text ORDER BY enumsortorder)
FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid
LEFT JOIN uses ON uses.type IN (pg_type.oid, typarray)
WHERE typnamespace = current_schema()::regnamespace
GROUP BY pg_type.oid HAVING coalesce(bool_or(by_ours), true) ORDER BY typname
"""


def read_catalog(db: Database, ignore: Iterable[str] = ()) -> Catalog:
    """Read the current schema, the history and the tables of *ignore* left out.

    *ignore* has names or patterns (``*``). Changes nothing.
    """
    theirs = [*history.TABLES, *ignore]
    with db.atomic():
        # Definitions name in full what is not on the search path.
        db.execute_sql("SELECT set_config('search_path', quote_ident(current_schema()), true)")
        names, tables = {}, {}
        for oid, name, quoted, *properties in db.execute_sql(_TABLES).fetchall():
            if not any(fnmatchcase(name, pattern) for pattern in theirs):
                names[oid] = quoted
                tables[oid] = Table(properties=_properties(*properties))

        def rows(sql: str) -> Any:
            return db.execute_sql(sql, {"tables": list(tables)}).fetchall()

        for oid, name, *column in rows(_COLUMNS):
            tables[oid].columns[name] = _column(*column)
        for oid, name, definition in rows(_CONSTRAINTS):
            tables[oid].constraints[name] = definition
        for oid, name, definition in rows(_INDEXES):
            tables[oid].indexes[name] = definition
        for oid, name, definition in rows(_TRIGGERS):
            tables[oid].triggers[name] = definition
        enums = {name: tuple(labels) for name, labels in rows(_ENUMS)}
    return Catalog(enums, {names[oid]: table for oid, table in tables.items()})


def _properties(*values: str | None) -> dict[str, str]:
    names = ("storage", "row security", "policies", "rules", "parents")
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _column(kind: str, is_nullable: bool, expression: str | None, *made: Any) -> Column:
    identity, generated, owns_sequence = made
    if identity:
        when = "ALWAYS" if identity == "a" else "BY DEFAULT"
        return Column(kind, is_nullable, None, f"GENERATED {when} AS IDENTITY")
    if generated:
        how = "STORED" if generated == "s" else "VIRTUAL"
        return Column(kind, is_nullable, None, f"GENERATED ALWAYS AS ({expression}) {how}")
    if owns_sequence and expression and expression.startswith("nextval("):
        return Column(kind, is_nullable, None, SERIAL)
    return Column(kind, is_nullable, expression)
