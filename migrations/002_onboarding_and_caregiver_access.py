"""What onboarding asks for, profiles of one's own, and caregivers' access to recipients.

Every row of the first migration stays as it is: new columns are nullable or have a default.
"""

ADD = """
ALTER TABLE users
    ADD COLUMN timezone text,
    ADD COLUMN is_recipient boolean NOT NULL DEFAULT false,
    ADD COLUMN is_caregiver boolean NOT NULL DEFAULT false,
    ADD COLUMN has_completed_onboarding boolean NOT NULL DEFAULT false;

ALTER TABLE care_recipients
    ADD COLUMN user_id text
        CONSTRAINT care_recipients_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE;
CREATE INDEX care_recipients_user_id_idx ON care_recipients (user_id);
CREATE UNIQUE INDEX care_recipients_user_id_unique ON care_recipients (user_id);

CREATE TYPE access_status_enum AS ENUM (
    'pending_request', 'pending_invite', 'approved', 'revoked'
);

CREATE TABLE caregiver_access (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    caregiver_user_id text NOT NULL
        CONSTRAINT caregiver_access_caregiver_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE,
    recipient_user_id text NOT NULL
        CONSTRAINT caregiver_access_recipient_user_id_users_clerk_user_id_fk
        REFERENCES users (clerk_user_id) ON DELETE CASCADE,
    status access_status_enum NOT NULL,
    requested_at timestamptz,
    approved_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX caregiver_access_caregiver_user_id_idx ON caregiver_access (caregiver_user_id);
CREATE INDEX caregiver_access_recipient_user_id_idx ON caregiver_access (recipient_user_id);
CREATE INDEX caregiver_access_status_idx ON caregiver_access (status);
CREATE UNIQUE INDEX caregiver_access_active_unique
    ON caregiver_access (caregiver_user_id, recipient_user_id) WHERE status <> 'revoked';
"""

REMOVE = """
DROP TABLE caregiver_access;
DROP TYPE access_status_enum;
ALTER TABLE care_recipients DROP COLUMN user_id;
ALTER TABLE users
    DROP COLUMN timezone,
    DROP COLUMN is_recipient,
    DROP COLUMN is_caregiver,
    DROP COLUMN has_completed_onboarding;
"""


def migrate(migrator, database, fake=False, **kwargs):
    """Add the columns and the table."""
    migrator.sql(ADD)


def rollback(migrator, database, fake=False, **kwargs):
    """Remove them, with what they hold."""
    migrator.sql(REMOVE)
