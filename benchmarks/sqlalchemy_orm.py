"""SQLAlchemy 2 ORM as its documentation shows it: a session per call, entities, unit of work.

It runs on the connection that it is given, in autocommit: a commit of its own costs nothing here.
"""

from contextlib import nullcontext
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, create_engine, delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, insert
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    mapped_column,
    relationship,
)
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import DateTime, SmallInteger

from homethrive_db import AccessStatus, DoseOutcome, OutcomeStatus, Recurrence
from homethrive_db.value_types import register_types

Status = ENUM(*AccessStatus, name="access_status_enum", create_type=False)
RecurrenceType = ENUM(*Recurrence, name="recurrence_type_enum", create_type=False)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}


def uuid_key():
    return mapped_column(primary_key=True, server_default=text("gen_random_uuid()"))


def now():
    return mapped_column(server_default=func.now())


class User(Base):
    __tablename__ = "users"
    clerk_user_id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str | None]
    display_name: Mapped[str | None]
    image_url: Mapped[str | None]
    timezone: Mapped[str | None]
    is_recipient: Mapped[bool] = mapped_column(server_default=text("false"))
    is_caregiver: Mapped[bool] = mapped_column(server_default=text("false"))
    has_completed_onboarding: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class CareRecipient(Base):
    __tablename__ = "care_recipients"
    id: Mapped[UUID] = uuid_key()
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.clerk_user_id"))
    created_by_user_id: Mapped[str | None] = mapped_column(ForeignKey("users.clerk_user_id"))
    display_name: Mapped[str]
    timezone: Mapped[str] = mapped_column(server_default="America/New_York")
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class CaregiverAccess(Base):
    __tablename__ = "caregiver_access"
    id: Mapped[UUID] = uuid_key()
    caregiver_user_id: Mapped[str] = mapped_column(ForeignKey("users.clerk_user_id"))
    recipient_user_id: Mapped[str] = mapped_column(ForeignKey("users.clerk_user_id"))
    status: Mapped[str] = mapped_column(Status)
    requested_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()


class Medication(Base):
    __tablename__ = "medications"
    id: Mapped[UUID] = uuid_key()
    recipient_id: Mapped[UUID] = mapped_column(ForeignKey("care_recipients.id"))
    name: Mapped[str]
    instructions: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    inactive_at: Mapped[datetime | None]
    created_by_user_id: Mapped[str]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
    recipient: Mapped[CareRecipient] = relationship()


class MedicationSchedule(Base):
    __tablename__ = "medication_schedules"
    id: Mapped[UUID] = uuid_key()
    medication_id: Mapped[UUID] = mapped_column(ForeignKey("medications.id"))
    recurrence: Mapped[str] = mapped_column(RecurrenceType)
    time_of_day: Mapped[str]
    timezone: Mapped[str | None]
    days_of_week: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    start_date: Mapped[date]
    end_date: Mapped[date | None]
    dosage_notes: Mapped[str | None]
    created_by_user_id: Mapped[str]
    created_at: Mapped[datetime] = now()
    updated_at: Mapped[datetime] = now()
    medication: Mapped[Medication] = relationship()


class DoseTaken(Base):
    __tablename__ = "dose_taken"
    id: Mapped[UUID] = uuid_key()
    recipient_id: Mapped[UUID] = mapped_column(ForeignKey("care_recipients.id"))
    medication_id: Mapped[UUID] = mapped_column(ForeignKey("medications.id"))
    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("medication_schedules.id"))
    scheduled_for: Mapped[datetime]
    taken_at: Mapped[datetime]
    taken_by_user_id: Mapped[str]


def reached_by(user_id):
    approved = select(CaregiverAccess.recipient_user_id).where(
        CaregiverAccess.caregiver_user_id == user_id, CaregiverAccess.status == "approved"
    )
    return or_(
        CareRecipient.user_id == user_id,
        CareRecipient.created_by_user_id == user_id,
        CareRecipient.user_id.in_(approved),
    )


