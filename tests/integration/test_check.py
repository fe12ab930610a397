"""``check`` tells every kind of drift by name, raises no false alarm, and changes nothing."""

import json

import psycopg2
import pytest

from homethrive_db import MigrationError, create_db
from homethrive_db.migrate import migrate, migrations_folder, rollback
from homethrive_db.migrate.catalog import read_catalog
from homethrive_db.migrate.check import check
from homethrive_db.migrate.compare import compare
from homethrive_db.migrate.scratch import catalog_of_models
from tests.process import run_command

USER_KEY = "caregiver_access_caregiver_user_id_users_clerk_user_id_fk"
OTHER_KEY = "caregiver_access_recipient_user_id_users_clerk_user_id_fk"
ADD_USER_KEY = (
    f"ALTER TABLE caregiver_access ADD CONSTRAINT {USER_KEY} "
    "FOREIGN KEY (caregiver_user_id) REFERENCES users (clerk_user_id)"
)
DROP_USER_KEY = f"ALTER TABLE caregiver_access DROP CONSTRAINT {USER_KEY}"
CASCADE = "FOREIGN KEY (caregiver_user_id) REFERENCES users(clerk_user_id) ON DELETE CASCADE"
ACTIVE = "caregiver_access_active_unique"
ACTIVE_ON = "ON caregiver_access USING btree (caregiver_user_id, recipient_user_id)"
ACTIVE_WHERE = "WHERE status <> 'revoked'::access_status_enum"
STATUS_INDEX = "INDEX caregiver_access_status_idx ON caregiver_access USING btree (status)"
FORMAT = "medication_schedules_time_of_day_format"
FORMAT_CHECK = "CHECK (time_of_day ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'::text)"
LABELS = "pending_request, pending_invite, approved, revoked"
TRIGGER = "CREATE TRIGGER noisy BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION "

DRIFT = {
    "column added": (
        "ALTER TABLE users ADD COLUMN color text DEFAULT 'red'",
        "column users.color: expected none, found text DEFAULT 'red'::text",
    ),
    "column dropped": (
        "ALTER TABLE users DROP COLUMN image_url",
        "column users.image_url: expected text, found none",
    ),
    "column renamed": (
        "ALTER TABLE users RENAME COLUMN image_url TO picture",
        "column users.image_url: expected text, found none",
        "column users.picture: expected none, found text",
    ),
    "column retyped": (
        "ALTER TABLE users ALTER COLUMN image_url TYPE varchar(100)",
        "type of users.image_url: expected text, found character varying(100)",
    ),
    "column collated otherwise": (
        'ALTER TABLE users ALTER COLUMN email TYPE text COLLATE "C"',
        'type of users.email: expected text, found text COLLATE "C"',
    ),
    "column made an identity": (
        "ALTER TABLE users ADD COLUMN number int GENERATED ALWAYS AS IDENTITY",
        "column users.number: expected none, found integer GENERATED ALWAYS AS IDENTITY NOT NULL",
    ),
    "NOT NULL dropped": (
        "ALTER TABLE medications ALTER COLUMN name DROP NOT NULL",
        "nullability of medications.name: expected NOT NULL, found NULL",
    ),
    "NOT NULL added": (
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL",
        "nullability of users.email: expected NULL, found NOT NULL",
    ),
    "default changed": (
        "ALTER TABLE care_recipients ALTER COLUMN timezone SET DEFAULT 'UTC'",
        "default of care_recipients.timezone: expected 'America/New_York'::text, found 'UTC'::text",
    ),
    "default dropped": (
        "ALTER TABLE users ALTER COLUMN is_recipient DROP DEFAULT",
        "default of users.is_recipient: expected false, found none",
    ),
    "CHECK dropped": (
        f"ALTER TABLE medication_schedules DROP CONSTRAINT {FORMAT}",
        f"check medication_schedules.{FORMAT}: expected {FORMAT_CHECK}, found none",
    ),
    "CHECK changed": (
        f"ALTER TABLE medication_schedules DROP CONSTRAINT {FORMAT}; "
        f"ALTER TABLE medication_schedules ADD CONSTRAINT {FORMAT} CHECK (time_of_day <> '')",
        f"check medication_schedules.{FORMAT}: "
        f"expected {FORMAT_CHECK}, found CHECK (time_of_day <> ''::text)",
    ),
    "CHECK not validated": (
        "ALTER TABLE users ADD CONSTRAINT named CHECK (display_name <> '') NOT VALID",
        "check users.named: expected none, found CHECK (display_name <> ''::text) NOT VALID",
    ),
    "enum label added": (
        "ALTER TYPE recurrence_type_enum ADD VALUE 'monthly'",
        "enum recurrence_type_enum: expected (daily, weekly), found (daily, weekly, monthly)",
    ),
    "enum label renamed": (
        "ALTER TYPE access_status_enum RENAME VALUE 'pending_invite' TO 'invited'",
        f"enum access_status_enum: expected ({LABELS}), "
        "found (pending_request, invited, approved, revoked)",
    ),
    "enum labels in another order": (
        "UPDATE pg_enum SET enumsortorder = 9 WHERE enumlabel = 'pending_request'",
        f"enum access_status_enum: expected ({LABELS}), "
        "found (pending_invite, approved, revoked, pending_request)",
    ),
    "enum extra": (
        "CREATE TYPE mood_enum AS ENUM ('fine')",
        "enum mood_enum: expected none, found (fine)",
    ),
    "index dropped": (
        "DROP INDEX caregiver_access_status_idx",
        "index caregiver_access.caregiver_access_status_idx: "
        f"expected CREATE {STATUS_INDEX}, found none",
    ),
    "index renamed": (
        "ALTER INDEX caregiver_access_status_idx RENAME TO status_idx",
        "name of index caregiver_access.status_idx: "
        "expected caregiver_access_status_idx, found status_idx",
    ),
    "index added": (
        "CREATE INDEX by_email ON users (lower(email))",
        "index users.by_email: "
        "expected none, found CREATE INDEX by_email ON users USING btree (lower(email))",
    ),
    "index made non-unique": (
        f"DROP INDEX {ACTIVE}; CREATE INDEX {ACTIVE} {ACTIVE_ON} {ACTIVE_WHERE}",
        f"index caregiver_access.{ACTIVE}: "
        f"expected CREATE UNIQUE INDEX {ACTIVE} {ACTIVE_ON} {ACTIVE_WHERE}, "
        f"found CREATE INDEX {ACTIVE} {ACTIVE_ON} {ACTIVE_WHERE}",
    ),
    "index WHERE dropped": (
        f"DROP INDEX {ACTIVE}; CREATE UNIQUE INDEX {ACTIVE} {ACTIVE_ON}",
        f"index caregiver_access.{ACTIVE}: "
        f"expected CREATE UNIQUE INDEX {ACTIVE} {ACTIVE_ON} {ACTIVE_WHERE}, "
        f"found CREATE UNIQUE INDEX {ACTIVE} {ACTIVE_ON}",
    ),
    "index INVALID": (
        "UPDATE pg_index SET indisvalid = false "
        "WHERE indexrelid = 'caregiver_access_status_idx'::regclass",
        "index caregiver_access.caregiver_access_status_idx: "
        f"expected CREATE {STATUS_INDEX}, found CREATE {STATUS_INDEX} (INVALID)",
    ),
    "foreign key dropped": (
        DROP_USER_KEY,
        f"foreign key caregiver_access.{USER_KEY}: expected {CASCADE}, found none",
    ),
    "foreign key with another action": (
        f"{DROP_USER_KEY}; {ADD_USER_KEY} ON DELETE RESTRICT",
        f"foreign key caregiver_access.{USER_KEY}: "
        f"expected {CASCADE}, found {CASCADE.replace('CASCADE', 'RESTRICT')}",
    ),
    "foreign key disabled": (
        "ALTER TABLE caregiver_access DISABLE TRIGGER ALL; "
        f"ALTER TABLE caregiver_access DROP CONSTRAINT {OTHER_KEY}",
        f"foreign key caregiver_access.{USER_KEY}: "
        f"expected {CASCADE}, found {CASCADE} (its triggers are disabled)",
        f"foreign key caregiver_access.{OTHER_KEY}: "
        f"expected {CASCADE.replace('caregiver_u', 'recipient_u')}, found none",
    ),
    "primary key dropped": (
        "ALTER TABLE dose_taken DROP CONSTRAINT dose_taken_pkey",
        "primary key dose_taken.dose_taken_pkey: expected PRIMARY KEY (id), found none",
    ),
    "table missing": (
        "DROP TABLE dose_taken",
        "table dose_taken: expected it, found none",
    ),
    "table extra": (
        "CREATE TABLE stray (id int)",
        "table stray: expected none, found it",
    ),
    "table unlogged": (
        "ALTER TABLE dose_taken SET UNLOGGED",
        "storage dose_taken: expected none, found unlogged",
    ),
    "row security": (
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "row security users: expected none, found enabled",
    ),
    "rule added": (
        "CREATE RULE quiet AS ON DELETE TO users DO INSTEAD NOTHING",
        "rules users: expected none, found "
        "CREATE RULE quiet AS ON DELETE TO users DO INSTEAD NOTHING;",
    ),
    "parent added": (
        "CREATE TABLE stray (id uuid NOT NULL); ALTER TABLE dose_taken INHERIT stray",
        "parents dose_taken: expected none, found stray",
        "table stray: expected none, found it",
    ),
    "policy": (
        "CREATE POLICY own ON users FOR SELECT TO CURRENT_USER USING (email IS NULL)",
        "policies users: expected none, found own r permissive {postgres} (email IS NULL)",
    ),
    "trigger added": (
        "CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        f"{TRIGGER}noisy()",
        f"trigger users.noisy: expected none, found {TRIGGER}noisy()",
    ),
}


