"""The schema as Peewee models: the one source that migrations are checked against.

Names of constraints and indexes are those of the Node service, which shares the database. The enum
types stand outside of what a model can say: ``ENUMS`` has them.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    SQL,
    BooleanField,
    Check,
    DateField,
    Field,
    ForeignKeyField,
    Model,
    SmallIntegerField,
    TextField,
    UUIDField,
    fn,
)

from homethrive_db.database import process_database
from homethrive_db.enums import AccessStatus, Recurrence, ReminderState

ENUMS: dict[str, tuple[str, ...]] = {
    "access_status_enum": tuple(AccessStatus),
    "recurrence_type_enum": tuple(Recurrence),
    "reminder_state_enum": tuple(ReminderState),
}


class TimestampTZField(Field):
    """An instant. Peewee's own DateTimeField makes a timestamp without a zone."""

    field_type = "TIMESTAMPTZ"


class EnumField(Field):
    """A value of an enum type of the database."""

    def __init__(self, enum_name: str, **options: Any) -> None:
        super().__init__(**options)
        self.field_type = enum_name  # type: ignore[misc]  # peewee reads it of the instance


class SmallIntegerArrayField(SmallIntegerField):
    """A smallint array; playhouse's ArrayField would add a GIN index and its own operators."""

    field_type = "SMALLINT[]"

    def adapt(self, value: Any) -> list[int]:
        """Take any iterable of numbers."""
        return list(value)


def _now(**options: Any) -> TimestampTZField:
    return TimestampTZField(constraints=[SQL("DEFAULT now()")], **options)


def _id() -> UUIDField:
    return UUIDField(primary_key=True, constraints=[SQL("DEFAULT gen_random_uuid()")])


def _reference(model: type[Model], table: str, column: str, **options: Any) -> ForeignKeyField:
    """Refer to *model*, the constraint named as Drizzle names it; indexes are declared apart."""
    target: Any = model._meta
    return ForeignKeyField(
        model,
        column_name=column,
        backref="+",
        on_delete="CASCADE",
        index=False,
        constraint_name=f"{table}_{column}_{target.table_name}_{target.primary_key.column_name}_fk",
        **options,
    )


class BaseModel(Model):
    """Binds the models to the process's database."""

    class Meta:
        database = process_database
        legacy_table_names = False


class User(BaseModel):
    """A person who signs in."""

    clerk_user_id = TextField(primary_key=True)
    email = TextField(null=True)
    display_name = TextField(null=True)
    image_url = TextField(null=True)
    created_at = _now()
    updated_at = _now()
    timezone = TextField(null=True)
    is_recipient = BooleanField(constraints=[SQL("DEFAULT false")])
    is_caregiver = BooleanField(constraints=[SQL("DEFAULT false")])
    has_completed_onboarding = BooleanField(constraints=[SQL("DEFAULT false")])

    class Meta:
        table_name = "users"


class CareRecipient(BaseModel):
    """A profile of somebody who takes medications."""

    id = _id()
    created_by_user = _reference(User, "care_recipients", "created_by_user_id", null=True)
    display_name = TextField()
    timezone = TextField(constraints=[SQL("DEFAULT 'America/New_York'")])
    created_at = _now()
    updated_at = _now()
    user = _reference(User, "care_recipients", "user_id", null=True)

    class Meta:
        table_name = "care_recipients"


class CaregiverAccess(BaseModel):
    """The access of one user, the caregiver, to the care of another."""

    id = _id()
    caregiver_user = _reference(User, "caregiver_access", "caregiver_user_id")
    recipient_user = _reference(User, "caregiver_access", "recipient_user_id")
    status = EnumField("access_status_enum")
    requested_at = TimestampTZField(null=True)
    approved_at = TimestampTZField(null=True)
    revoked_at = TimestampTZField(null=True)
    created_at = _now()
    updated_at = _now()

    class Meta:
        table_name = "caregiver_access"


