"""Migrations up and down, by our own runner and by the stock ``pw_migrate``."""

import os
import shutil
import subprocess
import sys
import traceback
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from homethrive_db import MigrationError
from homethrive_db.migrate import migrate, rollback, status
from homethrive_db.migrate.plan import plan
from tests.catalog import CONTRACT, read_catalog, shared_part
from tests.migrations import FIRST, NAMES
from tests.stock import pw_migrate

ROOT = Path(__file__).parents[2]

ROWS_OF_THE_FIRST = """
INSERT INTO users (clerk_user_id, email) VALUES ('user_1', 'ana@example.org');
INSERT INTO care_recipients (display_name, created_by_user_id) VALUES ('Ana', 'user_1');
INSERT INTO medications (recipient_id, name, created_by_user_id)
    SELECT id, 'Aspirin', 'user_1' FROM care_recipients;
INSERT INTO medication_schedules (
    medication_id, recurrence, time_of_day, start_date, created_by_user_id
) SELECT id, 'daily', '08:30', '2025-01-01', 'user_1' FROM medications;
INSERT INTO dose_taken (
    recipient_id, medication_id, schedule_id, scheduled_for, taken_at, taken_by_user_id
) SELECT recipient_id, m.id, s.id, '2025-01-01 13:30Z', '2025-01-01 13:40Z', 'user_1'
    FROM medications m JOIN medication_schedules s ON s.medication_id = m.id;
"""

TWICE = "INSERT INTO users (clerk_user_id) VALUES ('takes-sertraline')"


def rows(db, table):
    """Read a table as text, column by column."""
    with db.connection_context():
        return db.execute_sql(f"SELECT to_jsonb(t) FROM {table} t").fetchall()


def standing(db):
    """Give the names of what is applied, and of what is pending."""
    state = status(db)
    return [one.name for one in state.applied], state.pending


def test_each_rollback_restores_what_was_there(empty_db):
    before = []
    for name in NAMES:
        before.append(read_catalog(empty_db))
        assert list(migrate(empty_db, name)) == [name]
    for name in reversed(NAMES):
        assert list(rollback(empty_db)) == [name]
        assert read_catalog(empty_db) == before.pop()
    assert list(migrate(empty_db)) == NAMES
    assert list(rollback(empty_db, len(NAMES))) == NAMES[::-1]
    assert read_catalog(empty_db)["tables"] == {}


def test_a_database_at_the_first_migration_upgrades_with_its_rows_intact(empty_db):
    list(migrate(empty_db, FIRST))
    with empty_db.atomic():
        empty_db.execute_sql(ROWS_OF_THE_FIRST)
    tables = list(read_catalog(empty_db)["tables"])
    before = {table: rows(empty_db, table) for table in tables}
    list(migrate(empty_db))
    for table in tables:
        for (old,), (new,) in zip(before[table], rows(empty_db, table), strict=True):
            assert old.items() <= new.items()
    assert rows(empty_db, "users")[0][0]["has_completed_onboarding"] is False


def test_status_tells_applied_from_pending_and_creates_nothing(empty_db):
    assert standing(empty_db) == ([], NAMES)
    with empty_db.connection_context():
        assert not empty_db.table_exists("migratehistory")
    list(migrate(empty_db, FIRST))
    assert standing(empty_db) == ([FIRST], NAMES[1:])


def test_a_name_that_is_not_there_is_refused(empty_db):
    with pytest.raises(MigrationError, match="003_nonsense: there is no migration"):
        list(migrate(empty_db, "003_nonsense"))
    assert standing(empty_db)[0] == []


def test_a_name_that_is_applied_already_applies_nothing(empty_db):
    list(migrate(empty_db, FIRST))
    assert list(migrate(empty_db, FIRST)) == []


@pytest.mark.parametrize("count", [0, 1, -1])
def test_more_than_what_is_applied_cannot_go_back(empty_db, count):
    with pytest.raises(MigrationError, match="cannot go back"):
        list(rollback(empty_db, count))


def test_a_failing_migration_leaves_neither_schema_nor_history(empty_db, folder):
    folder.joinpath("003_fails.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE half (id int)')\n"
        "    migrator.sql('CREATE TABLE users (id int)')\n"
    )
    with pytest.raises(MigrationError, match="003_fails failed and was rolled back"):
        list(migrate(empty_db))
    assert read_catalog(empty_db) == CONTRACT
    assert status(empty_db).pending == ["003_fails"]