class SQLAlchemy:
    """All calls, on one connection."""

    name = "SQLAlchemy"

    def __init__(self, connection: Any) -> None:
        self._engine = create_engine(
            "postgresql+psycopg2://",
            creator=lambda: connection,
            poolclass=StaticPool,
            isolation_level="AUTOCOMMIT",
        )
        self._engine.connect().close()
        register_types(connection)  # it has registered psycopg2's, for everybody on it
        for repository in (Users, CareRecipients, CaregiverAccesses, Medications, Schedules, Doses):
            setattr(self, repository.attribute, repository(self._engine))

    def around(self) -> Any:
        """Nothing."""
        return nullcontext()


class _Calls:
    attribute = ""

    def __init__(self, engine):
        self._engine = engine

    def _session(self):
        return Session(self._engine, expire_on_commit=False)

    def _one(self, query):
        with self._session() as session:
            return session.scalars(query).one_or_none()

    def _all(self, query):
        with self._session() as session:
            return list(session.scalars(query))

    def _change(self, query, **values):
        """Load, change, commit: the unit of work writes what has changed."""
        with self._session() as session:
            found = session.scalars(query).one()
            for name, value in values.items():
                setattr(found, name, value)
            found.updated_at = func.now()
            session.commit()
            return found

    def _add(self, made):
        with self._session() as session:
            session.add(made)
            session.flush()
            session.refresh(made)
            session.commit()
            return made


class Users(_Calls):
    attribute = "users"

    def find_by_clerk_user_id(self, clerk_user_id):
        with self._session() as session:
            return session.get(User, clerk_user_id)

    def upsert(self, clerk_user_id, *, display_name):
        statement = (
            insert(User)
            .values(clerk_user_id=clerk_user_id, display_name=display_name)
            .on_conflict_do_update(
                index_elements=["clerk_user_id"],
                set_={"display_name": display_name, "updated_at": func.now()},
            )
            .returning(User)
        )
        with self._session() as session:
            user = session.scalars(statement).one()
            session.commit()
            return user

    def complete_onboarding(self, clerk_user_id, **values):
        mine = select(User).where(User.clerk_user_id == clerk_user_id)
        return self._change(mine, has_completed_onboarding=True, **values)

    def update_roles(self, clerk_user_id, **roles):
        return self._change(select(User).where(User.clerk_user_id == clerk_user_id), **roles)


class CareRecipients(_Calls):
    attribute = "care_recipients"

    def find_by_id(self, user_id, recipient_id):
        return self._one(self._reached(user_id, recipient_id))

    def _reached(self, user_id, recipient_id):
        return select(CareRecipient).where(CareRecipient.id == recipient_id, reached_by(user_id))

    def find_by_user_id(self, user_id):
        return self._one(select(CareRecipient).where(CareRecipient.user_id == user_id))

    def list_for_caregiver(self, user_id):
        return self._all(
            select(CareRecipient)
            .where(reached_by(user_id))
            .order_by(CareRecipient.created_at, CareRecipient.id)
        )

    def iter_for_caregiver(self, user_id):
        return iter(self.list_for_caregiver(user_id))

    def create(self, user_id, *, display_name):
        return self._add(CareRecipient(created_by_user_id=user_id, display_name=display_name))

    def find_or_create_own_profile(self, user_id, display_name):
        return self.find_by_user_id(user_id) or self._add(
            CareRecipient(user_id=user_id, created_by_user_id=user_id, display_name=display_name)
        )

    def update(self, user_id, recipient_id, *, display_name):
        return self._change(self._reached(user_id, recipient_id), display_name=display_name)


