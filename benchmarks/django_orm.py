"""Django's ORM as its documentation shows it: model instances, querysets, related objects.

It runs on the connection that it is given, in autocommit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "homethrive"}},
    USE_TZ=True,
    TIME_ZONE="UTC",
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402  # only once it is set up
from django.db import connection as django_connection  # noqa: E402
from django.db import models, transaction  # noqa: E402
from django.db.models import Q  # noqa: E402
from django.db.models.functions import Coalesce, Lower, Now  # noqa: E402

from homethrive_db import DoseOutcome, OutcomeStatus  # noqa: E402


class Model(models.Model):
    class Meta:
        abstract = True
        app_label = "benchmarks"


def uuid_key():
    return models.UUIDField(primary_key=True, db_default=models.Func(function="gen_random_uuid"))


def now():
    return models.DateTimeField(db_default=Now())


def reference(to, column):
    return models.ForeignKey(to, models.CASCADE, db_column=column, null=True, related_name="+")


class User(Model):
    clerk_user_id = models.TextField(primary_key=True)
    email = models.TextField(null=True)
    display_name = models.TextField(null=True)
    image_url = models.TextField(null=True)
    timezone = models.TextField(null=True)
    is_recipient = models.BooleanField(db_default=False)
    is_caregiver = models.BooleanField(db_default=False)
    has_completed_onboarding = models.BooleanField(db_default=False)
    created_at = now()
    updated_at = now()

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "users"


class CareRecipient(Model):
    id = uuid_key()
    user = reference(User, "user_id")
    created_by_user = reference(User, "created_by_user_id")
    display_name = models.TextField()
    timezone = models.TextField(db_default="America/New_York")
    created_at = now()
    updated_at = now()

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "care_recipients"


class Status(models.TextField):
    def db_type(self, connection):
        return "access_status_enum"


class RecurrenceType(models.TextField):
    def db_type(self, connection):
        return "recurrence_type_enum"


class CaregiverAccess(Model):
    id = uuid_key()
    caregiver_user = reference(User, "caregiver_user_id")
    recipient_user = reference(User, "recipient_user_id")
    status = Status()
    requested_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    created_at = now()
    updated_at = now()

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "caregiver_access"


class Medication(Model):
    id = uuid_key()
    recipient = reference(CareRecipient, "recipient_id")
    name = models.TextField()
    instructions = models.TextField(null=True)
    is_active = models.BooleanField(db_default=True)
    inactive_at = models.DateTimeField(null=True)
    created_by_user = reference(User, "created_by_user_id")
    created_at = now()
    updated_at = now()

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "medications"


class MedicationSchedule(Model):
    id = uuid_key()
    medication = reference(Medication, "medication_id")
    recurrence = RecurrenceType()
    time_of_day = models.TextField()
    timezone = models.TextField(null=True)
    days_of_week = ArrayField(models.SmallIntegerField(), null=True)
    start_date = models.DateField()
    end_date = models.DateField(null=True)
    dosage_notes = models.TextField(null=True)
    created_by_user = reference(User, "created_by_user_id")
    created_at = now()
    updated_at = now()

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "medication_schedules"


class DoseTaken(Model):
    id = uuid_key()
    recipient = reference(CareRecipient, "recipient_id")
    medication = reference(Medication, "medication_id")
    schedule = reference(MedicationSchedule, "schedule_id")
    scheduled_for = models.DateTimeField()
    taken_at = models.DateTimeField()
    taken_by_user = reference(User, "taken_by_user_id")

    class Meta(Model.Meta):
        abstract = False
        managed = False
        db_table = "dose_taken"


def reached_by(user_id, prefix=""):
    approved = CaregiverAccess.objects.filter(caregiver_user=user_id, status="approved")
    return (
        Q(**{f"{prefix}user": user_id})
        | Q(**{f"{prefix}created_by_user": user_id})
        | Q(**{f"{prefix}user__in": approved.values("recipient_user")})
    )


class Django:
    """All calls, on one connection."""

    name = "Django"

    def __init__(self, connection: Any) -> None:
        django_connection.connection = connection
        django_connection.autocommit = True
        self.users = Users()
        self.care_recipients = CareRecipients()
        self.caregiver_access = CaregiverAccesses()
        self.medications = Medications()
        self.schedules = Schedules()
        self.doses_taken = Doses()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Say that a transaction is open, which Django did not begin: its own are savepoints."""
        django_connection.in_atomic_block = True
        django_connection.autocommit = django_connection.needs_rollback = False
        yield
        django_connection.in_atomic_block = False
        django_connection.autocommit = True


def change(found, **values):
    """Load, change, save: as forms and views do."""
    for name, value in values.items():
        setattr(found, name, value)
    found.updated_at = Now()
    found.save(update_fields=[*values, "updated_at"])
    return found


class Users:
    def find_by_clerk_user_id(self, clerk_user_id):
        return User.objects.filter(pk=clerk_user_id).first()

    def upsert(self, clerk_user_id, *, display_name):
        user, _ = User.objects.update_or_create(
            clerk_user_id=clerk_user_id, defaults={"display_name": display_name}
        )
        return user

    def complete_onboarding(self, clerk_user_id, **values):
        return change(User.objects.get(pk=clerk_user_id), has_completed_onboarding=True, **values)

    def update_roles(self, clerk_user_id, **roles):
        return change(User.objects.get(pk=clerk_user_id), **roles)