def execute(server, sql):
    """Execute what no transaction may have around it, and hold no connection afterwards."""
    connection = psycopg2.connect(server.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()


@pytest.fixture(scope="module")
def migrated(server):
    """Migrate a database once; the tests roll back what they do to it."""
    execute(server, "CREATE DATABASE drift")
    db = create_db(server.url_of("drift"))
    list(migrate(db))
    yield db
    db.close_all()
    execute(server, "DROP DATABASE drift")


@pytest.fixture(scope="module")
def expected(migrated):
    return catalog_of_models(migrated)


@pytest.mark.parametrize("kind", DRIFT)
def test_drift_is_told(migrated, expected, kind):
    drift, *lines = DRIFT[kind]
    with migrated.atomic() as transaction:
        migrated.execute_sql(drift)
        differences = compare(expected, read_catalog(migrated))
        transaction.rollback()
    assert [str(one) for one in differences] == lines


def test_a_migrated_database_is_clean(migrated):
    assert check(migrated, migrations_folder()).is_clean


def test_the_order_of_columns_does_not_count(migrated, expected):
    with migrated.atomic() as transaction:
        migrated.execute_sql(
            "ALTER TABLE users DROP COLUMN image_url; ALTER TABLE users ADD COLUMN image_url text"
        )
        assert compare(expected, read_catalog(migrated)) == []
        transaction.rollback()


def test_tables_of_others_and_their_types_can_be_ignored(migrated, expected):
    with migrated.atomic() as transaction:
        migrated.execute_sql(
            "CREATE TYPE mood AS ENUM ('fine'); CREATE TABLE journal_2026 (mood mood); "
            'CREATE TABLE "Journal" (moods mood[]); CREATE SCHEMA drizzle; '
            "CREATE TABLE drizzle.__drizzle_migrations (id serial)"
        )
        live = read_catalog(migrated, ["journal_*", "Journal"])
        with_journals = compare(expected, read_catalog(migrated))
        transaction.rollback()
    assert compare(expected, live) == []
    assert len(with_journals) == 3


def test_check_leaves_nothing_behind(migrated):
    def everything():
        with migrated.connection_context():
            query = "SELECT array_agg(nspname::text ORDER BY 1) FROM pg_namespace"
            return read_catalog(migrated), migrated.execute_sql(query).fetchone()

    before = everything()
    check(migrated, migrations_folder())
    assert everything() == before


def test_pending_migrations_are_told(empty_db):
    names = list(migrate(empty_db))
    list(rollback(empty_db, len(names) - 1))
    result = check(empty_db, migrations_folder())
    assert result.pending == names[1:]
    assert result.migrations == []
    assert "table caregiver_access: expected it, found none" in map(str, result.database)


def test_an_applied_migration_without_its_file_is_told(migrated):
    with migrated.atomic():
        migrated.execute_sql(
            "INSERT INTO migratehistory (name, migrated_at) VALUES ('009_x', now())"
        )
    result = check(migrated, migrations_folder())
    assert (result.missing, result.is_clean) == (["009_x"], False)


def test_migrations_that_do_not_make_the_models_are_told(migrated, tmp_path):
    tmp_path.joinpath("001_users.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE users (clerk_user_id text PRIMARY KEY)')\n"
    )
    result = check(migrated, tmp_path)
    assert "column users.email: expected text, found none" in map(str, result.migrations)
    assert result.database == []


def test_a_migration_that_fails_from_zero_is_named(migrated, tmp_path):
    tmp_path.joinpath("001_wrong.py").write_text(
        "def migrate(migrator, database, fake=False, **kwargs):\n"
        "    migrator.sql('CREATE TABLE users (oops)')\n"
    )
    with pytest.raises(MigrationError, match="001_wrong fails on empty tables: syntax error"):
        check(migrated, tmp_path)


def test_the_command_tells_drift_and_exits_with_one(empty_db, server):
    list(migrate(empty_db))
    clean = run_command("check", url=server.url)
    assert clean.returncode == 0
    assert clean.stdout.splitlines()[1:] == [
        "  ok: the migrations and the models say the same",
        "  ok: the database and the models say the same",
        "  ok: no migration is pending",
    ]
    with empty_db.atomic():
        empty_db.execute_sql(
            "ALTER TABLE users DROP COLUMN image_url; CREATE TABLE journal (id int)"
        )
    drifted = run_command("check", url=server.url, DATABASE_IGNORE_TABLES="journal, other_*")
    assert drifted.returncode == 1
    assert "  the database: column users.image_url: expected text, found none" in drifted.stdout
    assert "journal" not in drifted.stdout
    as_json = run_command("check", "--format", "json", url=server.url)
    assert as_json.returncode == 1
    found = json.loads(as_json.stdout)
    assert found["ok"] is False
    assert found["migrations"] == found["pending"] == found["edited"] == []
    assert found["database"] == [
        {"what": "table", "where": "journal", "expected": None, "found": "it"},
        {"what": "column", "where": "users.image_url", "expected": "text", "found": None},
    ]