class CaregiverAccesses(_Calls):
    attribute = "caregiver_access"

    def find_user_by_email(self, email):
        return self._one(select(User).where(func.lower(User.email) == email.lower()))

    def find_by_id(self, access_id):
        with self._session() as session:
            return session.get(CaregiverAccess, access_id)

    def _between(self, caregiver_user_id, recipient_user_id):
        return select(CaregiverAccess).where(
            CaregiverAccess.caregiver_user_id == caregiver_user_id,
            CaregiverAccess.recipient_user_id == recipient_user_id,
        )

    def find_active_access(self, caregiver_user_id, recipient_user_id):
        between = self._between(caregiver_user_id, recipient_user_id)
        return self._one(between.where(CaregiverAccess.status != "revoked"))

    def has_approved_access(self, caregiver_user_id, recipient_user_id):
        between = self._between(caregiver_user_id, recipient_user_id)
        return self._one(between.where(CaregiverAccess.status == "approved")) is not None

    def approved_recipient_user_ids(self, caregiver_user_id):
        return self._all(
            select(CaregiverAccess.recipient_user_id)
            .where(
                CaregiverAccess.caregiver_user_id == caregiver_user_id,
                CaregiverAccess.status == "approved",
            )
            .order_by(CaregiverAccess.created_at, CaregiverAccess.id)
        )

    def list_caregivers_for_recipient(self, recipient_user_id):
        other = aliased(User)
        rows = self._rows(
            CaregiverAccess.recipient_user_id == recipient_user_id,
            other,
            CaregiverAccess.caregiver_user_id,
            [
                func.coalesce(CareRecipient.display_name, other.display_name, other.email),
                other.email,
            ],
        )
        for access, name, email in rows:
            access.caregiver_display_name, access.caregiver_email = name, email
        return [access for access, *_ in rows]

    def list_recipients_for_caregiver(self, caregiver_user_id):
        other = aliased(User)
        rows = self._rows(
            CaregiverAccess.caregiver_user_id == caregiver_user_id,
            other,
            CaregiverAccess.recipient_user_id,
            [CareRecipient, other.email],
        )
        for access, profile, email in rows:
            access.recipient_email = email
            access.recipient_display_name = profile and profile.display_name
            access.recipient_care_recipient_id = profile and profile.id
            access.recipient_timezone = profile and profile.timezone
        return [access for access, *_ in rows]

    def _rows(self, condition, other, other_id, shown):
        query = (
            select(CaregiverAccess, *shown)
            .join(other, other_id == other.clerk_user_id)
            .outerjoin(CareRecipient, CareRecipient.user_id == other.clerk_user_id)
            .where(condition, CaregiverAccess.status != "revoked")
            .order_by(CaregiverAccess.created_at, CaregiverAccess.id)
        )
        with self._session() as session:
            return session.execute(query).all()

    def create(self, **values):
        return self._add(CaregiverAccess(**values))

    def update_status(self, access_id, status, *, revoked_at):
        active = select(CaregiverAccess).where(
            CaregiverAccess.id == access_id, CaregiverAccess.status != "revoked"
        )
        return self._change(active, status=status, revoked_at=revoked_at)

    def approve_request(self, recipient_user_id, access_id, at):
        is_theirs = CaregiverAccess.recipient_user_id == recipient_user_id
        return self._approve(access_id, is_theirs, "pending_request", at)

    def accept_invite(self, caregiver_user_id, access_id, at):
        is_theirs = CaregiverAccess.caregiver_user_id == caregiver_user_id
        return self._approve(access_id, is_theirs, "pending_invite", at)

    def _approve(self, access_id, is_theirs, pending, at):
        asked_for = select(CaregiverAccess).where(
            CaregiverAccess.id == access_id, is_theirs, CaregiverAccess.status == pending
        )
        return self._change(asked_for, status="approved", approved_at=at)

    def revoke(self, user_id, access_id, at):
        theirs = select(CaregiverAccess).where(
            CaregiverAccess.id == access_id,
            CaregiverAccess.status != "revoked",
            or_(
                CaregiverAccess.caregiver_user_id == user_id,
                CaregiverAccess.recipient_user_id == user_id,
            ),
        )
        return self._change(theirs, status="revoked", revoked_at=at)


