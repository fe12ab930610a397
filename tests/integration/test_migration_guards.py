"""What is refused before anything runs, and what it says to do."""

import json
import re
from datetime import timedelta

import pytest

from homethrive_db import MigrationError
from homethrive_db.migrate import migrate, migrations_folder, rollback, status
from homethrive_db.migrate.history import History
from homethrive_db.migrate.plan import plan
from tests.catalog import CONTRACT, read_catalog
from tests.migrations import FIRST, NAMES, SECOND
from tests.process import run_command
from tests.stock import pw_migrate


def edit(folder, name):
    path = folder / f"{name}.py"
    path.write_text(path.read_text() + "\n# edited\n")


def rows(db, query):
    with db.connection_context():
        return db.execute_sql(query).fetchall()


@pytest.mark.parametrize("command", [migrate, rollback], ids=["migrate", "rollback"])
def test_an_applied_file_that_was_edited_is_refused(empty_db, folder, command):
    list(migrate(empty_db))
    edit(folder, SECOND)
    with pytest.raises(MigrationError, match=f"{SECOND}: its file was edited") as caught:
        list(command(empty_db))
    assert caught.value.code == "MIGRATION_EDITED"
    assert caught.value.details == {"migration": SECOND}
    assert [one.is_edited for one in status(empty_db).applied] == [False, True]


def test_a_rollback_does_not_mind_what_was_edited_before_it(empty_db, folder):
    list(migrate(empty_db))
    edit(folder, FIRST)
    assert list(rollback(empty_db)) == [SECOND]


def test_an_edit_can_be_accepted(empty_db, folder):
    list(migrate(empty_db))
    edit(folder, FIRST)
    assert list(migrate(empty_db, accept_edits=True)) == []
    assert status(empty_db).is_current
    assert list(migrate(empty_db)) == []


def test_what_another_tool_applied_is_taken_as_it_is_at_the_next_migration(empty_db, folder):
    list(migrate(empty_db))
    with empty_db.atomic():
        empty_db.execute_sql("DROP TABLE migratechecksum")
    assert [(one.seconds, one.is_edited) for one in status(empty_db).applied] == [(None, False)] * 2
    assert list(migrate(empty_db)) == []
    edit(folder, FIRST)
    with pytest.raises(MigrationError, match=f"{FIRST}: its file was edited"):
        list(migrate(empty_db))


def test_the_history_stays_as_peewee_migrate_has_it(empty_db, folder):
    list(migrate(empty_db))
    columns = rows(
        empty_db,
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = 'migratehistory' ORDER BY ordinal_position",
    )
    assert columns == [("id",), ("name",), ("migrated_at",)]
    assert rows(empty_db, "SELECT length(checksum) FROM migratechecksum") == [(64,), (64,)]
    list(rollback(empty_db, 2))
    assert rows(empty_db, "SELECT * FROM migratehistory") == []
    assert rows(empty_db, "SELECT * FROM migratechecksum") == []


def test_the_history_is_in_utc_whatever_zone_the_session_has(empty_db, server):
    run_command("migrate", url=server.url, PGTZ="Pacific/Auckland")
    ((now,),) = rows(empty_db, "SELECT now()")
    for one in status(empty_db).applied:
        assert abs(one.at - now) < timedelta(minutes=1)


def test_tables_of_ours_without_a_history_are_not_touched(empty_db):
    list(migrate(empty_db, SECOND))
    with empty_db.atomic():
        empty_db.execute_sql("DROP TABLE migratehistory, migratechecksum")
    with pytest.raises(MigrationError, match="run `homethrive-db adopt`") as caught:
        list(migrate(empty_db))
    assert caught.value.code == "NEEDS_ADOPTION"
    assert read_catalog(empty_db) == CONTRACT
    with empty_db.connection_context():
        assert not History(empty_db).exists()


ENDS = ["COMMIT", "; commit;", ";\n ROLLBACK", "ABORT", "-- done\nCOMMIT", "/* so */ END"]


@pytest.mark.parametrize("end", [*ENDS, "; PREPARE TRANSACTION 'x'"])
def test_a_migration_that_ends_the_transaction_is_refused(empty_db, folder, end):
    sql = f"ALTER TABLE users ADD COLUMN color text{end}" if ";" in end else end
    folder.joinpath("003_commit.py").write_text(
        f"def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql({sql!r})\n"
    )
    with pytest.raises(MigrationError, match="003_commit: the SQL ends a transaction"):
        list(migrate(empty_db))
    with pytest.raises(MigrationError, match="003_commit: the SQL ends a transaction"):
        plan(empty_db, folder)
    assert read_catalog(empty_db) == CONTRACT


BODY = """
    CREATE PROCEDURE tidy() LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM users WHERE email = 'public.x'; COMMIT;
    END $$; -- it is public. And so on; COMMIT
    CREATE FUNCTION one() RETURNS int BEGIN ATOMIC SELECT 1; END;
"""