def test_a_migration_that_fails_in_python_leaves_nothing_either(empty_db, folder):
    folder.joinpath("003_fails.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE half (id int)')\n"
        "    migrator()\n"
        "    1 / 0\n"
    )
    says = r"003_fails: line 4: ZeroDivisionError in 1 / 0"
    with pytest.raises(MigrationError, match=says) as caught:
        list(migrate(empty_db))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert read_catalog(empty_db) == CONTRACT
    assert status(empty_db).pending == ["003_fails"]


PERCENT = """
def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("INSERT INTO users (clerk_user_id, display_name) VALUES ('a', '50%%')")
    migrator.sql("UPDATE users SET email = %s WHERE display_name LIKE '50%%'", "60%@x")

def rollback(migrator, database, fake=False, **kwargs):
    migrator.sql("DELETE FROM users WHERE email LIKE '%%@x'")
"""


@pytest.mark.parametrize("transactional", [True, False])
def test_a_doubled_percent_sign_is_one_to_us_and_to_the_stock_command(
    empty_db, server, folder, transactional
):
    folder.joinpath("003_percent.py").write_text(f"TRANSACTIONAL = {transactional}\n{PERCENT}")
    for apply in (lambda: list(migrate(empty_db)), lambda: stock(server, folder)):
        apply()
        ((user,),) = rows(empty_db, "users")
        assert (user["display_name"], user["email"]) == ("50%", "60%@x")
        assert list(rollback(empty_db)) == ["003_percent"]
        assert rows(empty_db, "users") == []


def stock(server, folder):
    done = pw_migrate("migrate", url=server.url, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    ["\"SELECT 'a' LIKE '%a'\"", "'SELECT 7 % 4'", "'SELECT %s'", "'SELECT 1', 1",
     "\"SELECT %s WHERE 'a' LIKE '%a'\", 1", "'SELECT %s, %s', 1"],
)  # fmt: skip
def test_a_percent_sign_that_is_not_doubled_is_refused_and_the_file_named(
    empty_db, folder, arguments
):
    folder.joinpath("003_percent.py").write_text(
        f"def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql({arguments})\n"
    )
    for command in (lambda: list(migrate(empty_db)), lambda: plan(empty_db, folder)):
        with pytest.raises(MigrationError, match=r"^003_percent: its SQL .* is written %%"):
            command()


DEF = "def migrate(migrator, database, fake=False, **kwargs):\n"

