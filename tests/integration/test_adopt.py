"""A database that the Node service made becomes ours."""

from homethrive_db.migrate import migrate, migrations_folder, rollback, status
from homethrive_db.migrate.adopt import adopt
from homethrive_db.migrate.check import check
from homethrive_db.migrate.history import History
from tests.catalog import CONTRACT, read_catalog
from tests.migrations import FIRST, LATER, NAMES, SECOND
from tests.process import run_command

FOLDER = migrations_folder()
INDEX = "caregiver_access_status_idx"

# What Drizzle keeps beside our tables.
JOURNAL = """
CREATE SCHEMA drizzle;
CREATE TABLE drizzle.__drizzle_migrations (
    id serial PRIMARY KEY, hash text NOT NULL, created_at bigint
);
"""


def as_the_node_service_made_it(db, name=SECOND):
    """Make the schema, the way up to *name*, without our history."""
    list(migrate(db, name))
    with db.atomic():
        db.execute_sql(f"DROP TABLE migratehistory, migratechecksum; {JOURNAL}")


def has_history(db):
    with db.connection_context():
        return History(db).exists()


def test_of_a_database_of_the_node_service_what_is_ours_alone_is_pending(empty_db):
    as_the_node_service_made_it(empty_db)
    assert read_catalog(empty_db) == CONTRACT
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.pending, adoption.differences) == ([FIRST, SECOND], LATER, [])
    assert list(migrate(empty_db)) == LATER
    assert check(empty_db, FOLDER).is_clean
    assert status(empty_db).is_current
    assert list(rollback(empty_db, len(LATER))) == LATER[::-1]
    assert read_catalog(empty_db) == CONTRACT


def test_a_database_with_everything_is_noted_whole(empty_db):
    as_the_node_service_made_it(empty_db, NAMES[-1])
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.pending, adoption.differences) == (NAMES, [], [])
    assert list(migrate(empty_db)) == []


def test_an_older_database_is_noted_as_far_as_it_goes_and_migrates_on(empty_db):
    as_the_node_service_made_it(empty_db, FIRST)
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.pending) == ([FIRST], NAMES[1:])
    assert list(migrate(empty_db)) == NAMES[1:]
    assert check(empty_db, FOLDER).is_clean


def test_without_migrations_there_is_nothing_that_fits(empty_db, tmp_path):
    as_the_node_service_made_it(empty_db)
    adoption = adopt(empty_db, tmp_path)
    assert (adoption.noted, adoption.nearest) == ([], "an empty database")
    assert {one.what for one in adoption.differences} == {"table", "enum"}


def test_a_database_that_fits_nowhere_is_left_as_it_is(empty_db):
    as_the_node_service_made_it(empty_db)
    with empty_db.atomic():
        empty_db.execute_sql("ALTER TABLE users DROP COLUMN email")
    before = read_catalog(empty_db)
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.nearest) == ([], SECOND)
    assert [str(one) for one in adoption.differences] == [
        "column users.email: expected text, found none"
    ]
    assert read_catalog(empty_db) == before
    assert not has_history(empty_db)


def test_an_empty_database_has_nothing_to_adopt(empty_db):
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.pending, adoption.nearest) == ([], NAMES, None)
    assert not has_history(empty_db)
    assert list(migrate(empty_db)) == NAMES


def test_a_database_with_a_history_is_left_as_it_is(empty_db):
    list(migrate(empty_db, FIRST))
    adoption = adopt(empty_db, FOLDER)
    assert (adoption.noted, adoption.pending, adoption.nearest) == ([], NAMES[1:], None)
    assert [one.name for one in status(empty_db).applied] == [FIRST]


def test_tables_of_others_can_be_ignored(empty_db):
    as_the_node_service_made_it(empty_db)
    with empty_db.atomic():
        empty_db.execute_sql("CREATE TABLE audit_log (id int)")
    assert [str(one) for one in adopt(empty_db, FOLDER).differences] == [
        "table audit_log: expected none, found it"
    ]
    assert adopt(empty_db, FOLDER, ignore=["audit_*"]).noted == [FIRST, SECOND]


def test_the_command_adopts_and_says_what_is_in_the_way(empty_db, server):
    as_the_node_service_made_it(empty_db)
    with empty_db.atomic():
        empty_db.execute_sql(f"DROP INDEX {INDEX}")
    refused = run_command("adopt", url=server.url)
    assert refused.returncode == 1
    assert f"  index caregiver_access.{INDEX}: expected CREATE" in refused.stdout
    assert f"the nearest is {SECOND}" in refused.stdout
    with empty_db.atomic():
        empty_db.execute_sql(f"CREATE INDEX {INDEX} ON caregiver_access (status)")
    adopted = run_command("adopt", url=server.url)
    assert adopted.returncode == 0
    assert adopted.stdout.splitlines()[1:] == [
        f"  noted as applied  {FIRST}",
        f"  noted as applied  {SECOND}",
        *(f"  pending           {name}" for name in LATER),
    ]
    again = run_command("adopt", url=server.url)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "  nothing to adopt")