class CareRecipients:
    def find_by_id(self, user_id, recipient_id):
        return CareRecipient.objects.filter(reached_by(user_id), pk=recipient_id).first()

    def find_by_user_id(self, user_id):
        return CareRecipient.objects.filter(user=user_id).first()

    def list_for_caregiver(self, user_id):
        return list(CareRecipient.objects.filter(reached_by(user_id)).order_by("created_at", "id"))

    def iter_for_caregiver(self, user_id):
        return iter(self.list_for_caregiver(user_id))

    def create(self, user_id, *, display_name):
        return CareRecipient.objects.create(created_by_user_id=user_id, display_name=display_name)

    def find_or_create_own_profile(self, user_id, display_name):
        profile, _ = CareRecipient.objects.get_or_create(
            user_id=user_id,
            defaults={"created_by_user_id": user_id, "display_name": display_name},
        )
        return profile

    def update(self, user_id, recipient_id, *, display_name):
        found = CareRecipient.objects.get(reached_by(user_id), pk=recipient_id)
        return change(found, display_name=display_name)


class CaregiverAccesses:
    def find_user_by_email(self, email):
        lower = User.objects.annotate(lower_email=Lower("email"))
        return lower.filter(lower_email=email.lower()).first()

    def find_by_id(self, access_id):
        return CaregiverAccess.objects.filter(pk=access_id).first()

    def _between(self, caregiver_user_id, recipient_user_id):
        return CaregiverAccess.objects.filter(
            caregiver_user=caregiver_user_id, recipient_user=recipient_user_id
        )

    def find_active_access(self, caregiver_user_id, recipient_user_id):
        between = self._between(caregiver_user_id, recipient_user_id)
        return between.exclude(status="revoked").first()

    def has_approved_access(self, caregiver_user_id, recipient_user_id):
        between = self._between(caregiver_user_id, recipient_user_id)
        return between.filter(status="approved").exists()

    def approved_recipient_user_ids(self, caregiver_user_id):
        return list(
            CaregiverAccess.objects.filter(caregiver_user=caregiver_user_id, status="approved")
            .order_by("created_at", "id")
            .values_list("recipient_user_id", flat=True)
        )

    def list_caregivers_for_recipient(self, recipient_user_id):
        accesses = self._list(recipient_user=recipient_user_id)
        name = Coalesce(
            self._profile("caregiver_user", "display_name"),
            "caregiver_user__display_name",
            "caregiver_user__email",
        )
        return list(
            accesses.annotate(
                caregiver_display_name=name, caregiver_email=models.F("caregiver_user__email")
            )
        )

    def list_recipients_for_caregiver(self, caregiver_user_id):
        accesses = self._list(caregiver_user=caregiver_user_id)
        return list(
            accesses.annotate(
                recipient_display_name=self._profile("recipient_user", "display_name"),
                recipient_email=models.F("recipient_user__email"),
                recipient_care_recipient_id=self._profile("recipient_user", "id"),
                recipient_timezone=self._profile("recipient_user", "timezone"),
            )
        )

    def _list(self, **condition):
        accesses = CaregiverAccess.objects.filter(**condition).exclude(status="revoked")
        return accesses.order_by("created_at", "id")

    def _profile(self, side, field):
        profile = CareRecipient.objects.filter(user=models.OuterRef(f"{side}_id"))
        return models.Subquery(profile.values(field)[:1])

    def create(self, **values):
        return CaregiverAccess.objects.create(**values)

    def update_status(self, access_id, status, *, revoked_at):
        active = CaregiverAccess.objects.exclude(status="revoked").get(pk=access_id)
        return change(active, status=status, revoked_at=revoked_at)

    def approve_request(self, recipient_user_id, access_id, at):
        requests = CaregiverAccess.objects.filter(status="pending_request")
        asked_for = requests.get(pk=access_id, recipient_user=recipient_user_id)
        return change(asked_for, status="approved", approved_at=at)

    def accept_invite(self, caregiver_user_id, access_id, at):
        invites = CaregiverAccess.objects.filter(status="pending_invite")
        asked_for = invites.get(pk=access_id, caregiver_user=caregiver_user_id)
        return change(asked_for, status="approved", approved_at=at)

    def revoke(self, user_id, access_id, at):
        is_side = Q(caregiver_user=user_id) | Q(recipient_user=user_id)
        theirs = CaregiverAccess.objects.exclude(status="revoked").get(is_side, pk=access_id)
        return change(theirs, status="revoked", revoked_at=at)


