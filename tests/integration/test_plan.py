"""What would run is shown, and does not run."""

import pytest

from homethrive_db import MigrationError
from homethrive_db.migrate import migrate
from homethrive_db.migrate.plan import plan
from tests.catalog import CONTRACT, read_catalog, shared_part
from tests.migrations import FIRST, NAMES, SECOND
from tests.process import run_command

MIXED = '''"""Adds a column, in every way there is."""

from peewee import TextField

TRANSACTIONAL = False


def fill(database):
    database.execute_sql("UPDATE users SET color = %s WHERE email LIKE %s", ("red", "50%"))


def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("ALTER TABLE users ADD COLUMN color text -- 100%% new")
    migrator.run(fill, database)
    migrator.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_color_idx ON users (color)")
    migrator.sql("VACUUM ANALYZE users")
'''


def test_the_plan_is_what_the_pending_migrations_execute(empty_db, folder):
    list(migrate(empty_db))
    before = read_catalog(empty_db)
    folder.joinpath("003_mixed.py").write_text(MIXED)
    (planned,) = plan(empty_db, folder)
    assert planned.name == "003_mixed"
    assert planned.summary == "Adds a column, in every way there is."
    assert not planned.is_transactional
    assert planned.sql == [
        "ALTER TABLE users ADD COLUMN color text -- 100% new",
        "UPDATE users SET color = 'red' WHERE email LIKE '50%'",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_color_idx ON users (color)",
        "VACUUM ANALYZE users",
    ]
    assert "-- 100% new\n;\nUPDATE users" in planned.script()
    assert read_catalog(empty_db) == before


def test_a_migration_that_would_fail_is_named(empty_db, folder):
    folder.joinpath("003_wrong.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('ALTER TABLE nowhere ADD COLUMN color text')\n"
    )
    with pytest.raises(MigrationError, match=r'003_wrong fails on empty tables: .*"nowhere"'):
        plan(empty_db, folder)


def test_the_command_shows_what_is_pending(empty_db, server):
    list(migrate(empty_db, FIRST))
    shown = run_command("plan", url=server.url)
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == NAMES[1:]
    assert lines[0].startswith(f"  {SECOND}: What onboarding asks for")
    list(migrate(empty_db))
    assert run_command("plan", url=server.url).stdout.splitlines()[1:] == ["  nothing is pending"]
    assert run_command("plan", "--sql", url=server.url).stdout == "-- nothing is pending\n"


def test_the_sql_of_a_plan_makes_the_schema(empty_db, server, tmp_path):
    script = run_command("plan", "--sql", url=server.url).stdout
    assert f"-- {FIRST}: Users, care recipients" in script
    assert read_catalog(empty_db)["tables"] == {}
    tmp_path.joinpath("plan.sql").write_text(script)
    psql = ["psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", "plan.sql"]
    done = run_command(*psql, url=server.url, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    made = read_catalog(empty_db)
    assert shared_part(made) == CONTRACT
    with empty_db.atomic():
        empty_db.execute_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    list(migrate(empty_db))
    assert read_catalog(empty_db) == made
