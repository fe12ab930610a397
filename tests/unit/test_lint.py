"""What is unsafe in a migration is found, at its line, and what is safe is not."""

import os
import runpy
import sys

import pytest

from homethrive_db import ConfigurationError, MigrationError
from homethrive_db.migrate import migrations_folder
from homethrive_db.migrate.files import read_folder
from homethrive_db.migrate.lint import Finding, lint

UP = """

def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql(ADD)
"""


class Migrator:
    """Keeps what a migration has executed, as psycopg2 would send it."""

    def __init__(self):
        self.statements = []

    def sql(self, sql, *params):
        self.statements.append((sql % tuple(f"'{one}'" for one in params)).strip())


@pytest.fixture
def lint_file(tmp_path):
    """Give a function that lints a file of a text."""

    def run(text, name="003_new.py"):
        path = tmp_path / name
        path.write_text(text)
        scope = runpy.run_path(str(path))
        migrator = Migrator()
        scope["migrate"](migrator, None)
        return lint(path, migrator.statements, transactional=scope.get("TRANSACTIONAL", True))

    return run


@pytest.fixture
def lint_sql(tmp_path):
    """Give a function that tells the rules which statements break."""

    def run(*statements, transactional=True):
        path = tmp_path / "003_new.py"
        path.write_text(UP)
        return [one.rule for one in lint(path, statements, transactional=transactional)]

    return run


UNSAFE = [
    ("ALTER TABLE users ADD x uuid DEFAULT gen_random_uuid()", "adding-field-with-default"),
    ("ALTER TABLE users ADD x text NOT NULL", "adding-required-field"),
    ("ALTER TABLE users ALTER email SET NOT NULL", "adding-not-nullable-field"),
    ("ALTER TABLE users ADD x text UNIQUE", "disallowed-unique-constraint"),
    ("ALTER TABLE users DROP COLUMN email", "ban-drop-column"),
    ("ALTER TABLE users RENAME COLUMN email TO mail", "renaming-column"),
    ("ALTER TABLE users RENAME TO people", "renaming-table"),
    ("ALTER TABLE users ALTER email TYPE varchar", "changing-column-type"),
    ("DROP TABLE users", "ban-drop-table"),
    ("DROP INDEX i", "require-concurrent-index-deletion"),
    ("CREATE INDEX i ON users (email)", "require-concurrent-index-creation"),
    ("CREATE UNIQUE INDEX i ON users (email)", "require-concurrent-index-creation"),
    (
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users (email)",
        "ban-concurrent-index-creation-in-transaction",
    ),
    ("ALTER TABLE users ADD CONSTRAINT c CHECK (email <> '')", "constraint-missing-not-valid"),
    ("UPDATE users SET email = NULL", "full-table-update"),
    ("UPDATE users SET email = (SELECT 'x' WHERE true)", "full-table-update"),
    ("WITH x AS (SELECT 1 WHERE true) UPDATE users SET email = NULL", "full-table-update"),
    ("WITH x AS (UPDATE users SET email = NULL RETURNING 1) TABLE x", "full-table-update"),
    ("UPDATE ONLY public_users AS u SET email = b FROM other", "full-table-update"),
    ("DELETE FROM users", "full-table-delete"),
    ("DELETE FROM users USING other", "full-table-delete"),
    ("WITH x AS (DELETE FROM users RETURNING *) SELECT * FROM x WHERE true", "full-table-delete"),
]

SAFE = [
    "ALTER TABLE users ADD x text",
    "ALTER TABLE users ADD x boolean NOT NULL DEFAULT false",
    "ALTER TABLE users ADD x timestamptz NOT NULL DEFAULT now()",
    "ALTER TABLE users ALTER email SET DEFAULT ''",
    "ALTER TABLE users ADD CONSTRAINT c CHECK (email <> '') NOT VALID",
    "ALTER TABLE users VALIDATE CONSTRAINT c",
    "CREATE TABLE t (a smallint, b integer, c text); CREATE INDEX i ON t (a)",
    "UPDATE users SET email = NULL WHERE email = ''",
    "DELETE FROM users WHERE email = ''",
    "DELETE FROM users WHERE CURRENT OF c",
    "WITH x AS (DELETE FROM users WHERE email = '' RETURNING *) SELECT * FROM x",
    "INSERT INTO users VALUES ('a') ON CONFLICT (clerk_user_id) DO UPDATE SET email = ''",
    "SELECT 1 FROM users FOR UPDATE",
    "COMMENT ON TABLE users IS 'UPDATE users SET email = 1; DELETE FROM users'",
    "SELECT 1 -- DELETE FROM users\n/* UPDATE users SET email = 1 */",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM users $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM users; END",
    "CREATE TRIGGER t BEFORE UPDATE OR DELETE ON users EXECUTE FUNCTION f()",
    "ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (email) REFERENCES t ON DELETE CASCADE "
    "ON UPDATE CASCADE NOT VALID",
    "",
]