class Medications:
    def _reached(self, user_id):
        return Medication.objects.filter(reached_by(user_id, "recipient__"))

    def find_by_id(self, user_id, medication_id):
        return self._reached(user_id).filter(pk=medication_id).first()

    def list_by_recipient(self, user_id, recipient_id):
        mine = self._reached(user_id).filter(recipient=recipient_id, is_active=True)
        return list(mine.order_by("created_at", "id"))

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    def create(self, user_id, recipient_id, **values):
        recipient = CareRecipient.objects.get(reached_by(user_id), pk=recipient_id)
        return Medication.objects.create(recipient=recipient, created_by_user_id=user_id, **values)

    @transaction.atomic
    def create_with_schedules(self, user_id, recipient_id, medication, schedules):
        created = self.create(
            user_id, recipient_id, name=medication.name, instructions=medication.instructions
        )
        return created, make_schedules(user_id, created, schedules)

    def update(self, user_id, medication_id, *, name):
        return change(self._reached(user_id).get(pk=medication_id), name=name)

    def set_inactive(self, user_id, medication_id, inactive_at):
        found = self._reached(user_id).get(pk=medication_id)
        later = max(filter(None, (found.inactive_at, inactive_at)))
        return change(found, is_active=False, inactive_at=later)

    def set_active(self, user_id, medication_id):
        found = self._reached(user_id).get(pk=medication_id)
        return change(found, is_active=True, inactive_at=None)


def make_schedules(user_id, medication, schedules):
    return MedicationSchedule.objects.bulk_create(
        MedicationSchedule(
            medication=medication,
            recurrence=one.recurrence.value,
            time_of_day=f"{one.time_of_day:%H:%M}",
            start_date=one.start_date,
            end_date=one.end_date,
            dosage_notes=one.dosage_notes,
            created_by_user_id=user_id,
        )
        for one in schedules
    )


class Schedules:
    def _reached(self, user_id):
        return MedicationSchedule.objects.filter(reached_by(user_id, "medication__recipient__"))

    def find_by_id(self, user_id, schedule_id):
        return self._reached(user_id).filter(pk=schedule_id).first()

    def list_by_medication(self, user_id, medication_id):
        mine = self._reached(user_id).filter(medication=medication_id)
        return list(mine.order_by("created_at", "id"))

    def list_by_recipient(self, user_id, recipient_id):
        mine = self._reached(user_id).filter(medication__recipient=recipient_id)
        return list(mine.order_by("created_at", "id"))

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    @transaction.atomic
    def create_many(self, user_id, schedules):
        created = []
        for medication_id, new in schedules.items():
            medication = Medication.objects.filter(reached_by(user_id, "recipient__")).get(
                pk=medication_id
            )
            created += make_schedules(user_id, medication, new)
        return created

    def update(self, user_id, schedule_id, *, dosage_notes):
        return change(self._reached(user_id).get(pk=schedule_id), dosage_notes=dosage_notes)

    def count_active_by_medication(self, user_id, medication_id):
        is_open = Q(end_date=None) | Q(end_date__gte=Now())
        return self._reached(user_id).filter(is_open, medication=medication_id).count()


class Doses:
    def _schedule(self, user_id, schedule_id):
        reached = MedicationSchedule.objects.filter(reached_by(user_id, "medication__recipient__"))
        return reached.select_related("medication").filter(pk=schedule_id).first()

    def _mark(self, user_id, schedule, dose):
        made, is_new = DoseTaken.objects.get_or_create(
            schedule=schedule,
            scheduled_for=dose.scheduled_for,
            defaults={
                "recipient_id": schedule.medication.recipient_id,
                "medication_id": schedule.medication_id,
                "taken_at": dose.taken_at,
                "taken_by_user_id": user_id,
            },
        )
        return is_new, made

    def mark_taken(self, user_id, dose):
        return self._mark(user_id, self._schedule(user_id, dose.schedule_id), dose)[1]

    @transaction.atomic
    def mark_taken_many(self, reports):
        outcomes = []
        for report in reports:
            schedule = self._schedule(report.user_id, report.schedule_id)
            if schedule is None:
                outcomes.append(DoseOutcome(report, OutcomeStatus.NOT_FOUND, None))
                continue
            is_new, dose = self._mark(report.user_id, schedule, report)
            status = OutcomeStatus.RECORDED if is_new else OutcomeStatus.ALREADY_RECORDED
            outcomes.append(DoseOutcome(report, status, dose))
        return outcomes

    def unmark_taken(self, user_id, schedule_id, scheduled_for):
        if self._schedule(user_id, schedule_id) is None:
            return False
        doses = DoseTaken.objects.filter(schedule=schedule_id, scheduled_for=scheduled_for)
        return doses.delete()[0] == 1

    def taken_map(self, user_id, schedule_ids, start, end):
        doses = DoseTaken.objects.filter(
            reached_by(user_id, "recipient__"),
            schedule__in=list(schedule_ids),
            scheduled_for__gte=start,
            scheduled_for__lt=end,
        ).order_by("schedule_id", "scheduled_for")
        return {
            (dose.schedule_id, dose.scheduled_for): (dose.taken_at, dose.taken_by_user_id)
            for dose in doses
        }

    def iter_by_recipient(self, user_id, recipient_id, start, end):
        doses = DoseTaken.objects.filter(
            reached_by(user_id, "recipient__"),
            recipient=recipient_id,
            scheduled_for__gte=start,
            scheduled_for__lt=end,
        )
        return iter(doses.order_by("scheduled_for", "id"))