def test_what_is_no_statement_is_not_taken_for_one(empty_db, folder):
    folder.joinpath("003_tidy.py").write_text(
        f"def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql({BODY!r})\n"
    )
    assert list(migrate(empty_db))[-1] == "003_tidy"


def test_a_migration_without_sql_is_refused(empty_db, folder):
    folder.joinpath("003_empty.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql('-- later\\n')\n"
    )
    with pytest.raises(MigrationError, match="003_empty: there is no SQL in it"):
        list(migrate(empty_db))


@pytest.mark.parametrize("name", ["public.users", '"public".users'])
def test_a_migration_that_names_a_schema_is_refused(empty_db, folder, name):
    sql = f"ALTER TABLE {name} ADD COLUMN color text"
    folder.joinpath("003_public.py").write_text(
        f"def migrate(migrator, database, fake=False, **kwargs):\n    migrator.sql({sql!r})\n"
    )
    with pytest.raises(MigrationError, match=r"003_public: the SQL names the schema public"):
        list(migrate(empty_db))


def test_a_file_without_a_way_up_is_refused(empty_db, folder):
    folder.joinpath("003_nothing.py").write_text("")
    with pytest.raises(MigrationError, match="003_nothing: it has no migrate"):
        list(migrate(empty_db))


def test_the_stock_command_notes_without_running_where_it_is_told_to(empty_db, server):
    list(migrate(empty_db, FIRST))
    assert pw_migrate("migrate", "--fake", url=server.url).returncode == 0
    assert [one.name for one in status(empty_db).applied] == NAMES
    assert "caregiver_access" not in read_catalog(empty_db)["tables"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["migrate", "--name", "009_x"], "009_x: there is no migration of this name"),
        (["merge"], "merging would delete files that are applied, and lose constraints"),
        (["create", "--auto", "Two Words"], "a migration's name has letters a to z"),
        (["create", "--auto", "--auto-source", "other.models", "x"], "from homethrive_db.models"),
    ],
)
def test_the_stock_command_says_in_a_line_what_it_refuses(empty_db, server, arguments, line):
    before = sorted(migrations_folder().iterdir())
    refused = pw_migrate(*arguments, url=server.url)
    assert refused.returncode == 1
    assert refused.stderr.startswith("pw_migrate: ")
    assert line in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert sorted(migrations_folder().iterdir()) == before


def test_the_stock_list_creates_nothing(empty_db, server):
    listed = pw_migrate("list", url=server.url)
    assert f"Done: 0, Pending: {len(NAMES)}" in listed.stdout
    with empty_db.connection_context():
        assert not History(empty_db).exists()


def test_status_tells_when_and_how_long_and_what_is_edited(empty_db, server):
    list(migrate(empty_db, FIRST))
    with empty_db.atomic():
        empty_db.execute_sql("UPDATE migratechecksum SET checksum = 'of another text'")
    shown = run_command("status", url=server.url)
    assert shown.returncode == 0
    applied, *pending = shown.stdout.splitlines()[1:]
    assert re.fullmatch(
        rf"  applied  {FIRST} +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC  in \d+\.\d\d s  edited since",
        applied,
    )
    assert pending == [f"  pending  {name}" for name in NAMES[1:]]
    assert run_command("status", "--exit-code", url=server.url).returncode == 1
    found = json.loads(run_command("status", "--format", "json", url=server.url).stdout)
    assert (found["database_name"], found["ok"]) == (empty_db.database, False)
    assert found["pending"] == NAMES[1:]
    assert found["applied"][0]["name"] == FIRST
    assert found["applied"][0]["is_edited"] is True
    assert found["applied"][0]["seconds"] > 0
    assert run_command("migrate", "--accept-edits", url=server.url).returncode == 0
    assert run_command("status", "--exit-code", url=server.url).returncode == 0


def test_status_and_migrate_tell_whose_file_is_not_there(empty_db, server):
    """A later version may have applied it, so nothing is refused."""
    list(migrate(empty_db))
    with empty_db.atomic():
        empty_db.execute_sql("INSERT INTO migratehistory VALUES (99, '999_gone', now())")
    assert not status(empty_db).is_current
    assert [one.name for one in status(empty_db).applied if one.is_missing] == ["999_gone"]
    assert status(empty_db).applied[-1].is_edited is False
    shown = run_command("status", "--exit-code", url=server.url)
    assert shown.returncode == 1
    assert re.search(r"  applied  999_gone .* UTC  its file is not there\n$", shown.stdout)
    found = json.loads(run_command("status", "--format", "json", url=server.url).stdout)
    assert [one["is_missing"] for one in found["applied"]] == [*[False] * len(NAMES), True]
    migrated = run_command("migrate", url=server.url)
    assert migrated.returncode == 0
    assert migrated.stdout.splitlines()[1:] == [
        "  nothing to apply",
        "  applied before, but its file is not there: 999_gone",
    ]
