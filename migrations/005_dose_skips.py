"""Doses that were left out on purpose, in a table of their own.

The Node service knows no skips, so its tables stay as they are.
"""

ADD = """
CREATE TABLE dose_skips (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    schedule_id uuid NOT NULL
        CONSTRAINT dose_skips_schedule_id_medication_schedules_id_fk
        REFERENCES medication_schedules (id) ON DELETE CASCADE,
    scheduled_for timestamptz NOT NULL,
    reason text,
    skipped_at timestamptz NOT NULL,
    skipped_by_user_id text NOT NULL
        CONSTRAINT dose_skips_skipped_by_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX dose_skips_schedule_scheduled_for_unique
    ON dose_skips (schedule_id, scheduled_for);
CREATE INDEX dose_skips_skipped_by_user_id_idx ON dose_skips (skipped_by_user_id);
"""


def migrate(migrator, database, fake=False, **kwargs):
    """Add the table."""
    migrator.sql(ADD)


def rollback(migrator, database, fake=False, **kwargs):
    """Remove it, with what it holds."""
    migrator.sql("DROP TABLE dose_skips")