BROKEN = {
    "no Python": ("\ndef migrate(:\n", "line 2: SyntaxError: invalid syntax"),
    "an import of nothing": (
        "import nowhere",
        "line 1: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "a module that fails": ("1 / 0", "line 1: ZeroDivisionError in 1 / 0"),
    "no parameters": ("def migrate(): pass", "migrate takes other parameters than (migrator, data"),
    "no function": ("migrate = dict", "ValueError"),
    "a misspelt method": (
        f"{DEF}    migrator.sqll('')",
        "line 2: AttributeError: 'SafeMigrator' object has no attribute 'sqll'",
    ),
    "a value in an error": (
        f"{DEF}    name = 'takes-' + 'sertraline'\n    {{}}[name]",
        "line 3: KeyError in {}[name]",
    ),
    "a function that fails later": (
        f"{DEF}    migrator.run(lambda: int('x'))",
        "line 2: ValueError in migrator.run(lambda: int('x'))",
    ),
    "a call of nothing in the file": (f"{DEF}    migrator.run(print, no=1)", "TypeError"),
    "a percent sign beside it": (
        f"{DEF}    database.execute_sql(\"SELECT 'a' LIKE '%a'\")",
        "line 2: IndexError in database.execute_sql(\"SELECT 'a' LIKE '%a'\")",
    ),
    "a text that is not UTF-8": ("# caf\udce9", "it is not UTF-8"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_broken_is_named_with_its_line(empty_db, folder, text, says):
    """By its own words where those are code: the text of an error may have a value of a row."""
    path = folder / "003_broken.py"
    path.write_bytes(text.encode(errors="surrogateescape"))
    for command in (lambda: list(migrate(empty_db)), lambda: plan(empty_db, folder)):
        with pytest.raises(MigrationError) as caught:
            command()
        assert str(caught.value).startswith(f"003_broken: {says}")
        assert caught.value.details == {"migration": "003_broken"}
        assert "sertraline" not in str(caught.value)


def test_what_the_driver_refuses_itself_is_named_too(empty_db, folder):
    folder.joinpath("003_driver.py").write_text(
        f"{DEF}    database.connection().cursor().execute('DROP TABLE nowhere')\n"
    )
    with pytest.raises(MigrationError, match=r"003_driver failed and was rolled back: .*nowhere"):
        list(migrate(empty_db))


def test_the_stock_command_says_in_a_line_what_is_broken(empty_db, server, folder):
    folder.joinpath("001_medications.py").write_text("import nowhere")
    stock = pw_migrate("migrate", url=server.url, folder=folder)
    assert stock.returncode == 1
    assert stock.stderr == (
        "pw_migrate: 001_medications: line 1: ModuleNotFoundError: No module named 'nowhere'\n"
    )


def test_a_failing_rollback_takes_nothing_back(empty_db, folder):
    folder.joinpath("003_stays.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE stays (id int)')\n"
        "def rollback(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('DROP TABLE stays')\n"
        "    migrator.sql('DROP TABLE nowhere')\n"
    )
    list(migrate(empty_db))
    at_third = read_catalog(empty_db)
    with pytest.raises(MigrationError, match="003_stays failed and was rolled back"):
        list(rollback(empty_db))
    assert read_catalog(empty_db) == at_third
    assert standing(empty_db)[0][-1] == "003_stays"


@pytest.mark.parametrize(
    ("sql", "details"),
    [
        (f"{TWICE}; {TWICE}", {"sqlstate": "23505", "constraint": "users_pkey"}),
        ("SELECT 'takes-sertraline'::uuid", {"sqlstate": "22P02"}),
    ],
)
def test_a_migration_of_rows_fails_without_showing_their_values(
    empty_db, folder, caplog, sql, details
):
    """Neither the error, nor the traceback that a log would print, nor the log."""
    folder.joinpath("003_rows.py").write_text(
        f"def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql({sql!r})\n"
    )
    with pytest.raises(MigrationError, match="003_rows failed and was rolled back") as caught:
        list(migrate(empty_db))
    assert caught.value.details == {"migration": "003_rows", **details}
    printed = "".join(traceback.format_exception(caught.value, limit=0))
    assert "takes-sertraline" not in printed + repr(caught.value) + caplog.text


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            "'INSERT INTO users (clerk_user_id) VALUES (NULL)'",
            "(23502, NotNullViolation, column clerk_user_id, table users); "
            "in SQL that begins INSERT INTO users (clerk_user_id) VALUES (NULL)",
        ),
        (
            "'ALTER TABLE users ADD CONSTRAINT ck CHECK (false); ' + INSERT",
            "(23514, CheckViolation, constraint ck, table users); "
            "in SQL that begins ALTER TABLE users ADD CONSTRAINT ck CHECK (false); "
            "INSERT INTO users …",
        ),
        ("'SELECT %s / 0', 4711", "(22012, DivisionByZero); in SQL that begins SELECT %s / 0"),
        (
            "'/* 4711 */ SELECT 1 / 0, $$4711$$, E\\'\\\\\\'4711\\', \\'4711\\' -- 4711'",
            "(22012, DivisionByZero); in SQL that begins SELECT 1 / 0, '…', '…', '…'",
        ),
        ('"""SELECT 1 AS "it\'s", 1 / 0"""', 'begins SELECT 1 AS "it\'s", 1 / 0'),
    ],
)
def test_what_is_refused_is_named_and_where(empty_db, folder, call, says):
    """By names and by the SQL of the file, which has no bound value and nothing between quotes."""
    folder.joinpath("003_rows.py").write_text(
        f"INSERT = \"INSERT INTO users (clerk_user_id) VALUES ('4711')\"\n{DEF}"
        f"    migrator.sql({call})\n"
    )
    with pytest.raises(MigrationError) as caught:
        list(migrate(empty_db))
    assert str(caught.value).endswith(says)
    assert "4711" not in str(caught.value)


def test_a_migration_without_a_rollback_cannot_go_back(empty_db, folder):
    folder.joinpath("003_one_way.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE one_way (id int)')\n"
    )
    list(migrate(empty_db))
    with pytest.raises(MigrationError, match=r"003_one_way: it has no rollback: .* --accept-edits"):
        list(rollback(empty_db))
    assert standing(empty_db)[0][-1] == "003_one_way"
    with folder.joinpath("003_one_way.py").open("a") as file:
        file.write(
            "def rollback(migrator, database, fake=False, **kwargs):\n"
            "    migrator.sql('DROP TABLE one_way')\n"
        )
    assert list(rollback(empty_db, accept_edits=True)) == ["003_one_way"]
    assert read_catalog(empty_db) == CONTRACT