class Medications(_Calls):
    attribute = "medications"

    def _reached(self, user_id):
        return select(Medication).join(Medication.recipient).where(reached_by(user_id))

    def find_by_id(self, user_id, medication_id):
        return self._one(self._reached(user_id).where(Medication.id == medication_id))

    def list_by_recipient(self, user_id, recipient_id):
        return self._all(
            self._reached(user_id)
            .where(Medication.recipient_id == recipient_id, Medication.is_active)
            .order_by(Medication.created_at, Medication.id)
        )

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    def _make(self, session, user_id, recipient_id, **values):
        recipient = session.scalars(
            select(CareRecipient).where(CareRecipient.id == recipient_id, reached_by(user_id))
        ).one()
        made = Medication(recipient_id=recipient.id, created_by_user_id=user_id, **values)
        session.add(made)
        session.flush()
        session.refresh(made)
        return made

    def create(self, user_id, recipient_id, *, name):
        with self._session() as session:
            made = self._make(session, user_id, recipient_id, name=name)
            session.commit()
            return made

    def create_with_schedules(self, user_id, recipient_id, medication, schedules):
        with self._session() as session:
            made = self._make(
                session,
                user_id,
                recipient_id,
                name=medication.name,
                instructions=medication.instructions,
            )
            new = make_schedules(session, user_id, made.id, schedules)
            session.commit()
            return made, new

    def _change_one(self, user_id, medication_id, **values):
        return self._change(self._reached(user_id).where(Medication.id == medication_id), **values)

    def update(self, user_id, medication_id, *, name):
        return self._change_one(user_id, medication_id, name=name)

    def set_inactive(self, user_id, medication_id, inactive_at):
        return self._change_one(user_id, medication_id, is_active=False, inactive_at=inactive_at)

    def set_active(self, user_id, medication_id):
        return self._change_one(user_id, medication_id, is_active=True, inactive_at=None)


def make_schedules(session, user_id, medication_id, schedules):
    new = [
        MedicationSchedule(
            medication_id=medication_id,
            recurrence=one.recurrence.value,
            time_of_day=f"{one.time_of_day:%H:%M}",
            start_date=one.start_date,
            end_date=one.end_date,
            dosage_notes=one.dosage_notes,
            created_by_user_id=user_id,
        )
        for one in schedules
    ]
    session.add_all(new)
    session.flush()
    return new


class Schedules(_Calls):
    attribute = "schedules"

    def _reached(self, user_id):
        return (
            select(MedicationSchedule)
            .join(MedicationSchedule.medication)
            .join(Medication.recipient)
            .where(reached_by(user_id))
        )

    def find_by_id(self, user_id, schedule_id):
        return self._one(self._reached(user_id).where(MedicationSchedule.id == schedule_id))

    def list_by_medication(self, user_id, medication_id):
        return self._list(user_id, MedicationSchedule.medication_id == medication_id)

    def list_by_recipient(self, user_id, recipient_id):
        return self._list(user_id, Medication.recipient_id == recipient_id)

    def _list(self, user_id, condition):
        return self._all(
            self._reached(user_id)
            .where(condition)
            .order_by(MedicationSchedule.created_at, MedicationSchedule.id)
        )

    def iter_by_recipient(self, user_id, recipient_id):
        return iter(self.list_by_recipient(user_id, recipient_id))

    def create_many(self, user_id, schedules):
        with self._session() as session:
            created = []
            for medication_id, new in schedules.items():
                medication = session.scalars(
                    select(Medication)
                    .join(Medication.recipient)
                    .where(Medication.id == medication_id, reached_by(user_id))
                ).one()
                created += make_schedules(session, user_id, medication.id, new)
            session.commit()
            return created

    def update(self, user_id, schedule_id, *, dosage_notes):
        mine = self._reached(user_id).where(MedicationSchedule.id == schedule_id)
        return self._change(mine, dosage_notes=dosage_notes)

    def count_active_by_medication(self, user_id, medication_id):
        is_open = or_(
            MedicationSchedule.end_date.is_(None),
            MedicationSchedule.end_date >= func.current_date(),
        )
        query = (
            select(func.count())
            .select_from(MedicationSchedule)
            .join(MedicationSchedule.medication)
            .join(Medication.recipient)
            .where(MedicationSchedule.medication_id == medication_id, is_open, reached_by(user_id))
        )
        with self._session() as session:
            return session.scalar(query)