class Medication(BaseModel):
    """What a care recipient takes."""

    id = _id()
    recipient = _reference(CareRecipient, "medications", "recipient_id")
    name = TextField()
    instructions = TextField(null=True)
    is_active = BooleanField(constraints=[SQL("DEFAULT true")])
    inactive_at = TimestampTZField(null=True)
    created_at = _now()
    updated_at = _now()
    created_by_user = _reference(User, "medications", "created_by_user_id")

    class Meta:
        table_name = "medications"


class MedicationSchedule(BaseModel):
    """When a medication is due; ``time_of_day`` is local, "HH:MM"."""

    id = _id()
    medication = _reference(Medication, "medication_schedules", "medication_id")
    recurrence = EnumField("recurrence_type_enum")
    time_of_day = TextField()
    timezone = TextField(null=True)
    days_of_week = SmallIntegerArrayField(null=True)
    start_date = DateField()
    end_date = DateField(null=True)
    created_at = _now()
    updated_at = _now()
    created_by_user = _reference(User, "medication_schedules", "created_by_user_id")
    dosage_notes = TextField(null=True)

    class Meta:
        table_name = "medication_schedules"
        constraints = [
            Check(
                "days_of_week IS NULL OR days_of_week <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[]",
                name="medication_schedules_days_of_week_bounds",
            ),
            Check(
                "time_of_day ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$'",
                name="medication_schedules_time_of_day_format",
            ),
            Check(
                "(recurrence = 'weekly' AND days_of_week IS NOT NULL"
                " AND array_length(days_of_week, 1) >= 1)"
                " OR (recurrence = 'daily' AND days_of_week IS NULL)",
                name="medication_schedules_weekly_requires_days",
            ),
        ]


class DoseTaken(BaseModel):
    """One dose that was taken, known by its schedule and the instant it was due."""

    id = _id()
    recipient = _reference(CareRecipient, "dose_taken", "recipient_id")
    medication = _reference(Medication, "dose_taken", "medication_id")
    schedule = _reference(MedicationSchedule, "dose_taken", "schedule_id")
    scheduled_for = TimestampTZField()
    taken_at = TimestampTZField()
    taken_by_user = _reference(User, "dose_taken", "taken_by_user_id")

    class Meta:
        table_name = "dose_taken"


class DoseSkip(BaseModel):
    """One dose that was left out on purpose; ours alone, the Node service does not know it."""

    id = _id()
    schedule = _reference(MedicationSchedule, "dose_skips", "schedule_id")
    scheduled_for = TimestampTZField()
    reason = TextField(null=True)
    skipped_at = TimestampTZField()
    skipped_by_user = _reference(User, "dose_skips", "skipped_by_user_id")

    class Meta:
        table_name = "dose_skips"


class DoseReminder(BaseModel):
    """One reminder of a dose to one user; ours alone.

    ``available_at`` is when it may be claimed: a claim puts it off by its lease, and a failure by
    a pause. ``lease_id`` names the claim that has it, or, once it is sent, the call that said so.
    """

    id = _id()
    schedule = _reference(MedicationSchedule, "dose_reminders", "schedule_id")
    scheduled_for = TimestampTZField()
    kind = TextField()
    user = _reference(User, "dose_reminders", "user_id")
    state = EnumField("reminder_state_enum", constraints=[SQL("DEFAULT 'pending'")])
    available_at = _now()
    lease_id = UUIDField(null=True)
    attempts = SmallIntegerField(constraints=[SQL("DEFAULT 0")])
    error = TextField(null=True)
    created_at = _now()
    updated_at = _now()

    class Meta:
        table_name = "dose_reminders"


MODELS: tuple[type[BaseModel], ...] = (
    User,
    CareRecipient,
    CaregiverAccess,
    Medication,
    MedicationSchedule,
    DoseTaken,
    DoseSkip,
    DoseReminder,
)
"""In the order in which they can be created and filled."""


User.add_index(fn.LOWER(User.email), name="users_lower_email_idx")

CareRecipient.add_index(
    CareRecipient.created_by_user, name="care_recipients_created_by_user_id_idx"
)
CareRecipient.add_index(
    CareRecipient.id,
    CareRecipient.created_by_user,
    unique=True,
    name="care_recipients_id_created_by_user_id_unique",
)
CareRecipient.add_index(CareRecipient.user, name="care_recipients_user_id_idx")
CareRecipient.add_index(CareRecipient.user, unique=True, name="care_recipients_user_id_unique")

