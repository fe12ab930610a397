"""Users, care recipients, their medications with schedules, and the doses taken."""

CREATE = """
CREATE TYPE recurrence_type_enum AS ENUM ('daily', 'weekly');

CREATE TABLE users (
    clerk_user_id text PRIMARY KEY,
    email text,
    display_name text,
    image_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE care_recipients (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_by_user_id text
        CONSTRAINT care_recipients_created_by_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE,
    display_name text NOT NULL,
    timezone text NOT NULL DEFAULT 'America/New_York',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX care_recipients_created_by_user_id_idx
    ON care_recipients (created_by_user_id);
CREATE UNIQUE INDEX care_recipients_id_created_by_user_id_unique
    ON care_recipients (id, created_by_user_id);

CREATE TABLE medications (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    recipient_id uuid NOT NULL
        CONSTRAINT medications_recipient_id_care_recipients_id_fk
        REFERENCES care_recipients (id) ON DELETE CASCADE,
    name text NOT NULL,
    instructions text,
    is_active boolean NOT NULL DEFAULT true,
    inactive_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by_user_id text NOT NULL
        CONSTRAINT medications_created_by_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE
);
CREATE INDEX medications_recipient_id_idx ON medications (recipient_id);
CREATE INDEX medications_recipient_active_idx ON medications (recipient_id, is_active);
CREATE INDEX medications_created_by_user_id_idx ON medications (created_by_user_id);
CREATE INDEX medications_created_by_user_id_recipient_id_idx
    ON medications (created_by_user_id, recipient_id);
CREATE UNIQUE INDEX medications_id_created_by_user_id_unique
    ON medications (id, created_by_user_id);

CREATE TABLE medication_schedules (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    medication_id uuid NOT NULL
        CONSTRAINT medication_schedules_medication_id_medications_id_fk
        REFERENCES medications (id) ON DELETE CASCADE,
    recurrence recurrence_type_enum NOT NULL,
    time_of_day text NOT NULL
        CONSTRAINT medication_schedules_time_of_day_format
        CHECK (time_of_day ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'),
    timezone text,
    days_of_week smallint[]
        CONSTRAINT medication_schedules_days_of_week_bounds
        CHECK (days_of_week IS NULL OR days_of_week <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[]),
    start_date date NOT NULL,
    end_date date,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_by_user_id text NOT NULL
        CONSTRAINT medication_schedules_created_by_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE,
    dosage_notes text,
    CONSTRAINT medication_schedules_weekly_requires_days CHECK (
        (recurrence = 'weekly' AND days_of_week IS NOT NULL
            AND array_length(days_of_week, 1) >= 1)
        OR (recurrence = 'daily' AND days_of_week IS NULL)
    )
);
CREATE INDEX medication_schedules_medication_id_idx ON medication_schedules (medication_id);
CREATE INDEX medication_schedules_medication_id_recurrence_idx
    ON medication_schedules (medication_id, recurrence);
CREATE INDEX medication_schedules_created_by_user_id_idx
    ON medication_schedules (created_by_user_id);
CREATE INDEX medication_schedules_created_by_user_id_medication_id_idx
    ON medication_schedules (created_by_user_id, medication_id);
CREATE UNIQUE INDEX medication_schedules_id_created_by_user_id_unique
    ON medication_schedules (id, created_by_user_id);

CREATE TABLE dose_taken (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    recipient_id uuid NOT NULL
        CONSTRAINT dose_taken_recipient_id_care_recipients_id_fk
        REFERENCES care_recipients (id) ON DELETE CASCADE,
    medication_id uuid NOT NULL
        CONSTRAINT dose_taken_medication_id_medications_id_fk
        REFERENCES medications (id) ON DELETE CASCADE,
    schedule_id uuid NOT NULL
        CONSTRAINT dose_taken_schedule_id_medication_schedules_id_fk
        REFERENCES medication_schedules (id) ON DELETE CASCADE,
    scheduled_for timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    taken_by_user_id text NOT NULL
        CONSTRAINT dose_taken_taken_by_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX dose_taken_schedule_scheduled_for_unique
    ON dose_taken (schedule_id, scheduled_for);
CREATE INDEX dose_taken_recipient_scheduled_for_idx ON dose_taken (recipient_id, scheduled_for);
CREATE INDEX dose_taken_medication_scheduled_for_idx ON dose_taken (medication_id, scheduled_for);
CREATE INDEX dose_taken_taken_by_user_id_idx ON dose_taken (taken_by_user_id);
"""

DROP = """
DROP TABLE dose_taken, medication_schedules, medications, care_recipients, users;
DROP TYPE recurrence_type_enum;
"""


def migrate(migrator, database, fake=False, **kwargs):
    """Create the tables."""
    migrator.sql(CREATE)


def rollback(migrator, database, fake=False, **kwargs):
    """Drop the tables with all rows."""
    migrator.sql(DROP)
