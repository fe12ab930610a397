"""Drafts: what makes one schema into another and back, and what only an author can know."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    CharField,
    Check,
    DateField,
    ForeignKeyField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)

from homethrive_db import MigrationError, create_db, models
from homethrive_db.migrate import migrations_folder, rollback
from homethrive_db.migrate.catalog import Catalog, read_catalog
from homethrive_db.migrate.compare import compare
from homethrive_db.migrate.ddl import statements
from homethrive_db.migrate.draft import generate
from homethrive_db.migrate.plan import plan
from homethrive_db.migrate.router import SafeRouter
from homethrive_db.migrate.scratch import catalog_of_models, scratch
from homethrive_db.models import MODELS, EnumField
from tests import catalog
from tests.migrations import NAMES
from tests.process import run_command
from tests.stock import pw_migrate

ROOT = Path(__file__).parents[2]


def catalog_of(db, sql):
    with scratch(db) as connection:
        connection.execute_sql(sql.replace("%", "%%"))
        return read_catalog(connection)


def test_on_an_empty_history_it_reproduces_the_schema_and_takes_it_back(empty_db, tmp_path):
    path = generate(empty_db, "everything", tmp_path)
    assert path == tmp_path / "001_everything.py"
    router = SafeRouter(empty_db, tmp_path)
    with empty_db.connection_context():
        assert list(router.apply()) == ["001_everything"]
        assert catalog.shared_part(catalog.read_catalog(empty_db)) == catalog.CONTRACT
        router.take_back()
        assert catalog.read_catalog(empty_db) == {"enums": {}, "tables": {}}
        assert list(router.apply()) == ["001_everything"]
        assert catalog.shared_part(catalog.read_catalog(empty_db)) == catalog.CONTRACT


def test_without_a_difference_it_writes_nothing(empty_db, server, tmp_path):
    generate(empty_db, "everything", tmp_path)
    assert generate(empty_db, "more", tmp_path) is None
    assert len(list(tmp_path.iterdir())) == 1
    before = sorted(ROOT.joinpath("migrations").iterdir())
    # The package of the checkout, for an installed one refuses.
    done = run_command("generate", "nothing", url=server.url, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to write" in done.stdout
    assert sorted(ROOT.joinpath("migrations").iterdir()) == before


class Shaped(Model):
    shape = EnumField("shape_enum", constraints=[SQL("DEFAULT 'round'")])

    class Meta:
        table_name = "shaped"


def test_a_new_label_comes_before_what_uses_it(blank_db, tmp_path):
    """In a file of its own: PostgreSQL uses it only once it is committed."""
    router = SafeRouter(blank_db, tmp_path)
    try:
        generate(blank_db, "shapes", tmp_path, made_of=[Shaped], enums={"shape_enum": ("round",)})
        enums = {"shape_enum": ("round", "long")}
        Shaped._meta.fields["shape"].constraints = [SQL("DEFAULT 'long'")]
        labels = generate(blank_db, "labels", tmp_path, made_of=[Shaped], enums=enums)
        assert "ADD VALUE 'long'" in labels.read_text()
        assert "DEFAULT" not in labels.read_text()
        default = generate(blank_db, "default", tmp_path, made_of=[Shaped], enums=enums)
        assert "SET DEFAULT 'long'" in default.read_text()
        assert generate(blank_db, "nothing", tmp_path, made_of=[Shaped], enums=enums) is None
        assert list(router.apply()) == ["001_shapes", "002_labels", "003_default"]
        expected = catalog_of_models(blank_db, [Shaped], enums)
        assert compare(expected, read_catalog(blank_db)) == []
        assert len(plan(blank_db, tmp_path)) == 0
        schemas = blank_db.execute_sql("SELECT nspname FROM pg_namespace").fetchall()
        assert not [name for (name,) in schemas if name.startswith("homethrive_scratch")]
    finally:
        with blank_db.atomic():
            blank_db.execute_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_what_a_killed_run_left_is_swept_an_hour_later(blank_db):
    with blank_db.atomic():
        blank_db.execute_sql("CREATE SCHEMA homethrive_scratch_old")
        blank_db.execute_sql("COMMENT ON SCHEMA homethrive_scratch_old IS '1700000000'")
    with scratch(blank_db, commits=True) as connection:
        found = connection.execute_sql("SELECT nspname FROM pg_namespace").fetchall()
    names = [name for (name,) in found if name.startswith("homethrive_scratch")]
    assert names == [connection.schema]


def test_no_draft_goes_into_an_installed_package(empty_db, tmp_path):
    folder = tmp_path / "site-packages/homethrive_db/migrations"
    folder.mkdir(parents=True)
    for made_of in (MODELS, []):  # without a difference, too
        with pytest.raises(MigrationError, match="draft in a checkout"):
            generate(empty_db, "everything", folder, made_of=made_of, enums={})
    assert not list(folder.iterdir())


def test_a_checkout_whose_models_are_not_those_that_run_is_refused(empty_db, server, tmp_path):
    copy = tmp_path / "homethrive_db" / "models.py"
    copy.parent.mkdir()
    copy.write_text("")
    done = run_command("generate", "more", url=server.url, folder=tmp_path, PYTHONSAFEPATH="1")
    assert done.returncode == 2
    assert done.stderr == (
        f"homethrive-db: the models compared would be those of {models.__file__}, not {copy}: "
        "pip install --editable . in the checkout first\n"
    )
    (tmp_path / "migrations").mkdir()
    with pytest.raises(MigrationError, match=r"models compared would be those of .*, not"):
        generate(empty_db, "more", tmp_path / "migrations")


def test_the_stock_command_writes_the_same_draft(empty_db, server, tmp_path):
    tmp_path.joinpath("conf.py").write_text(migrations_folder().joinpath("conf.py").read_text())
    done = pw_migrate("create", "--auto", "everything", url=server.url, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    drafted = tmp_path.joinpath("001_everything.py").read_text()
    tmp_path.joinpath("001_everything.py").unlink()
    assert generate(empty_db, "everything", tmp_path).read_text() == drafted
    again = pw_migrate("create", "--auto", "more", url=server.url, folder=tmp_path)
    assert (again.returncode, again.stdout) == (0, "no difference: nothing to write\n")


@pytest.mark.parametrize("name", ["", "Ünique", "two words", "a/b", "../up", "x.py"])
def test_a_name_that_cannot_be_a_file_is_refused(empty_db, tmp_path, name):
    with pytest.raises(MigrationError, match="letters a to z"):
        generate(empty_db, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


TABLE = "CREATE TABLE pills (id int CONSTRAINT pills_pkey PRIMARY KEY, {});"
SIMPLE = TABLE.format("color text")

# From the first to the second schema, what is written; the way back is tried, not spelled out.
PLAIN = {
    "an index that takes another's name": (
        "CREATE TABLE a (x int); CREATE TABLE b (x int);"
        "CREATE INDEX one ON a (x); CREATE INDEX two ON b (x);",
        "CREATE TABLE a (x int); CREATE TABLE b (x int); CREATE INDEX two ON a (x);",
        ["DROP INDEX two;", "ALTER INDEX one RENAME TO two;"],
    ),
    "a key that a foreign key stands on": (
        "CREATE TABLE a (x int NOT NULL CONSTRAINT a_key UNIQUE, y int NOT NULL);"
        "CREATE TABLE b (x int CONSTRAINT b_x_fk REFERENCES a (x));"
        "ALTER TABLE a ADD CONSTRAINT a_pair UNIQUE (x, y);",
        "CREATE TABLE a (x int NOT NULL CONSTRAINT a_key UNIQUE, y int NOT NULL);"
        "CREATE TABLE b (x int CONSTRAINT b_x_fk REFERENCES a (x));",
        [
            "ALTER TABLE b DROP CONSTRAINT b_x_fk;",
            "ALTER TABLE a DROP CONSTRAINT a_pair;",
            "ALTER TABLE b ADD CONSTRAINT b_x_fk FOREIGN KEY (x) REFERENCES a(x);",
        ],
    ),
    "a generated column and what it is made of": (
        "CREATE TABLE a (x int, y int GENERATED ALWAYS AS (x + 1) STORED);",
        "CREATE TABLE a ();",
        ["ALTER TABLE a DROP COLUMN y;", "ALTER TABLE a DROP COLUMN x;"],
    ),
    "nullable column": (
        TABLE.format("color text"),
        TABLE.format("color text, size int, shape text NOT NULL DEFAULT 'round'"),
        [
            "ALTER TABLE pills ADD COLUMN size integer;",
            "ALTER TABLE pills ADD COLUMN shape text DEFAULT 'round'::text NOT NULL;",
        ],
    ),
    "generated columns": (
        SIMPLE,
        TABLE.format(
            "color text, a serial, b bigint GENERATED BY DEFAULT AS IDENTITY, "
            "c int GENERATED ALWAYS AS (id * 2) STORED"
        ),
        [
            "ALTER TABLE pills ADD COLUMN a serial NOT NULL;",
            "ALTER TABLE pills ADD COLUMN b bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL;",
            "ALTER TABLE pills ADD COLUMN c integer GENERATED ALWAYS AS ((id * 2)) STORED;",
        ],
    ),
    "default and NOT NULL": (
        TABLE.format("color text DEFAULT 'red' NOT NULL, size int"),
        TABLE.format("color text, size int DEFAULT 1"),
        [
            "ALTER TABLE pills ALTER COLUMN color DROP DEFAULT;",
            "ALTER TABLE pills ALTER COLUMN color DROP NOT NULL;",
            "ALTER TABLE pills ALTER COLUMN size SET DEFAULT 1;",
        ],
    ),
    "wider types": (
        TABLE.format("a varchar(20), b smallint DEFAULT 1, c varchar(20)"),
        TABLE.format("a varchar(40), b bigint DEFAULT 1, c text"),
        [
            "ALTER TABLE pills ALTER COLUMN a TYPE character varying(40);",
            "ALTER TABLE pills ALTER COLUMN b DROP DEFAULT;",
            "ALTER TABLE pills ALTER COLUMN b TYPE bigint;",
            "ALTER TABLE pills ALTER COLUMN b SET DEFAULT 1;",
            "ALTER TABLE pills ALTER COLUMN c TYPE text;",
        ],
    ),
    "constraint and index renamed": (
        TABLE.format("color text CONSTRAINT a CHECK (color <> '')")
        + "CREATE INDEX b ON pills (color);",
        TABLE.format("color text CONSTRAINT c CHECK (color <> '')")
        + "CREATE INDEX d ON pills (color);",
        [
            "ALTER INDEX b RENAME TO d;",
            "ALTER TABLE pills RENAME CONSTRAINT a TO c;",
        ],
    ),
    "index made unique, partial, of another method": (
        SIMPLE + "CREATE INDEX a ON pills (color); CREATE INDEX b ON pills (color);",
        SIMPLE
        + "CREATE UNIQUE INDEX a ON pills (color) WHERE id > 1; "
        + "CREATE INDEX b ON pills USING hash (color);",
        [
            "DROP INDEX a;",
            "DROP INDEX b;",
            "CREATE UNIQUE INDEX a ON pills USING btree (color) WHERE id > 1;",
            "CREATE INDEX b ON pills USING hash (color);",
        ],
    ),
    "foreign key with another action": (
        SIMPLE + "CREATE TABLE doses (pill int CONSTRAINT f REFERENCES pills ON DELETE CASCADE);",
        SIMPLE + "CREATE TABLE doses (pill int CONSTRAINT f REFERENCES pills ON DELETE SET NULL);",
        [
            "ALTER TABLE doses DROP CONSTRAINT f;",
            "ALTER TABLE doses ADD CONSTRAINT f FOREIGN KEY (pill) REFERENCES pills(id) "
            "ON DELETE SET NULL;",
        ],
    ),
    "a key that others refer to goes with them": (
        TABLE.format("code text CONSTRAINT code_key UNIQUE")
        + "CREATE TABLE doses (code text CONSTRAINT f REFERENCES pills (code));",
        TABLE.format("code text") + "CREATE TABLE doses (code text);",
        [
            "ALTER TABLE doses DROP CONSTRAINT f;",
            "ALTER TABLE pills DROP CONSTRAINT code_key;",
        ],
    ),
    "tables that refer to each other go": (
        SIMPLE
        + "CREATE TABLE doses (id int CONSTRAINT k PRIMARY KEY, pill int);"
        + "ALTER TABLE doses ADD CONSTRAINT f FOREIGN KEY (pill) REFERENCES pills;"
        + "ALTER TABLE pills ADD CONSTRAINT g FOREIGN KEY (id) REFERENCES doses;",
        "SELECT;",
        ["DROP TABLE doses, pills;"],
    ),
    "enum with its labels": (
        SIMPLE,
        "CREATE TYPE shape AS ENUM ('round', 'it''s long');"
        + TABLE.format("color text, shape shape"),
        [
            "CREATE TYPE shape AS ENUM ('round', 'it''s long');",
            "ALTER TABLE pills ADD COLUMN shape shape;",
        ],
    ),
    "names that SQL reserves": (
        SIMPLE,
        SIMPLE + 'CREATE TABLE "order" ("User" text, "select" int CONSTRAINT "Key" PRIMARY KEY);',
        [
            'CREATE TABLE "order" (\n    "User" text,\n    "select" integer NOT NULL,\n'
            '    CONSTRAINT "Key" PRIMARY KEY ("select")\n);'
        ],
    ),
    "text with percent signs, quotes and backslashes": (
        SIMPLE,
        TABLE.format("color text CONSTRAINT c CHECK (color LIKE '50%' OR color ~ '\\d\"\"\"{2}')"),
        [
            "ALTER TABLE pills ADD CONSTRAINT c CHECK "
            "(color ~~ '50%'::text OR color ~ '\\d\"\"\"{2}'::text);"
        ],
    ),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_what_is_known_is_written_both_ways(empty_db, tmp_path, kind):
    first, second, expected = PLAIN[kind]
    before, after = catalog_of(empty_db, first), catalog_of(empty_db, second)
    up, down = statements(before, after), statements(after, before, is_way_back=True)
    assert up == expected
    assert not re.search("QUESTION", "".join(down))
    assert catalog_of(empty_db, first + "".join(up)) == after
    assert catalog_of(empty_db, second + "".join(down)) == before


QUESTIONS = {
    "a column under another name and type": (
        TABLE.format("title text, notes int"),
        TABLE.format("label text"),
        "is pills.notes one of the new columns (label)",
        ["ALTER TABLE pills DROP COLUMN notes;"],
    ),
    "a column under another name": (
        TABLE.format("colour text, size int"),
        TABLE.format("color text, size int"),
        "is pills.color the column colour under a new name?",
        ["ALTER TABLE pills RENAME COLUMN colour TO color;"],
    ),
    "a table under another name": (
        SIMPLE,
        SIMPLE.replace("TABLE pills", "TABLE tablets"),
        "is tablets, created below, the table pills under a new name?",
        ["ALTER TABLE pills RENAME TO tablets;", "DROP TABLE pills;"],
    ),
    "another type": (
        SIMPLE,
        TABLE.format("color int"),
        "how do the values of color become integer?",
        ["ALTER TABLE pills ALTER COLUMN color TYPE integer USING color::integer;"],
    ),
    "a narrower type": (
        TABLE.format("size bigint"),
        TABLE.format("size int"),
        "do all values of size fit integer?",
        ["ALTER TABLE pills ALTER COLUMN size TYPE integer;"],
    ),
    "NOT NULL on a filled column": (
        SIMPLE,
        TABLE.format("color text NOT NULL"),
        "what do the rows of pills get that have no color?",
        ["ALTER TABLE pills ALTER COLUMN color SET NOT NULL;"],
    ),
    "a new column that every row must have": (
        SIMPLE,
        TABLE.format("color text, size int NOT NULL"),
        "what do the rows of pills have in size?",
        ["ALTER TABLE pills ADD COLUMN size integer NOT NULL;"],
    ),
    "an enum label under another name": (
        "CREATE TYPE shape AS ENUM ('round', 'long');",
        "CREATE TYPE shape AS ENUM ('round', 'oblong');",
        "is the label of shape the same under a new name?",
        ["ALTER TYPE shape RENAME VALUE 'long' TO 'oblong';"],
    ),
    "enum labels in another order": (
        "CREATE TYPE shape AS ENUM ('round', 'long');",
        "CREATE TYPE shape AS ENUM ('long', 'round');",
        "PostgreSQL cannot take labels of shape away, nor order them anew.",
        ["CREATE TYPE shape AS ENUM ('long', 'round');"],
    ),
    "a trigger": (
        SIMPLE
        + "CREATE TRIGGER quiet BEFORE UPDATE ON pills FOR EACH ROW "
        + "EXECUTE FUNCTION suppress_redundant_updates_trigger();",
        SIMPLE,
        "models cannot have triggers",
        ["DROP TRIGGER quiet ON pills;"],
    ),
}


@pytest.mark.parametrize("kind", QUESTIONS)
def test_what_only_an_author_knows_is_a_commented_question(empty_db, kind):
    first, second, question, options = QUESTIONS[kind]
    before, after = catalog_of(empty_db, first), catalog_of(empty_db, second)
    written = "\n".join(statements(before, after))
    assert f"-- QUESTION: {question}" in written
    for option in options:
        assert f"\n-- {option}" in written
    executed = "".join(line for line in written.splitlines() if not line.startswith("--"))
    assert not re.search("DROP|RENAME|TYPE|NOT NULL", executed.replace("id integer NOT NULL", ""))


def test_tables_that_go_together_may_refer_to_each_other(empty_db):
    """Each of them may be one that was renamed: every answer must be possible."""
    columns = "id int PRIMARY KEY, a int, b int"
    first = (
        f"CREATE TABLE parents ({columns});"
        f"CREATE TABLE children ({columns}, parent_id int REFERENCES parents);"
        "ALTER TABLE parents ADD COLUMN favourite_id int REFERENCES children;"
        "CREATE TABLE notes (id int PRIMARY KEY, parent_id int REFERENCES parents);"
    )
    second = f"CREATE TABLE people ({columns});"
    before, after = catalog_of(empty_db, first), catalog_of(empty_db, second)
    written = "\n".join(statements(before, after))
    assert written.count("under a new name?") == 2
    assert catalog_of(empty_db, first + answered(written)) == after


def test_a_label_is_added_in_its_place_and_its_way_back_is_a_question(empty_db):
    before = catalog_of(empty_db, "CREATE TYPE shape AS ENUM ('b', 'd');")
    after = catalog_of(empty_db, "CREATE TYPE shape AS ENUM ('a', 'b', 'c', 'd', 'e');")
    up = statements(before, after)
    assert up == [
        "ALTER TYPE shape ADD VALUE 'a' BEFORE 'b';",
        "ALTER TYPE shape ADD VALUE 'c' AFTER 'b';",
        "ALTER TYPE shape ADD VALUE 'e' AFTER 'd';",
    ]
    made = catalog_of(empty_db, "CREATE TYPE shape AS ENUM ('b', 'd');" + "".join(up))
    assert made == after
    (down,) = statements(after, before, is_way_back=True)
    assert down.startswith("-- QUESTION: PostgreSQL cannot take labels of shape away")


def test_a_draft_with_an_open_question_is_not_applied(empty_db, tmp_path):
    class Pill(Model):
        color = TextField()

    generate(empty_db, "pills", tmp_path, made_of=[Pill], enums={})
    Pill._meta.add_field("size", IntegerField())
    path = generate(empty_db, "sizes", tmp_path, made_of=[Pill], enums={})
    router = SafeRouter(empty_db, tmp_path)
    with empty_db.connection_context():
        applied = router.apply()
        assert next(applied) == "001_pills"
        with pytest.raises(MigrationError, match="002_sizes: a question of the draft is open") as e:
            next(applied)
        assert e.value.code == "OPEN_QUESTION"
        assert router.done == ["001_pills"]
        path.write_text(answered(path.read_text()))
        assert list(router.apply()) == ["002_sizes"]


def answered(text):
    """Answer every question as an author might, on tables without rows."""
    text = re.sub(r"(?m)^-- (ALTER TABLE \S+ RENAME|UPDATE).*\n", "", text)
    text = re.sub(r"(?m)^-- (.*) USING .*;$", r"\1 USING NULL;", text)
    return re.sub(r"(?m)^-- (QUESTION: .*\n)?", "", text)


# Random models. Names are few, so that two draws have some of them in common.
ENUMS = {"shape_enum": ("round", "long")}


def defaults(sql):
    return [] if sql is None else [SQL(f"DEFAULT {sql}")]


COLUMNS = {
    "text": TextField,
    "varchar(20)": lambda **options: CharField(20, **options),
    "varchar(40)": lambda **options: CharField(40, **options),
    "smallint": SmallIntegerField,
    "integer": IntegerField,
    "bigint": BigIntegerField,
    "date": DateField,
    "enum": lambda **options: EnumField("shape_enum", **options),
}
DEFAULTS = {"text": "'a'", "smallint": "1", "integer": "2", "date": "now()", "enum": "'long'"}

column = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(sorted(COLUMNS)),
        "null": st.booleans(),
        "has_default": st.booleans(),
        "index": st.sampled_from([None, "plain", "unique", "partial", "hash"]),
        "check": st.booleans(),
    }
)
table = st.fixed_dictionaries(
    {
        "columns": st.dictionaries(st.sampled_from("abcd"), column, max_size=4),
        "refers": st.sampled_from([None, "CASCADE", "SET NULL", "RESTRICT"]),
    }
)
schema = st.dictionaries(st.sampled_from(["pills", "doses", "order"]), table, max_size=3)


def models_of(drawn):
    """Build Peewee models; each but the first may refer to the first."""
    made = []
    for name in sorted(drawn):
        spec = drawn[name]
        fields = {"id": AutoField()}
        checks = []
        for letter, one in sorted(spec["columns"].items()):
            default = DEFAULTS.get(one["kind"]) if one["has_default"] else None
            fields[letter] = COLUMNS[one["kind"]](null=one["null"], constraints=defaults(default))
            if one["check"]:
                checks.append(
                    Check(f"{letter} IS NOT NULL OR id > 0", name=f"{name}_{letter}_check")
                )
        if spec["refers"] and made:
            fields["other"] = ForeignKeyField(
                made[0], null=True, on_delete=spec["refers"], constraint_name=f"{name}_other_fk"
            )
        meta = type("Meta", (), {"table_name": name, "constraints": checks})
        model = type(name.title(), (Model,), {**fields, "Meta": meta})
        for letter, one in sorted(spec["columns"].items()):
            add_index(model, name, letter, one["index"])
        made.append(model)
    return made


def add_index(model, name, letter, kind):
    field = getattr(model, letter)
    options = {
        "plain": {},
        "unique": {"unique": True},
        "partial": {"where": field.is_null(False)},
        "hash": {"using": "hash"},
    }
    if kind:
        model.add_index(field, name=f"{name}_{letter}_idx", **options[kind])


@pytest.fixture(scope="module")
def blank_db(homethrive_databases):
    """Give a database without tables of ours."""
    with homethrive_databases.clone() as url:
        db = create_db(url)
        list(rollback(db, len(NAMES)))
        with db.connection_context():
            yield db
        db.close_all()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(first=schema, second=schema)
def test_any_change_of_models_is_drafted_applied_and_taken_back(
    blank_db, tmp_path_factory, first, second
):
    """Generate, apply, check; generate the change, apply, check; roll back, check; all of it."""
    db, folder = blank_db, tmp_path_factory.mktemp("drafts")
    router = SafeRouter(db, folder)
    try:
        reached = []
        for name, drawn in (("first", first), ("second", second)):
            made_of = models_of(drawn)
            path = generate(db, name, folder, made_of=made_of, enums=ENUMS)
            if path is not None:
                path.write_text(answered(path.read_text()))
                assert list(router.apply()) == [path.stem]
            reached.append(catalog_of_models(db, made_of, ENUMS))
            assert compare(reached[-1], read_catalog(db)) == []
        if len(router.done) == 2:
            router.take_back()
            assert compare(reached[0], read_catalog(db)) == []
        router.take_back()
        assert read_catalog(db) == Catalog({}, {})
    finally:
        with db.atomic():
            db.execute_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