@pytest.mark.parametrize(("statement", "rule"), UNSAFE)
def test_what_is_unsafe_is_found(lint_sql, statement, rule):
    assert lint_sql(statement) == [rule]


def test_a_foreign_key_that_is_validated_at_once_is_found(lint_sql):
    assert "adding-foreign-key-constraint" in lint_sql(
        "ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (email) REFERENCES t (id)"
    )


@pytest.mark.parametrize("statement", SAFE)
def test_what_is_safe_is_not(lint_sql, statement):
    assert lint_sql(statement) == []


def test_what_the_same_migration_creates_is_changed_safely(lint_sql):
    table = "CREATE TABLE t (a bigint) -- and no more"
    changes = ["CREATE INDEX i ON t (a);", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)"]
    assert lint_sql(table, *changes) == []
    assert lint_sql(*changes) == [
        "require-concurrent-index-creation",
        "constraint-missing-not-valid",
    ]


def test_outside_a_transaction_an_index_is_built_concurrently(lint_sql):
    build = "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON users (email)"
    assert lint_sql(build, transactional=False) == []
    assert lint_sql(build.replace(" CONCURRENTLY", ""), transactional=False) == [
        "require-concurrent-index-creation"
    ]


def test_outside_a_transaction_a_statement_must_bear_to_run_again(lint_sql):
    assert lint_sql("ALTER TABLE users ADD x text", transactional=False) == ["prefer-robust-stmts"]
    assert lint_sql("ALTER TABLE users ADD IF NOT EXISTS x text", transactional=False) == []


def test_every_finding_says_what_to_do_instead(tmp_path):
    path = tmp_path / "003_new.py"
    path.write_text(UP)
    findings = lint(path, [statement for statement, _ in UNSAFE])
    assert len(findings) == len(UNSAFE)
    assert all(one.remedy and one.message and not one.message.endswith(".") for one in findings)


def test_a_finding_is_a_line_that_an_editor_opens(lint_file, tmp_path):
    (finding,) = lint_file(f'"""Why."""\n\nADD = "DROP TABLE users"\n{UP}')
    assert isinstance(finding, Finding)
    assert str(finding) == (
        f"{tmp_path}/003_new.py:3: ban-drop-table: Dropping a table may break existing clients; "
        "instead: drop it in a later release than the last one, of any service, that uses it"
    )


@pytest.mark.parametrize(
    "comment",
    [
        "-- squawk-ignore ban-drop-table, full-table-update, full-table-delete",
        "-- squawk-ignore-file ban-drop-table,full-table-update,full-table-delete -- why",
        "-- squawk-ignore-file",
        "/* squawk-ignore full-table-update, ban-drop-table, full-table-delete */",
    ],
)
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("DROP TABLE users", "ban-drop-table"),
        ("UPDATE users SET email = ''", "full-table-update"),
        ("DELETE FROM users", "full-table-delete"),
    ],
)
def test_a_comment_allows_a_finding(lint_sql, statement, rule, comment):
    assert lint_sql(f"{comment}\n{statement}") == []
    everywhere = "-file" in comment
    assert lint_sql(f"{comment}\n{statement};\n\n{statement}") == ([] if everywhere else [rule])


def test_a_comment_on_another_rule_allows_nothing(lint_sql):
    assert lint_sql("-- squawk-ignore ban-drop-table\nDELETE FROM users") == ["full-table-delete"]


def test_a_name_that_no_rule_has_is_found_in_a_comment(lint_sql):
    assert lint_sql("-- squawk-ignore drop-tabel\nSELECT 1") == ["unused-ignore"]


def test_what_squawk_cannot_read_is_said_and_hides_nothing_else(lint_file):
    one, other, last = lint_file("""
UNREADABLE = ["CREATE TABLE t (a text)", "SELECT 1;\\nMANGLE é 1"]
ADD = "DELETE FROM users"

def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("DROP TABLE users")
    for statement in UNREADABLE:
        migrator.sql(statement)
    migrator.sql(ADD)
""")
    assert [(one.rule, one.line), (last.rule, last.line)] == [
        ("ban-drop-table", 6),
        ("full-table-delete", 3),
    ]
    assert (other.rule, other.line) == ("syntax-error", 2)
    assert other.message.startswith("squawk cannot read this: ")


def test_what_squawk_cannot_read_may_be_allowed(lint_sql):
    assert lint_sql("-- squawk-ignore syntax-error\nMANGLE 1", "DELETE FROM users") == [
        "full-table-delete"
    ]