class Doses(_Calls):
    attribute = "doses_taken"

    def _schedule(self, session, user_id, schedule_id):
        return session.scalars(
            select(MedicationSchedule)
            .join(MedicationSchedule.medication)
            .join(Medication.recipient)
            .options(joinedload(MedicationSchedule.medication))
            .where(MedicationSchedule.id == schedule_id, reached_by(user_id))
        ).one_or_none()

    def _mark(self, session, user_id, schedule, dose):
        made = session.scalars(
            insert(DoseTaken)
            .values(
                recipient_id=schedule.medication.recipient_id,
                medication_id=schedule.medication_id,
                schedule_id=schedule.id,
                scheduled_for=dose.scheduled_for,
                taken_at=dose.taken_at,
                taken_by_user_id=user_id,
            )
            .on_conflict_do_nothing()
            .returning(DoseTaken)
        ).one_or_none()
        if made is not None:
            return True, made
        stored = select(DoseTaken).where(
            DoseTaken.schedule_id == schedule.id, DoseTaken.scheduled_for == dose.scheduled_for
        )
        return False, session.scalars(stored).one()

    def mark_taken(self, user_id, dose):
        with self._session() as session:
            schedule = self._schedule(session, user_id, dose.schedule_id)
            _, taken = self._mark(session, user_id, schedule, dose)
            session.commit()
            return taken

    def mark_taken_many(self, reports):
        outcomes = []
        with self._session() as session:
            for report in reports:
                schedule = self._schedule(session, report.user_id, report.schedule_id)
                if schedule is None:
                    outcomes.append(DoseOutcome(report, OutcomeStatus.NOT_FOUND, None))
                    continue
                is_new, dose = self._mark(session, report.user_id, schedule, report)
                status = OutcomeStatus.RECORDED if is_new else OutcomeStatus.ALREADY_RECORDED
                outcomes.append(DoseOutcome(report, status, dose))
            session.commit()
        return outcomes

    def unmark_taken(self, user_id, schedule_id, scheduled_for):
        with self._session() as session:
            if self._schedule(session, user_id, schedule_id) is None:
                return False
            done = session.execute(
                delete(DoseTaken).where(
                    DoseTaken.schedule_id == schedule_id, DoseTaken.scheduled_for == scheduled_for
                )
            )
            session.commit()
            return done.rowcount == 1

    def taken_map(self, user_id, schedule_ids, start, end):
        query = (
            select(DoseTaken)
            .join(CareRecipient, CareRecipient.id == DoseTaken.recipient_id)
            .where(
                DoseTaken.schedule_id.in_(list(schedule_ids)),
                DoseTaken.scheduled_for >= start,
                DoseTaken.scheduled_for < end,
                reached_by(user_id),
            )
            .order_by(DoseTaken.schedule_id, DoseTaken.scheduled_for)
        )
        with self._session() as session:
            return {
                (dose.schedule_id, dose.scheduled_for): (dose.taken_at, dose.taken_by_user_id)
                for dose in session.scalars(query)
            }

    def iter_by_recipient(self, user_id, recipient_id, start, end):
        query = (
            select(DoseTaken)
            .join(CareRecipient, CareRecipient.id == DoseTaken.recipient_id)
            .where(
                DoseTaken.recipient_id == recipient_id,
                DoseTaken.scheduled_for >= start,
                DoseTaken.scheduled_for < end,
                reached_by(user_id),
            )
            .order_by(DoseTaken.scheduled_for, DoseTaken.id)
        )
        with self._session() as session:
            yield from session.scalars(query)
