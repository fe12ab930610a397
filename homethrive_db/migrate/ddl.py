"""The SQL that makes one catalog into another, in an order that PostgreSQL accepts.

What two catalogs cannot tell (a rename, how values change their type, what fills a column) is
written as a commented question; nothing is lost on a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from homethrive_db.migrate.catalog import Catalog, Column, Table
from homethrive_db.migrate.compare import pairs
from homethrive_db.migrate.migrator import QUESTION

_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = re.compile(r"text|character varying(\((?P<length>\d+)\))?")


def statements(before: Catalog, after: Catalog, *, is_way_back: bool = False) -> list[str]:
    """Write what makes *before* into *after*, one statement or question at a time.

    On the way back NOT NULL and narrower types are no question: the column had them, and PostgreSQL
    refuses the rollback where a row stands against it.
    """
    change = _Change(before, after, is_way_back)
    return [
        *change.enums(),
        *change.dropped_foreign_keys(),
        *change.dropped_parts(),
        *change.dropped_tables(),
        *change.renamed_parts(),
        *change.columns(),
        *change.created_tables(),
        *change.added_parts(),
        *change.added_foreign_keys(),
        *change.dropped_enums(),
    ]


def with_new_labels(before: Catalog, after: Catalog) -> Catalog | None:
    """Give *before* with the labels that *after* adds to its enums; None where there are none."""
    added = {
        name: labels
        for name, labels in after.enums.items()
        if (old := before.enums.get(name)) not in {None, labels}
        and [label for label in labels if label in old] == list(old)
    }
    return replace(before, enums={**before.enums, **added}) if added else None


def _question(text: str, *options: str) -> str:
    return "\n".join([f"{QUESTION} {text}", *(f"-- {option}" for option in options)])


def _is_foreign_key(definition: str) -> bool:
    return definition.startswith("FOREIGN KEY")


def _target(foreign_key: str) -> str:
    return foreign_key.partition(" REFERENCES ")[2].partition("(")[0]


@dataclass(frozen=True, slots=True)
class _Change:
    before: Catalog
    after: Catalog
    is_way_back: bool

    def enums(self) -> Iterator[str]:
        for name, labels in self.after.enums.items():
            old = self.before.enums.get(name)
            if old is None:
                yield f"CREATE TYPE {name} AS ENUM ({_literals(labels)});"
            elif old != labels:
                yield from _changed_enum(name, old, labels)

    def dropped_enums(self) -> Iterator[str]:
        for name in self.before.enums:
            if name not in self.after.enums:
                yield f"DROP TYPE {name};"

    def dropped_foreign_keys(self) -> Iterator[str]:
        """Drop them first of all: what they refer to may go."""
        shaken = self._tables_that_lose_keys()
        for name, before, after in self._tables_kept():
            lost = _lost(before.constraints, after.constraints)
            for constraint, definition in before.constraints.items():
                if _is_foreign_key(definition) and (
                    constraint in lost or _target(definition) in shaken
                ):
                    yield f"ALTER TABLE {name} DROP CONSTRAINT {constraint};"

    def dropped_parts(self) -> Iterator[str]:
        for name, before, after in self._tables_kept():
            for trigger in _lost(before.triggers, after.triggers):
                yield _question(
                    "models cannot have triggers; is this one to go?",
                    f"DROP TRIGGER {trigger} ON {name};",
                )
            for index in _lost(before.indexes, after.indexes):
                yield f"DROP INDEX {index};"
            for constraint in _lost(before.constraints, after.constraints):
                if not _is_foreign_key(before.constraints[constraint]):
                    yield f"ALTER TABLE {name} DROP CONSTRAINT {constraint};"

    def renamed_parts(self) -> Iterator[str]:
        """Rename once all that goes is gone: an index may take the name of another table's."""
        for name, before, after in self._tables_kept():
            for old, new in _renamed(before.indexes, after.indexes):
                yield f"ALTER INDEX {old} RENAME TO {new};"
            for old, new in _renamed(before.constraints, after.constraints):
                yield f"ALTER TABLE {name} RENAME CONSTRAINT {old} TO {new};"

    def dropped_tables(self) -> Iterator[str]:
        gone = [name for name in self.before.tables if name not in self.after.tables]
        renames = {name: new for name in gone if (new := self._table_renamed_to(name)) is not None}
        dropped = [name for name in gone if name not in renames]
        if dropped:
            yield f"DROP TABLE {', '.join(dropped)};"
        for name, new_name in list(renames.items()):
            del renames[name]
            yield _question(
                f"is {new_name}, created below, the table {name} under a new name? If so, "
                "rename it in place of that; if not:",
                f"ALTER TABLE {name} RENAME TO {new_name};",
                *self._dropped_references(renames, name),
                f"DROP TABLE {name};",
            )

    def _dropped_references(self, tables: Iterable[str], target: str) -> Iterator[str]:
        for name in tables:
            for constraint, definition in self.before.tables[name].constraints.items():
                if _is_foreign_key(definition) and f" REFERENCES {target}(" in definition:
                    yield f"ALTER TABLE {name} DROP CONSTRAINT {constraint};"

    def columns(self) -> Iterator[str]:
        for name, before, after in self._tables_kept():
            yield from self._columns_of(name, before.columns, after.columns)

    def created_tables(self) -> Iterator[str]:
        for name, table in self._tables_made():
            lines = [f"{column} {it.definition}" for column, it in table.columns.items()]
            lines += [
                f"CONSTRAINT {constraint} {definition}"
                for constraint, definition in table.constraints.items()
                if not _is_foreign_key(definition)
            ]
            body = ",\n    ".join(lines)
            yield f"CREATE TABLE {name} (\n    {body}\n);"

    def added_parts(self) -> Iterator[str]:
        for name, before, after in self._tables_kept():
            for constraint in _lost(after.constraints, before.constraints):
                if not _is_foreign_key(after.constraints[constraint]):
                    yield _added(name, constraint, after.constraints[constraint])
            for index in _lost(after.indexes, before.indexes):
                yield f"{after.indexes[index]};"
            for trigger in _lost(after.triggers, before.triggers):
                yield f"{after.triggers[trigger]};"
            if before.properties != after.properties:
                yield _question(f"{name} differs in {before.properties or after.properties}")
        for _, table in self._tables_made():
            yield from (f"{definition};" for definition in table.indexes.values())

    def added_foreign_keys(self) -> Iterator[str]:
        """Add them last of all: what they refer to is there by now."""
        shaken = self._tables_that_lose_keys()
        for name, after in self.after.tables.items():
            before = self.before.tables.get(name, Table())
            new = _lost(after.constraints, before.constraints)
            for constraint, definition in after.constraints.items():
                if _is_foreign_key(definition) and (
                    constraint in new or _target(definition) in shaken
                ):
                    yield _added(name, constraint, definition)

    def _tables_that_lose_keys(self) -> set[str]:
        """List the tables whose keys foreign keys of others may stand on."""
        return {
            name
            for name, before, after in self._tables_kept()
            if any(
                before.constraints[one].startswith(("PRIMARY KEY", "UNIQUE"))
                for one in _lost(before.constraints, after.constraints)
            )
            or any(
                before.indexes[one].startswith("CREATE UNIQUE")
                for one in _lost(before.indexes, after.indexes)
            )
        }

    def _tables_kept(self) -> Iterator[tuple[str, Table, Table]]:
        for name, after in self.after.tables.items():
            if name in self.before.tables:
                yield name, self.before.tables[name], after

    def _tables_made(self) -> Iterator[tuple[str, Table]]:
        for name, table in self.after.tables.items():
            if name not in self.before.tables:
                yield name, table

    def _table_renamed_to(self, name: str) -> str | None:
        """Find a new table with most of the columns of a table that is gone."""
        old = self.before.tables[name].columns.keys()
        for new_name, table in self._tables_made():
            if 2 * len(old & table.columns.keys()) > max(len(old), len(table.columns)):
                return new_name
        return None

    def _columns_of(
        self, table: str, before: Mapping[str, Column], after: Mapping[str, Column]
    ) -> Iterator[str]:
        gone = [name for name in before if name not in after]
        made = [name for name in after if name not in before]
        new_names = ", ".join(made)
        for new in list(made):
            old = next((name for name in gone if before[name].type == after[new].type), None)
            if old is not None:
                gone.remove(old)
                made.remove(new)
                yield _question(
                    f"is {table}.{new} the column {old} under a new name? If so, the first line; "
                    "if not, the other two:",
                    f"ALTER TABLE {table} RENAME COLUMN {old} TO {new};",
                    f"ALTER TABLE {table} DROP COLUMN {old};",
                    f"ALTER TABLE {table} ADD COLUMN {new} {after[new].definition};",
                )
        for name in sorted(gone, key=lambda name: before[name].generated is None):
            drop = f"ALTER TABLE {table} DROP COLUMN {name};"  # the generated ones use others
            if new_names and not self.is_way_back:
                drop = _question(
                    f"is {table}.{name} one of the new columns ({new_names}) under a new name and "
                    "with a new type? If not:",
                    drop,
                )
            yield drop
        for name in made:
            yield self._added_column(table, name, after[name])
        for name in after:
            if name in before and before[name] != after[name]:
                yield from self._changed_column(table, name, before[name], after[name])

    def _added_column(self, table: str, name: str, column: Column) -> str:
        statement = f"ALTER TABLE {table} ADD COLUMN {name} {column.definition};"
        if column.is_nullable or column.default or column.generated or self.is_way_back:
            return statement
        return _question(
            f"what do the rows of {table} have in {name}? Give it a default, or where there are no "
            "rows:",
            statement,
        )

    def _changed_column(
        self, table: str, name: str, before: Column, after: Column
    ) -> Iterator[str]:
        alter = f"ALTER TABLE {table} ALTER COLUMN {name}"
        if before.generated != after.generated:
            yield _question(
                f"{table}.{name} was {before.generated or 'plain'} and is to be "
                f"{after.generated or 'plain'}: how?"
            )
            return
        default = before.default
        if before.type != after.type:
            if default is not None:
                yield f"{alter} DROP DEFAULT;"
                default = None
            yield self._changed_type(alter, name, before.type, after.type)
        if default != after.default:
            yield f"{alter} {f'SET DEFAULT {after.default}' if after.default else 'DROP DEFAULT'};"
        if after.is_nullable and not before.is_nullable:
            yield f"{alter} DROP NOT NULL;"
        if before.is_nullable and not after.is_nullable:
            yield self._set_not_null(alter, table, name)

    def _changed_type(self, alter: str, name: str, before: str, after: str) -> str:
        widens = _widens(before, after)
        if widens or (self.is_way_back and _widens(after, before)):
            return f"{alter} TYPE {after};"
        if _widens(after, before):  # without USING PostgreSQL refuses what does not fit
            return _question(f"do all values of {name} fit {after}?", f"{alter} TYPE {after};")
        return _question(
            f"how do the values of {name} become {after}?",
            f"{alter} TYPE {after} USING {name}::{after};",
        )

    def _set_not_null(self, alter: str, table: str, name: str) -> str:
        statement = f"{alter} SET NOT NULL;"
        if self.is_way_back:
            return statement
        return _question(
            f"what do the rows of {table} get that have no {name}? Fill them first, then:",
            f"UPDATE {table} SET {name} = ... WHERE {name} IS NULL;",  # noqa: S608  # a comment
            statement,
        )