SHAPES = {
    "a constant": ('ADD = "DROP TABLE users"', 1),
    "between triple quotes": ('ADD = """\nSELECT 1;\n\nDROP TABLE users;\n"""', 4),
    "behind an escaped line end": ("ADD = '''\\\nSELECT 1;\nDROP TABLE users'''", 3),
    "with an escape": ('ADD = "SELECT 1;\\nDROP TABLE users"', 1),
    "raw": ('ADD = r"""SELECT \'\\n\';\nDROP TABLE users"""', 2),
    "in parts": ('ADD = (\n    "SELECT 1; "  # and\n    "DROP TABLE"\n    " users"\n)', 3),
    "parts with triple quotes": ('ADD = ("SELECT 1;"\n"""\n\nDROP TABLE users""")', 4),
    "an f-string": ('NAME = "users"\nADD = f"SELECT {1};DROP TABLE {NAME}"', 2),
    "an f-string of several lines": (
        'NAME = "users"\nADD = f"""\nSELECT {1};\nSELECT {\n2};\nDROP TABLE {NAME};\n"""',
        6,
    ),
    "an f-string in parts": (
        'NAME = "users"\nADD = (f"SELECT {1};"\n"SELECT 2;"\nf"DROP TABLE {NAME}")',
        4,
    ),
    "joined": ('ADD = ";".join([\n"SELECT 1",\n"DROP TABLE users",\n])', 3),
    "with what is filled in": ('ADD = """SELECT 1;\nDROP TABLE {}""".replace("{}", "users")', None),
    "a doubled percent sign": ('ADD = """SELECT 10 %% 3;\nDROP TABLE users"""', 2),
    "with letters beyond ASCII": ('ADD = """SELECT \'é€\'; SELECT 1;\nDROP TABLE users"""', 2),
    "with what only looks like a line end": (
        'ADD = """SELECT \'\u2028\f\'; SELECT 1;\nDROP TABLE users"""',
        2,
    ),
    "a name alone": ('NAME = "users"\nADD = " ".join(["DROP", "TABLE", NAME])', None),
    "computed": ('ADD = "sresu ELBAT PORD"[::-1]', None),
}


@pytest.mark.parametrize(("text", "line"), SHAPES.values(), ids=SHAPES)
def test_the_line_is_that_of_the_statement_in_the_file(lint_file, text, line):
    """Or, where that cannot be told, of the function."""
    (finding,) = lint_file(text + UP)
    function = (text + UP).splitlines().index(UP.splitlines()[2]) + 1
    assert (finding.rule, finding.line) == ("ban-drop-table", line or function)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_does_not_depend_on_line_endings(tmp_path, end):
    path = tmp_path / "003_new.py"
    path.write_bytes(f'ADD = """\nSELECT 1;\nDROP TABLE users"""{UP}'.replace("\n", end).encode())
    (finding,) = lint(path, [runpy.run_path(str(path))["ADD"]])
    assert finding.line == 3


def test_each_statement_of_a_loop_has_the_line_of_its_text(lint_file):
    findings = lint_file('''
TABLES = ["users", "medications"]

def migrate(migrator, database, fake=False, **kwargs):
    for table in TABLES:
        migrator.sql(f"""
            SELECT 1;
            DROP TABLE {table};
        """)
        migrator.sql(
            "DELETE FROM users -- of %s"
            " -- 100%%", table)
''')
    assert [(one.rule, one.line) for one in findings] == [
        ("ban-drop-table", 8),
        ("full-table-delete", 11),
    ] * 2


def test_the_migrations_of_this_repository_have_no_finding():
    """But for 002, which indexes and references a column that it adds to a table with rows."""
    for file in read_folder(migrations_folder()):
        migrator = Migrator()
        file.migrate(migrator, None)
        assert lint(file.path, migrator.statements, transactional=file.is_transactional) == []


def test_what_was_accepted_for_one_file_is_found_in_any_other(lint_file):
    published = migrations_folder() / "002_onboarding_and_caregiver_access.py"
    assert {one.rule for one in lint_file(published.read_text())} == {
        "adding-foreign-key-constraint",
        "require-concurrent-index-creation",
    }


def test_settings_of_squawk_in_the_working_folder_do_not_count(lint_sql, tmp_path, monkeypatch):
    tmp_path.joinpath(".squawk.toml").write_text('excluded_rules = ["ban-drop-table"]')
    monkeypatch.chdir(tmp_path)
    assert lint_sql("DROP TABLE users") == ["ban-drop-table"]


def test_without_squawk_the_extra_is_named(lint_sql, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"pip install 'homethrive-db\[lint\]'"):
        lint_sql("DROP TABLE users")


@pytest.mark.parametrize("status", [1, 101])
def test_a_squawk_that_fails_is_an_error(lint_sql, tmp_path, monkeypatch, status):
    program = tmp_path / "squawk"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\necho it broke >&2\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(MigrationError, match=f"exit status {status}: it broke"):
        lint_sql("DROP TABLE users")