def test_the_stock_command_migrates_lists_and_rolls_back(empty_db, server):
    assert pw_migrate("migrate", url=server.url).returncode == 0
    assert shared_part(read_catalog(empty_db)) == CONTRACT
    listed = pw_migrate("list", url=server.url).stdout
    assert [name for name in NAMES if f"- [x] {name}" in listed] == NAMES
    assert pw_migrate("rollback", "--count", str(len(NAMES)), url=server.url).returncode == 0
    assert read_catalog(empty_db)["tables"] == {}


def test_the_stock_command_is_quiet_about_the_embedded_server(fresh_home):
    done = pw_migrate("migrate", url="embedded://")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pgserver" not in done.stdout


def test_the_stock_command_says_in_a_line_that_no_database_is_named():
    failed = pw_migrate("migrate")
    assert failed.returncode == 1
    assert failed.stderr.startswith("pw_migrate: DATABASE_URL is not set")
    assert len(failed.stderr.splitlines()) == 1


def test_published_migrations_keep_their_names():
    """Histories hold them: under another name, a file is a migration that was never applied."""
    assert NAMES[:6] == [
        "001_medications",
        "002_onboarding_and_caregiver_access",
        "003_users_by_email",
        "004_schedules_by_local_time",
        "005_dose_skips",
        "006_dose_reminders",
    ]


def can_build():
    """Say whether a setuptools is here that needs no package index to fetch a newer one from."""
    try:
        return Version(metadata.version("setuptools")) >= Version("77")
    except metadata.PackageNotFoundError:
        return False


@pytest.fixture
def unpacked_wheel(tmp_path_factory):
    """Build the wheel from a copy of the checkout, and unpack it where Python can import it."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("homethrive_db", "migrations"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.cfg"):
        shutil.copy(ROOT / name, copy / name)
    options = ["--quiet", "--no-deps", "--wheel-dir", "dist"]
    if can_build():
        options.append("--no-build-isolation")
    run = [sys.executable, "-m", "pip", "wheel", *options, "."]
    built = subprocess.run(run, cwd=copy, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = copy.glob("dist/*.whl")
    # So called, what runs in it counts as the package's own for coverage.
    unpacked = tmp_path_factory.mktemp("installed") / "site-packages"
    shutil.unpack_archive(wheel, unpacked, format="zip")
    return unpacked


@pytest.mark.parametrize("server", [18], indirect=True, ids=["postgres18"])
def test_a_wheel_brings_its_migrations_along(unpacked_wheel, server, empty_db, tmp_path):
    """An installed package migrates in a folder without a checkout."""
    shipped = {path.name for path in unpacked_wheel.glob("homethrive_db/migrations/*.py")}
    assert shipped == {"conf.py", *(f"{name}.py" for name in NAMES)}
    program = (
        "from homethrive_db import get_db\n"
        "from homethrive_db.migrate import migrate, migrations_folder\n"
        "print(migrations_folder(), *migrate(get_db()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(unpacked_wheel), "DATABASE_URL": server.url}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(unpacked_wheel / "homethrive_db/migrations"), *NAMES]
    assert shared_part(read_catalog(empty_db)) == CONTRACT


ONE = "def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql('SELECT 1')\n"


def test_two_files_of_one_number_are_refused(empty_db, folder):
    folder.joinpath("002_another.py").write_text(ONE)
    with pytest.raises(MigrationError, match="has the number of 002_another"):
        list(migrate(empty_db))
    assert read_catalog(empty_db)["tables"] == {}


def test_a_pending_file_older_than_an_applied_one_is_refused(empty_db, folder):
    folder.joinpath("004_later.py").write_text(ONE)
    list(migrate(empty_db))
    folder.joinpath("003_earlier.py").write_text(ONE)
    with pytest.raises(MigrationError, match="older than 004_later"):
        list(migrate(empty_db))
    assert status(empty_db).pending == ["003_earlier"]


def test_an_applied_migration_whose_file_is_gone_cannot_go_back(empty_db, folder):
    folder.joinpath("003_gone.py").write_text(ONE)
    list(migrate(empty_db))
    folder.joinpath("003_gone.py").unlink()
    assert list(migrate(empty_db)) == []
    with pytest.raises(MigrationError, match="its file is not there"):
        list(rollback(empty_db))