def _lost(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """List what *after* lacks, or has under the same name with another definition."""
    return [
        old
        for new, old in pairs(after, before)
        if old is not None and (new is None or (new == old and after[new] != before[old]))
    ]


def _renamed(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(old, new) for new, old in pairs(after, before) if old and new and old != new]


def _added(table: str, constraint: str, definition: str) -> str:
    return f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition};"


def _literals(labels: tuple[str, ...]) -> str:
    return ", ".join(map(_literal, labels))


def _literal(label: str) -> str:
    return "'" + label.replace("'", "''") + "'"


def _changed_enum(name: str, before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[str]:
    if [label for label in after if label in before] == list(before):
        for number, label in enumerate(after):
            if label not in before:
                place = (
                    f"AFTER {_literal(after[number - 1])}"
                    if number
                    else f"BEFORE {_literal(before[0])}"
                )
                yield f"ALTER TYPE {name} ADD VALUE {_literal(label)} {place};"
        return
    renames = [
        f"ALTER TYPE {name} RENAME VALUE {_literal(old)} TO {_literal(new)};"
        for old, new in zip(before, after, strict=False)
        if old != new and old not in after and new not in before
    ]
    if len(before) == len(after) and len(renames) == 1:
        yield _question(f"is the label of {name} the same under a new name?", *renames)
        return
    yield _question(
        f"PostgreSQL cannot take labels of {name} away, nor order them anew. Is a new type to take "
        "its place? First see that no row holds what goes, then for each column of the type:",
        f"ALTER TYPE {name} RENAME TO {name}_old;",
        f"CREATE TYPE {name} AS ENUM ({_literals(after)});",
        f"ALTER TABLE ... ALTER COLUMN ... TYPE {name} USING ...::text::{name};",
        f"DROP TYPE {name}_old;",
    )


def _widens(before: str, after: str) -> bool:
    """Say whether every value of the one type is one of the other, as it stands."""
    if before in _INTEGERS and after in _INTEGERS:
        return _INTEGERS.index(before) <= _INTEGERS.index(after)
    one, other = _TEXTS.fullmatch(before), _TEXTS.fullmatch(after)
    if not one or not other:
        return False
    if other["length"] is None:
        return True
    return one["length"] is not None and int(one["length"]) <= int(other["length"])
