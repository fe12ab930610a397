"""Peewee as its documentation shows it: model instances, queries built per call.

Its pool's database is not used: it runs on the connection that it is given, in autocommit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peewee import JOIN, SQL, PostgresqlDatabase, fn

from homethrive_db import DoseOutcome, OutcomeStatus
from homethrive_db.models import (
    MODELS,
    CaregiverAccess,
    CareRecipient,
    DoseTaken,
    Medication,
    MedicationSchedule,
    User,
)


class PlainPeewee:
    """All calls, on one connection."""

    name = "Peewee"

    def __init__(self, connection: Any) -> None:
        self.db = PostgresqlDatabase("homethrive")
        self.db._state.set_connection(connection)
        self.users = Users()
        self.care_recipients = CareRecipients()
        self.caregiver_access = CaregiverAccesses()
        self.medications = Medications(self.db)
        self.schedules = Schedules(self.db)
        self.doses_taken = Doses(self.db)

    @contextmanager
    def around(self) -> Iterator[None]:
        """Bind the models for a call, which is inside a transaction that Peewee did not begin.

        A transaction of its own becomes a savepoint, with as many messages.
        """
        with self.db.bind_ctx(MODELS):
            self.db.push_transaction(self)
            yield
            self.db.pop_transaction()


def reached_by(user_id):
    approved = CaregiverAccess.select(CaregiverAccess.recipient_user).where(
        CaregiverAccess.caregiver_user == user_id, CaregiverAccess.status == "approved"
    )
    return (
        (CareRecipient.user == user_id)
        | (CareRecipient.created_by_user == user_id)
        | CareRecipient.user.in_(approved)
    )


class Users:
    def find_by_clerk_user_id(self, clerk_user_id):
        return User.get_or_none(User.clerk_user_id == clerk_user_id)

    def upsert(self, clerk_user_id, *, display_name):
        return (
            User.insert(clerk_user_id=clerk_user_id, display_name=display_name)
            .on_conflict(
                conflict_target=[User.clerk_user_id],
                preserve=[User.display_name],
                update={User.updated_at: fn.now()},
            )
            .returning(User)
            .execute()[0]
        )

    def complete_onboarding(self, clerk_user_id, **values):
        return self._update(clerk_user_id, has_completed_onboarding=True, **values)

    def update_roles(self, clerk_user_id, **roles):
        return self._update(clerk_user_id, **roles)

    def _update(self, clerk_user_id, **values):
        updated = (
            User.update(updated_at=fn.now(), **values)
            .where(User.clerk_user_id == clerk_user_id)
            .returning(User)
            .execute()
        )
        return updated[0]


class CareRecipients:
    def find_by_id(self, user_id, recipient_id):
        return CareRecipient.get_or_none((CareRecipient.id == recipient_id) & reached_by(user_id))

    def find_by_user_id(self, user_id):
        return CareRecipient.get_or_none(CareRecipient.user == user_id)

    def list_for_caregiver(self, user_id):
        return list(
            CareRecipient.select()
            .where(reached_by(user_id))
            .order_by(CareRecipient.created_at, CareRecipient.id)
        )

    def iter_for_caregiver(self, user_id):
        return iter(self.list_for_caregiver(user_id))

    def create(self, user_id, *, display_name):
        return (
            CareRecipient.insert(created_by_user=user_id, display_name=display_name)
            .returning(CareRecipient)
            .execute()[0]
        )

    def find_or_create_own_profile(self, user_id, display_name):
        profile, _ = CareRecipient.get_or_create(
            user=user_id, defaults={"created_by_user": user_id, "display_name": display_name}
        )
        return profile

    def update(self, user_id, recipient_id, *, display_name):
        updated = (
            CareRecipient.update(display_name=display_name, updated_at=fn.now())
            .where((CareRecipient.id == recipient_id) & reached_by(user_id))
            .returning(CareRecipient)
            .execute()
        )
        return updated[0]


class CaregiverAccesses:
    def find_user_by_email(self, email):
        return User.get_or_none(fn.LOWER(User.email) == email.lower())

    def find_by_id(self, access_id):
        return CaregiverAccess.get_or_none(CaregiverAccess.id == access_id)

    def find_active_access(self, caregiver_user_id, recipient_user_id):
        return CaregiverAccess.get_or_none(
            CaregiverAccess.caregiver_user == caregiver_user_id,
            CaregiverAccess.recipient_user == recipient_user_id,
            CaregiverAccess.status != "revoked",
        )

    def has_approved_access(self, caregiver_user_id, recipient_user_id):
        return (
            CaregiverAccess.select()
            .where(
                CaregiverAccess.caregiver_user == caregiver_user_id,
                CaregiverAccess.recipient_user == recipient_user_id,
                CaregiverAccess.status == "approved",
            )
            .exists()
        )

    def approved_recipient_user_ids(self, caregiver_user_id):
        return [
            access.recipient_user_id
            for access in CaregiverAccess.select(CaregiverAccess.recipient_user)
            .where(
                CaregiverAccess.caregiver_user == caregiver_user_id,
                CaregiverAccess.status == "approved",
            )
            .order_by(CaregiverAccess.created_at, CaregiverAccess.id)
        ]

    def list_caregivers_for_recipient(self, recipient_user_id):
        return self._list(
            CaregiverAccess.recipient_user == recipient_user_id,
            CaregiverAccess.caregiver_user,
            caregiver_display_name=fn.COALESCE(
                CareRecipient.display_name, User.display_name, User.email
            ),
            caregiver_email=User.email,
        )

    def list_recipients_for_caregiver(self, caregiver_user_id):
        return self._list(
            CaregiverAccess.caregiver_user == caregiver_user_id,
            CaregiverAccess.recipient_user,
            recipient_display_name=CareRecipient.display_name,
            recipient_email=User.email,
            recipient_care_recipient_id=CareRecipient.id,
            recipient_timezone=CareRecipient.timezone,
        )

    def _list(self, condition, other, **shown):
        query = (
            CaregiverAccess.select(
                CaregiverAccess, *(column.alias(name) for name, column in shown.items())
            )
            .join(User, on=other == User.clerk_user_id)
            .join(CareRecipient, JOIN.LEFT_OUTER, on=CareRecipient.user == User.clerk_user_id)
            .where(condition, CaregiverAccess.status != "revoked")
            .order_by(CaregiverAccess.created_at, CaregiverAccess.id)
        )
        return list(query.objects())

    def create(self, *, caregiver_user_id, recipient_user_id, status, requested_at):
        return (
            CaregiverAccess.insert(
                caregiver_user=caregiver_user_id,
                recipient_user=recipient_user_id,
                status=status,
                requested_at=requested_at,
            )
            .on_conflict_ignore()
            .returning(CaregiverAccess)
            .execute()[0]
        )

    def update_status(self, access_id, status, *, revoked_at):
        return self._revoke(CaregiverAccess.id == access_id, status, revoked_at)

    def approve_request(self, recipient_user_id, access_id, at):
        is_theirs = CaregiverAccess.recipient_user == recipient_user_id
        return self._approve(access_id, is_theirs, "pending_request", at)

    def accept_invite(self, caregiver_user_id, access_id, at):
        is_theirs = CaregiverAccess.caregiver_user == caregiver_user_id
        return self._approve(access_id, is_theirs, "pending_invite", at)

    def _approve(self, access_id, is_theirs, pending, at):
        updated = (
            CaregiverAccess.update(status="approved", approved_at=at, updated_at=fn.now())
            .where(CaregiverAccess.id == access_id, is_theirs, CaregiverAccess.status == pending)
            .returning(CaregiverAccess)
            .execute()
        )
        return updated[0]

    def revoke(self, user_id, access_id, at):
        is_side = (CaregiverAccess.caregiver_user == user_id) | (
            CaregiverAccess.recipient_user == user_id
        )
        return self._revoke((CaregiverAccess.id == access_id) & is_side, "revoked", at)

    def _revoke(self, condition, status, at):
        updated = (
            CaregiverAccess.update(status=status, revoked_at=at, updated_at=fn.now())
            .where(condition & (CaregiverAccess.status != "revoked"))
            .returning(CaregiverAccess)
            .execute()
        )
        return updated[0]


class Medications:
    def __init__(self, db):
        self._db = db

    def find_by_id(self, user_id, medication_id):
        return (
            Medication.select()
            .join(CareRecipient)
            .where(Medication.id == medication_id, reached_by(user_id))
            .get_or_none()
        )

    def list_by_recipient(self, user_id, recipient_id):
        return list(
            Medication.select()
            .join(CareRecipient)
            .where(Medication.recipient == recipient_id, Medication.is_active, reached_by(user_id))
            .order_by(Medication.created_at, Medication.id)
        )

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    def create(self, user_id, recipient_id, *, name):
        recipient = CareRecipient.get((CareRecipient.id == recipient_id) & reached_by(user_id))
        return (
            Medication.insert(recipient=recipient, name=name, created_by_user=user_id)
            .returning(Medication)
            .execute()[0]
        )

    def create_with_schedules(self, user_id, recipient_id, medication, schedules):
        with self._db.atomic():
            recipient = CareRecipient.get((CareRecipient.id == recipient_id) & reached_by(user_id))
            created = (
                Medication.insert(
                    recipient=recipient,
                    name=medication.name,
                    instructions=medication.instructions,
                    created_by_user=user_id,
                )
                .returning(Medication)
                .execute()[0]
            )
            return created, insert_schedules(user_id, created, schedules)

    def update(self, user_id, medication_id, *, name):
        return self._update(user_id, medication_id, name=name)

    def set_inactive(self, user_id, medication_id, inactive_at):
        later = fn.GREATEST(Medication.inactive_at, inactive_at)
        return self._update(user_id, medication_id, is_active=False, inactive_at=later)

    def set_active(self, user_id, medication_id):
        return self._update(user_id, medication_id, is_active=True, inactive_at=None)

    def _update(self, user_id, medication_id, **values):
        reached = CareRecipient.select(CareRecipient.id).where(reached_by(user_id))
        updated = (
            Medication.update(updated_at=fn.now(), **values)
            .where(Medication.id == medication_id, Medication.recipient.in_(reached))
            .returning(Medication)
            .execute()
        )
        return updated[0]


def insert_schedules(user_id, medication, schedules):
    rows = [
        {
            "medication": medication,
            "recurrence": one.recurrence,
            "time_of_day": f"{one.time_of_day:%H:%M}",
            "start_date": one.start_date,
            "end_date": one.end_date,
            "dosage_notes": one.dosage_notes,
            "created_by_user": user_id,
        }
        for one in schedules
    ]
    return list(MedicationSchedule.insert_many(rows).returning(MedicationSchedule).execute())


def reached_schedules(user_id):
    return (
        MedicationSchedule.select().join(Medication).join(CareRecipient).where(reached_by(user_id))
    )


class Schedules:
    def __init__(self, db):
        self._db = db

    def find_by_id(self, user_id, schedule_id):
        return reached_schedules(user_id).where(MedicationSchedule.id == schedule_id).get_or_none()

    def list_by_medication(self, user_id, medication_id):
        return self._list(user_id, MedicationSchedule.medication == medication_id)

    def list_by_recipient(self, user_id, recipient_id):
        return self._list(user_id, Medication.recipient == recipient_id)

    def _list(self, user_id, condition):
        return list(
            reached_schedules(user_id)
            .where(condition)
            .order_by(MedicationSchedule.created_at, MedicationSchedule.id)
        )

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    def create_many(self, user_id, schedules):
        with self._db.atomic():
            created = []
            for medication_id, new in schedules.items():
                medication = (
                    Medication.select()
                    .join(CareRecipient)
                    .where(Medication.id == medication_id, reached_by(user_id))
                    .get()
                )
                created += insert_schedules(user_id, medication, new)
            return created

    def update(self, user_id, schedule_id, *, dosage_notes):
        reached = Medication.select(Medication.id).join(CareRecipient).where(reached_by(user_id))
        updated = (
            MedicationSchedule.update(dosage_notes=dosage_notes, updated_at=fn.now())
            .where(MedicationSchedule.id == schedule_id, MedicationSchedule.medication.in_(reached))
            .returning(MedicationSchedule)
            .execute()
        )
        return updated[0]

    def count_active_by_medication(self, user_id, medication_id):
        is_open = MedicationSchedule.end_date.is_null() | (
            MedicationSchedule.end_date >= SQL("current_date")
        )
        return (
            reached_schedules(user_id)
            .where(MedicationSchedule.medication == medication_id)
            .where(is_open)
            .count()
        )


class Doses:
    def __init__(self, db):
        self._db = db

    def mark_taken(self, user_id, dose):
        schedule = self._schedule(user_id, dose.schedule_id)
        return self._mark(user_id, schedule, dose)[1]

    def _schedule(self, user_id, schedule_id):
        return (
            MedicationSchedule.select(MedicationSchedule, Medication)
            .join(Medication)
            .join(CareRecipient)
            .where(MedicationSchedule.id == schedule_id, reached_by(user_id))
            .get_or_none()
        )

    def _mark(self, user_id, schedule, dose):
        made = list(
            DoseTaken.insert(
                recipient=schedule.medication.recipient_id,
                medication=schedule.medication_id,
                schedule=schedule,
                scheduled_for=dose.scheduled_for,
                taken_at=dose.taken_at,
                taken_by_user=user_id,
            )
            .on_conflict_ignore()
            .returning(DoseTaken)
            .execute()
        )
        if made:
            return True, made[0]
        return False, DoseTaken.get(
            DoseTaken.schedule == schedule, DoseTaken.scheduled_for == dose.scheduled_for
        )

    def mark_taken_many(self, reports):
        outcomes = []
        with self._db.atomic():
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
        deleted = (
            DoseTaken.delete()
            .where(DoseTaken.schedule == schedule_id, DoseTaken.scheduled_for == scheduled_for)
            .execute()
        )
        return deleted == 1

    def taken_map(self, user_id, schedule_ids, start, end):
        doses = (
            DoseTaken.select()
            .join(CareRecipient)
            .where(
                DoseTaken.schedule.in_(list(schedule_ids)),
                DoseTaken.scheduled_for >= start,
                DoseTaken.scheduled_for < end,
                reached_by(user_id),
            )
            .order_by(DoseTaken.schedule, DoseTaken.scheduled_for)
        )
        return {
            (dose.schedule_id, dose.scheduled_for): (dose.taken_at, dose.taken_by_user_id)
            for dose in doses
        }

    def iter_by_recipient(self, user_id, recipient_id, start, end):
        return (
            DoseTaken.select()
            .join(CareRecipient)
            .where(
                DoseTaken.recipient == recipient_id,
                DoseTaken.scheduled_for >= start,
                DoseTaken.scheduled_for < end,
                reached_by(user_id),
            )
            .order_by(DoseTaken.scheduled_for, DoseTaken.id)
            .iterator()
        )