CaregiverAccess.add_index(
    CaregiverAccess.caregiver_user,
    CaregiverAccess.recipient_user,
    unique=True,
    where=CaregiverAccess.status != SQL("'revoked'"),
    name="caregiver_access_active_unique",
)
CaregiverAccess.add_index(
    CaregiverAccess.caregiver_user, name="caregiver_access_caregiver_user_id_idx"
)
CaregiverAccess.add_index(
    CaregiverAccess.recipient_user, name="caregiver_access_recipient_user_id_idx"
)
CaregiverAccess.add_index(CaregiverAccess.status, name="caregiver_access_status_idx")

Medication.add_index(Medication.created_by_user, name="medications_created_by_user_id_idx")
Medication.add_index(
    Medication.created_by_user,
    Medication.recipient,
    name="medications_created_by_user_id_recipient_id_idx",
)
Medication.add_index(
    Medication.id,
    Medication.created_by_user,
    unique=True,
    name="medications_id_created_by_user_id_unique",
)
Medication.add_index(
    Medication.recipient, Medication.is_active, name="medications_recipient_active_idx"
)
Medication.add_index(Medication.recipient, name="medications_recipient_id_idx")

MedicationSchedule.add_index(
    MedicationSchedule.created_by_user, name="medication_schedules_created_by_user_id_idx"
)
MedicationSchedule.add_index(
    MedicationSchedule.created_by_user,
    MedicationSchedule.medication,
    name="medication_schedules_created_by_user_id_medication_id_idx",
)
MedicationSchedule.add_index(
    MedicationSchedule.id,
    MedicationSchedule.created_by_user,
    unique=True,
    name="medication_schedules_id_created_by_user_id_unique",
)
MedicationSchedule.add_index(
    MedicationSchedule.medication, name="medication_schedules_medication_id_idx"
)
MedicationSchedule.add_index(
    MedicationSchedule.medication,
    MedicationSchedule.recurrence,
    name="medication_schedules_medication_id_recurrence_idx",
)
MedicationSchedule.add_index(
    MedicationSchedule.timezone,
    MedicationSchedule.time_of_day,
    MedicationSchedule.id,
    name="medication_schedules_timezone_time_of_day_id_idx",
)

DoseTaken.add_index(
    DoseTaken.medication,
    DoseTaken.scheduled_for,
    name="dose_taken_medication_scheduled_for_idx",
)
DoseTaken.add_index(
    DoseTaken.recipient, DoseTaken.scheduled_for, name="dose_taken_recipient_scheduled_for_idx"
)
DoseTaken.add_index(
    DoseTaken.schedule,
    DoseTaken.scheduled_for,
    unique=True,
    name="dose_taken_schedule_scheduled_for_unique",
)
DoseTaken.add_index(DoseTaken.taken_by_user, name="dose_taken_taken_by_user_id_idx")

DoseSkip.add_index(
    DoseSkip.schedule,
    DoseSkip.scheduled_for,
    unique=True,
    name="dose_skips_schedule_scheduled_for_unique",
)
DoseSkip.add_index(DoseSkip.skipped_by_user, name="dose_skips_skipped_by_user_id_idx")

DoseReminder.add_index(
    DoseReminder.schedule,
    DoseReminder.scheduled_for,
    DoseReminder.kind,
    DoseReminder.user,
    unique=True,
    name="dose_reminders_once_unique",
)
DoseReminder.add_index(
    DoseReminder.kind,
    DoseReminder.available_at,
    where=DoseReminder.state == SQL("'pending'"),
    name="dose_reminders_pending_idx",
)
DoseReminder.add_index(
    DoseReminder.scheduled_for,
    where=DoseReminder.state != SQL("'pending'"),
    name="dose_reminders_settled_idx",
)
DoseReminder.add_index(DoseReminder.user, name="dose_reminders_user_id_idx")
