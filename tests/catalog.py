"""Reads a database's catalog in the form of data/schema.json."""

import json
from pathlib import Path

CONTRACT = json.loads(Path(__file__).parent.joinpath("data/schema.json").read_text())

_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), NOT attnotnull,
    (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef
     WHERE adrelid = attrelid AND adnum = attnum)
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
# From PostgreSQL 18 on, NOT NULL is a constraint too; the columns say it already.
_CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid, true) FROM pg_constraint
WHERE conrelid = %s::regclass AND contype <> 'n'
"""
_INDEXES = """
SELECT relname, replace(pg_get_indexdef(indexrelid), ' ON public.', ' ON ')
FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = %s::regclass AND NOT indisprimary
"""
_ENUMS = """
SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder)
FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid GROUP BY typname
"""
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""


def shared_part(catalog):
    """Leave out what is ours alone: tables, enums, and indexes that refuse no row."""
    return {
        "enums": {name: catalog["enums"].get(name) for name in CONTRACT["enums"]},
        "tables": {name: _shared_table(catalog, name) for name in CONTRACT["tables"]},
    }


def _shared_table(catalog, name):
    table, known = catalog["tables"][name], CONTRACT["tables"][name]["indexes"]
    indexes = {
        index: text
        for index, text in table["indexes"].items()
        if index in known or text.startswith("CREATE UNIQUE")
    }
    return {**table, "indexes": indexes}


def read_catalog(db):
    """Give enums and tables, the history of migrations left out."""
    with db.atomic():
        tables = {name for (name,) in db.execute_sql(_TABLES)} - {
            "migratehistory",
            "migratechecksum",
        }
        return {
            "enums": dict(db.execute_sql(_ENUMS).fetchall()),
            "tables": {table: _table(db, table) for table in sorted(tables)},
        }


def _table(db, table):
    return {
        "columns": {
            name: {"type": kind, "nullable": nullable, "default": default}
            for name, kind, nullable, default in db.execute_sql(_COLUMNS, (table,))
        },
        "constraints": dict(db.execute_sql(_CONSTRAINTS, (table,)).fetchall()),
        "indexes": dict(db.execute_sql(_INDEXES, (table,)).fetchall()),
    }
