"""Reminders of doses, each to one user and of one kind: sent once, whoever claims them.

Workers claim what is pending and available by one partial index, and delete what is settled and old
by the other; the unique one is what makes enqueueing idempotent.
"""

ADD = """
CREATE TYPE reminder_state_enum AS ENUM ('pending', 'sent', 'dead', 'withdrawn');

CREATE TABLE dose_reminders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    schedule_id uuid NOT NULL
        CONSTRAINT dose_reminders_schedule_id_medication_schedules_id_fk
        REFERENCES medication_schedules (id) ON DELETE CASCADE,
    scheduled_for timestamptz NOT NULL,
    kind text NOT NULL,
    user_id text NOT NULL
        CONSTRAINT dose_reminders_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE,
    state reminder_state_enum NOT NULL DEFAULT 'pending',
    available_at timestamptz NOT NULL DEFAULT now(),
    lease_id uuid,
    attempts smallint NOT NULL DEFAULT 0,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX dose_reminders_once_unique
    ON dose_reminders (schedule_id, scheduled_for, kind, user_id);
CREATE INDEX dose_reminders_pending_idx
    ON dose_reminders (kind, available_at) WHERE state = 'pending';
CREATE INDEX dose_reminders_settled_idx
    ON dose_reminders (scheduled_for) WHERE state <> 'pending';
CREATE INDEX dose_reminders_user_id_idx ON dose_reminders (user_id);
"""

REMOVE = """
DROP TABLE dose_reminders;
DROP TYPE reminder_state_enum;
"""


def migrate(migrator, database, fake=False, **kwargs):
    """Add the table."""
    migrator.sql(ADD)


def rollback(migrator, database, fake=False, **kwargs):
    """Remove it, with what it holds."""
    migrator.sql(REMOVE)
