"""The reference: psycopg2 with the best SQL there is, written out for each call.

The same job as the repositories': the access rule, outcomes, entities. No input is checked and no
error translated. It runs on the connection that it is given, and reads values as psycopg2 does.
"""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from psycopg2.extensions import PYDATETIMETZ, register_type
from psycopg2.extras import register_uuid

from benchmarks.comparison import BY_HAND
from homethrive_db import (
    CaregiverAccess,
    CaregiverAccessWithUser,
    CareRecipient,
    DoseKey,
    DoseOutcome,
    DoseTaken,
    Medication,
    MedicationSchedule,
    MedicationWithSchedules,
    OutcomeStatus,
    TakenInfo,
    User,
    UserLookup,
)

_USER = """clerk_user_id, email, display_name, image_url, timezone, is_recipient, is_caregiver,
    has_completed_onboarding, created_at, updated_at"""
_PROFILE = """{0}id, {0}user_id, {0}created_by_user_id, {0}display_name, {0}timezone,
    {0}created_at, {0}updated_at"""
_ACCESS = """{0}id, {0}caregiver_user_id, {0}recipient_user_id, {0}status, {0}requested_at,
    {0}approved_at, {0}revoked_at, {0}created_at, {0}updated_at"""
_MEDICATION = """{0}id, {0}recipient_id, {0}name, {0}instructions, {0}is_active, {0}inactive_at,
    {0}created_at, {0}updated_at"""
_SCHEDULE = """{0}id, {0}medication_id, {0}recurrence, {0}time_of_day, {0}timezone, {0}days_of_week,
    {0}start_date, {0}end_date, {0}dosage_notes, {0}created_at, {0}updated_at"""
_DOSE = """{0}id, {0}recipient_id, {0}medication_id, {0}schedule_id, {0}scheduled_for, {0}taken_at,
    {0}taken_by_user_id"""

_IS_OWN = "r.user_id = %(user_id)s OR r.created_by_user_id = %(user_id)s"
_APPROVED = """FROM caregiver_access
        WHERE caregiver_user_id = %(user_id)s AND status = 'approved'"""
# To find them all, and of one who is known.
_ACCESSIBLE = f"""({_IS_OWN}
    OR r.user_id = ANY (ARRAY (SELECT recipient_user_id {_APPROVED})))"""
_REACHED = f"""({_IS_OWN}
    OR (SELECT true {_APPROVED} AND recipient_user_id = r.user_id LIMIT 1))"""
# A condition on one table, whose indexes but for the id's need no thought.
_IS_REACHED = f"({_REACHED}) IS TRUE"
# Subqueries: to plan a join of the tables takes twice as long.
_REACHES = f"(SELECT {_REACHED} FROM care_recipients r WHERE r.id = {{0}})"
_RECIPIENT = "(SELECT m.recipient_id FROM medications m WHERE m.id = {0})"
_MEDICATION_OF = "(SELECT s.medication_id FROM medication_schedules s WHERE s.id = {0})"
_FIRST = {"after_at": "-infinity", "after_id": UUID(int=0)}
_PAGE_SIZE = 1_000
_AFTER = f"""({{0}}, {{1}}) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
    ORDER BY {{0}}, {{1}} LIMIT {_PAGE_SIZE}"""


def plain_cursor(connection: Any) -> Any:
    """Give a cursor that reads ids and instants as psycopg2 does."""
    cursor = connection.cursor()
    register_uuid(conn_or_curs=cursor)
    register_type(PYDATETIMETZ, cursor)
    return cursor


class ByHand:
    """All calls, on one connection."""

    name = BY_HAND

    def __init__(self, connection: Any) -> None:
        self._cursor = plain_cursor(connection)
        for repository in (Users, CareRecipients, CaregiverAccesses, Medications, Schedules, Doses):
            setattr(self, repository.attribute, repository(self._cursor))


class _Calls:
    attribute = ""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def _all(self, sql: str, make: Any, **values: Any) -> list[Any]:
        self._cursor.execute(sql, values)
        return [make(*row) for row in self._cursor.fetchall()]

    def _one(self, sql: str, make: Any, **values: Any) -> Any:
        self._cursor.execute(sql, values)
        row = self._cursor.fetchone()
        return None if row is None else make(*row)

    def _pages(self, sql: str, make: Any, at: str = "created_at", **values: Any) -> Any:
        values |= _FIRST
        while True:
            rows = self._all(sql, make, **values)
            yield from rows
            if len(rows) < _PAGE_SIZE:
                return
            values["after_at"], values["after_id"] = getattr(rows[-1], at), rows[-1].id


class Users(_Calls):
    attribute = "users"

    def find_by_clerk_user_id(self, clerk_user_id):
        return self._one(_FIND_USER, User, clerk_user_id=clerk_user_id)

    def upsert(self, clerk_user_id, *, display_name):
        return self._one(_UPSERT_USER, User, clerk_user_id=clerk_user_id, display_name=display_name)

    def complete_onboarding(self, clerk_user_id, **values):
        return self._one(_ONBOARD, User, clerk_user_id=clerk_user_id, **values)

    def update_roles(self, clerk_user_id, **roles):
        return self._one(_ROLES, User, clerk_user_id=clerk_user_id, **roles)


_FIND_USER = f"SELECT {_USER} FROM users WHERE clerk_user_id = %(clerk_user_id)s"
_UPSERT_USER = f"""INSERT INTO users (clerk_user_id, display_name) VALUES
    (%(clerk_user_id)s, %(display_name)s) ON CONFLICT (clerk_user_id) DO UPDATE
    SET display_name = EXCLUDED.display_name, updated_at = now() RETURNING {_USER}"""
_ONBOARD = f"""UPDATE users SET display_name = %(display_name)s, timezone = %(timezone)s,
    is_recipient = %(is_recipient)s, is_caregiver = %(is_caregiver)s,
    has_completed_onboarding = true, updated_at = now()
    WHERE clerk_user_id = %(clerk_user_id)s RETURNING {_USER}"""
_ROLES = f"""UPDATE users SET is_recipient = %(is_recipient)s, is_caregiver = %(is_caregiver)s,
    updated_at = now() WHERE clerk_user_id = %(clerk_user_id)s RETURNING {_USER}"""


class CareRecipients(_Calls):
    attribute = "care_recipients"

    def find_by_id(self, user_id, recipient_id):
        return self._one(_FIND_PROFILE, CareRecipient, user_id=user_id, recipient_id=recipient_id)

    def find_by_user_id(self, user_id):
        return self._one(_FIND_OWN_PROFILE, CareRecipient, user_id=user_id)

    def list_for_caregiver(self, user_id):
        return self._all(_LIST_PROFILES, CareRecipient, user_id=user_id)

    def iter_for_caregiver(self, user_id):
        return self._pages(_PAGE_PROFILES, CareRecipient, user_id=user_id)

    def create(self, user_id, *, display_name):
        return self._one(_CREATE_PROFILE, CareRecipient, user_id=user_id, display_name=display_name)

    def find_or_create_own_profile(self, user_id, display_name):
        found = self._one(_FIND_OWN_PROFILE, CareRecipient, user_id=user_id)
        if found is not None and found.created_by_user_id is not None:
            return found
        return self._one(_OWN_PROFILE, CareRecipient, user_id=user_id, display_name=display_name)

    def update(self, user_id, recipient_id, *, display_name):
        return self._one(
            _UPDATE_PROFILE,
            CareRecipient,
            user_id=user_id,
            recipient_id=recipient_id,
            display_name=display_name,
        )


_P, _R = _PROFILE.format(""), _PROFILE.format("r.")
_FIND_PROFILE = (
    f"SELECT {_R} FROM care_recipients r WHERE r.id = %(recipient_id)s AND {_IS_REACHED}"
)
_FIND_OWN_PROFILE = f"SELECT {_P} FROM care_recipients WHERE user_id = %(user_id)s"
_LIST_PROFILES = f"""SELECT {_R} FROM care_recipients r WHERE {_ACCESSIBLE}
    ORDER BY r.created_at, r.id"""
_PAGE_PROFILES = f"""SELECT {_R} FROM care_recipients r WHERE {_ACCESSIBLE}
    AND {_AFTER.format("r.created_at", "r.id")}"""
_CREATE_PROFILE = f"""INSERT INTO care_recipients (created_by_user_id, display_name)
    VALUES (%(user_id)s, %(display_name)s) RETURNING {_P}"""
_OWN_PROFILE = f"""INSERT INTO care_recipients (user_id, created_by_user_id, display_name)
    VALUES (%(user_id)s, %(user_id)s, %(display_name)s)
    ON CONFLICT (user_id) DO UPDATE SET created_by_user_id = EXCLUDED.created_by_user_id
    RETURNING {_P}"""
_UPDATE_PROFILE = f"""UPDATE care_recipients r SET display_name = %(display_name)s,
    updated_at = now() WHERE r.id = %(recipient_id)s AND {_IS_REACHED} RETURNING {_R}"""


class CaregiverAccesses(_Calls):
    attribute = "caregiver_access"

    def find_user_by_email(self, email):
        found = self._all(_FIND_BY_EMAIL, UserLookup, email=email)
        return found[0] if found else None

    def find_by_id(self, access_id):
        return self._one(_FIND_ACCESS, CaregiverAccess.from_row, access_id=access_id)

    def find_active_access(self, caregiver_user_id, recipient_user_id):
        return self._one(
            _FIND_ACTIVE,
            CaregiverAccess.from_row,
            caregiver=caregiver_user_id,
            of=recipient_user_id,
        )

    def has_approved_access(self, caregiver_user_id, recipient_user_id):
        self._cursor.execute(_HAS_ACCESS, {"caregiver": caregiver_user_id, "of": recipient_user_id})
        return self._cursor.fetchone() is not None

    def approved_recipient_user_ids(self, caregiver_user_id):
        self._cursor.execute(_APPROVED, {"caregiver": caregiver_user_id})
        return [user_id for (user_id,) in self._cursor.fetchall()]

    def list_caregivers_for_recipient(self, recipient_user_id):
        return self._all(_CAREGIVERS, CaregiverAccessWithUser.from_row, user_id=recipient_user_id)

    def list_recipients_for_caregiver(self, caregiver_user_id):
        return self._all(_RECIPIENTS, CaregiverAccessWithUser.from_row, user_id=caregiver_user_id)

    def create(self, *, caregiver_user_id, recipient_user_id, status, requested_at):
        return self._one(
            _CREATE_ACCESS,
            CaregiverAccess.from_row,
            caregiver=caregiver_user_id,
            of=recipient_user_id,
            status=status,
            requested_at=requested_at,
        )

    def update_status(self, access_id, status, *, revoked_at):
        return self._one(
            _REVOKE, CaregiverAccess.from_row, access_id=access_id, status=status, at=revoked_at
        )

    def approve_request(self, recipient_user_id, access_id, at):
        return self._one(
            _APPROVE_REQUEST,
            CaregiverAccess.from_row,
            user_id=recipient_user_id,
            access_id=access_id,
            at=at,
        )

    def accept_invite(self, caregiver_user_id, access_id, at):
        return self._one(
            _ACCEPT_INVITE,
            CaregiverAccess.from_row,
            user_id=caregiver_user_id,
            access_id=access_id,
            at=at,
        )

    def revoke(self, user_id, access_id, at):
        return self._one(
            _REVOKE_BY, CaregiverAccess.from_row, user_id=user_id, access_id=access_id, at=at
        )


_A, _C = _ACCESS.format(""), _ACCESS.format("a.")
_FIND_BY_EMAIL = """SELECT clerk_user_id, email, display_name FROM users
    WHERE lower(email) = lower(%(email)s) LIMIT 2"""
_FIND_ACCESS = f"SELECT {_A} FROM caregiver_access WHERE id = %(access_id)s"
_BETWEEN = "caregiver_user_id = %(caregiver)s AND recipient_user_id = %(of)s"
_FIND_ACTIVE = f"SELECT {_A} FROM caregiver_access WHERE {_BETWEEN} AND status <> 'revoked'"
_HAS_ACCESS = f"SELECT 1 FROM caregiver_access WHERE {_BETWEEN} AND status = 'approved'"
_APPROVED = """SELECT recipient_user_id FROM caregiver_access
    WHERE caregiver_user_id = %(caregiver)s AND status = 'approved' ORDER BY created_at, id"""
_CAREGIVER = "(SELECT {0} FROM users u WHERE u.clerk_user_id = a.caregiver_user_id)"
_CAREGIVERS = f"""SELECT {_C}, coalesce(
        (SELECT r.display_name FROM care_recipients r WHERE r.user_id = a.caregiver_user_id),
        {_CAREGIVER.format("coalesce(u.display_name, u.email)")}),
    {_CAREGIVER.format("u.email")}, NULL, NULL, NULL, NULL FROM caregiver_access a
    WHERE a.recipient_user_id = %(user_id)s AND a.status <> 'revoked' ORDER BY a.created_at, a.id"""
_OWNED = "(SELECT r.{0} FROM care_recipients r WHERE r.user_id = a.recipient_user_id)"
_RECIPIENTS = f"""SELECT {_C}, NULL, NULL, {_OWNED.format("display_name")},
    (SELECT u.email FROM users u WHERE u.clerk_user_id = a.recipient_user_id),
    {_OWNED.format("id")}, {_OWNED.format("timezone")}
    FROM caregiver_access a
    WHERE a.caregiver_user_id = %(user_id)s AND a.status <> 'revoked' ORDER BY a.created_at, a.id"""
_CREATE_ACCESS = f"""INSERT INTO caregiver_access
    (caregiver_user_id, recipient_user_id, status, requested_at)
    VALUES (%(caregiver)s, %(of)s, %(status)s, %(requested_at)s)
    ON CONFLICT DO NOTHING RETURNING {_A}"""
_REVOKE = f"""UPDATE caregiver_access SET status = %(status)s, revoked_at = %(at)s,
    updated_at = now() WHERE id = %(access_id)s AND status <> 'revoked' RETURNING {_A}"""
_APPROVE = f"""UPDATE caregiver_access SET status = 'approved', approved_at = %(at)s,
    updated_at = now() WHERE id = %(access_id)s AND {{0}} RETURNING {_A}"""
_APPROVE_REQUEST = _APPROVE.format("recipient_user_id = %(user_id)s AND status = 'pending_request'")
_ACCEPT_INVITE = _APPROVE.format("caregiver_user_id = %(user_id)s AND status = 'pending_invite'")
_REVOKE_BY = f"""UPDATE caregiver_access SET status = 'revoked', revoked_at = %(at)s,
    updated_at = now() WHERE id = %(access_id)s AND status <> 'revoked'
    AND (caregiver_user_id = %(user_id)s OR recipient_user_id = %(user_id)s) RETURNING {_A}"""


class Medications(_Calls):
    attribute = "medications"

    def find_by_id(self, user_id, medication_id):
        return self._one(_FIND_MEDICATION, Medication, user_id=user_id, medication_id=medication_id)

    def list_by_recipient(self, user_id, recipient_id):
        return self._all(_LIST_MEDICATIONS, Medication, user_id=user_id, recipient_id=recipient_id)

    def iter_by_recipient(self, user_id, recipient_id):
        return self._pages(
            _PAGE_MEDICATIONS, Medication, user_id=user_id, recipient_id=recipient_id
        )

    def create(self, user_id, recipient_id, *, name):
        return self._one(
            _CREATE_MEDICATION,
            Medication,
            user_id=user_id,
            recipient_id=recipient_id,
            name=name,
            instructions=None,
        )

    def create_with_schedules(self, user_id, recipient_id, medication, schedules):
        ids = [uuid4() for _ in schedules]
        self._cursor.execute(
            _CREATE_WITH_SCHEDULES,
            {
                "user_id": user_id,
                "recipient_id": recipient_id,
                "name": medication.name,
                "instructions": medication.instructions,
                "schedules": _rows(ids, schedules, [None] * len(ids)),
            },
        )
        medication_id, now = self._cursor.fetchone()
        created = Medication(
            medication_id,
            recipient_id,
            medication.name,
            medication.instructions,
            is_active=True,
            inactive_at=None,
            created_at=now,
            updated_at=now,
        )
        stored = _stored(ids, [medication_id for _ in ids], schedules, now)
        return MedicationWithSchedules(created, stored)

    def update(self, user_id, medication_id, *, name):
        return self._one(
            _UPDATE_MEDICATION.format("name = %(name)s"),
            Medication,
            user_id=user_id,
            medication_id=medication_id,
            name=name,
        )

    def set_inactive(self, user_id, medication_id, inactive_at):
        return self._one(
            _UPDATE_MEDICATION.format(
                "is_active = false, inactive_at = greatest(m.inactive_at, %(at)s)"
            ),
            Medication,
            user_id=user_id,
            medication_id=medication_id,
            at=inactive_at,
        )

    def set_active(self, user_id, medication_id):
        return self._one(
            _UPDATE_MEDICATION.format("is_active = true, inactive_at = NULL"),
            Medication,
            user_id=user_id,
            medication_id=medication_id,
        )


def _rows(ids, schedules, medication_ids):
    rows = [
        {
            "id": id,
            "medication_id": medication_id,
            "recurrence": one.recurrence,
            "time_of_day": f"{one.time_of_day:%H:%M}",
            "start_date": one.start_date,
            "end_date": one.end_date,
            "dosage_notes": one.dosage_notes,
        }
        for id, medication_id, one in zip(ids, medication_ids, schedules, strict=True)
    ]
    return json.dumps(rows, default=str)


def _stored(ids, medication_ids, schedules, created_at):
    return [
        MedicationSchedule(
            id,
            medication_id,
            one.recurrence,
            one.time_of_day,
            one.timezone,
            one.days_of_week,
            one.start_date,
            one.end_date,
            one.dosage_notes,
            created_at + timedelta(microseconds=position),
            created_at,
        )
        for position, (id, medication_id, one) in enumerate(
            zip(ids, medication_ids, schedules, strict=True), 1
        )
    ]


_M, _S = _MEDICATION.format("m."), _SCHEDULE.format("s.")
_FIND_MEDICATION = f"""SELECT {_M} FROM medications m
    WHERE m.id = %(medication_id)s AND {_REACHES.format("m.recipient_id")}"""
_LIST_MEDICATIONS = f"""SELECT {_M} FROM medications m WHERE m.recipient_id = %(recipient_id)s
    AND {_REACHES.format("%(recipient_id)s")} AND m.is_active ORDER BY m.created_at, m.id"""
_PAGE_MEDICATIONS = f"""SELECT {_M} FROM medications m WHERE m.recipient_id = %(recipient_id)s
    AND {_REACHES.format("%(recipient_id)s")} AND m.is_active
    AND {_AFTER.format("m.created_at", "m.id")}"""
_NEW_MEDICATION = f"""INSERT INTO medications AS m
    (recipient_id, name, instructions, created_by_user_id)
    SELECT r.id, %(name)s, %(instructions)s, %(user_id)s FROM care_recipients r
    WHERE r.id = %(recipient_id)s AND {_IS_REACHED} RETURNING {_M}"""
_CREATE_MEDICATION = _NEW_MEDICATION
_NEW_SCHEDULES = """ROWS FROM (json_to_recordset(%(schedules)s::json) AS (id uuid,
    medication_id uuid, recurrence recurrence_type_enum, time_of_day text, start_date date,
    end_date date, dosage_notes text)) WITH ORDINALITY
    AS n (id, medication_id, recurrence, time_of_day, start_date, end_date, dosage_notes, position)
    """
_INSERT_SCHEDULES = """INSERT INTO medication_schedules AS s (id, medication_id, recurrence,
    time_of_day, start_date, end_date, dosage_notes, created_by_user_id, created_at, updated_at)"""
_CREATE_WITH_SCHEDULES = f"""WITH m AS ({_NEW_MEDICATION}) {_INSERT_SCHEDULES}
    SELECT n.id, m.id, n.recurrence, n.time_of_day, n.start_date, n.end_date, n.dosage_notes,
        %(user_id)s, now() + n.position * interval '1 microsecond', now()
    FROM m, {_NEW_SCHEDULES} RETURNING s.medication_id, now()"""
_UPDATE_MEDICATION = f"""UPDATE medications m SET {{0}}, updated_at = now()
    WHERE m.id = %(medication_id)s AND {_REACHES.format("m.recipient_id")} RETURNING {_M}"""


class Schedules(_Calls):
    attribute = "schedules"

    def find_by_id(self, user_id, schedule_id):
        return self._one(
            _FIND_SCHEDULE, MedicationSchedule.from_row, user_id=user_id, schedule_id=schedule_id
        )

    def list_by_medication(self, user_id, medication_id):
        return self._all(
            _LIST_BY_MEDICATION,
            MedicationSchedule.from_row,
            user_id=user_id,
            id=medication_id,
        )

    def list_by_recipient(self, user_id, recipient_id):
        return self._all(
            _LIST_BY_RECIPIENT,
            MedicationSchedule.from_row,
            user_id=user_id,
            id=recipient_id,
        )

    def iter_by_recipient(self, user_id, recipient_id):
        return self._pages(
            _PAGE_SCHEDULES, MedicationSchedule.from_row, user_id=user_id, id=recipient_id
        )

    def create_many(self, user_id, schedules):
        pairs = [(key, one) for key, new in schedules.items() for one in new]
        medication_ids, new = zip(*pairs, strict=True)
        ids = [uuid4() for _ in pairs]
        self._cursor.execute(
            _CREATE_SCHEDULES,
            {"user_id": user_id, "schedules": _rows(ids, new, medication_ids)},
        )
        return _stored(ids, medication_ids, new, self._cursor.fetchone()[0])

    def update(self, user_id, schedule_id, *, dosage_notes):
        return self._one(
            _UPDATE_SCHEDULE,
            MedicationSchedule.from_row,
            user_id=user_id,
            schedule_id=schedule_id,
            dosage_notes=dosage_notes,
        )

    def count_active_by_medication(self, user_id, medication_id):
        self._cursor.execute(_ENDS, {"user_id": user_id, "medication_id": medication_id})
        return sum(
            end is None or end >= now.astimezone(ZoneInfo(zone)).date()
            for end, zone, now in self._cursor.fetchall()
        )


_REACHES_SCHEDULE = _REACHES.format(_RECIPIENT.format("s.medication_id"))
_OF_RECIPIENT = f"""medication_schedules s WHERE s.medication_id = ANY (ARRAY (SELECT m.id
    FROM medications m WHERE m.recipient_id = %(id)s AND {_REACHES.format("%(id)s")}))"""
_FIND_SCHEDULE = f"""SELECT {_S} FROM medication_schedules s
    WHERE s.id = %(schedule_id)s AND {_REACHES_SCHEDULE}"""
_LIST_BY_MEDICATION = f"""SELECT {_S} FROM medication_schedules s WHERE s.medication_id = %(id)s
    AND {_REACHES.format(_RECIPIENT.format("%(id)s"))} ORDER BY s.created_at, s.id"""
_LIST_BY_RECIPIENT = f"SELECT {_S} FROM {_OF_RECIPIENT} ORDER BY s.created_at, s.id"
_PAGE_SCHEDULES = f"""SELECT {_S} FROM {_OF_RECIPIENT}
    AND {_AFTER.format("s.created_at", "s.id")}"""
_CREATE_SCHEDULES = f"""WITH n AS MATERIALIZED (SELECT * FROM {_NEW_SCHEDULES})
    {_INSERT_SCHEDULES} SELECT n.id, n.medication_id, n.recurrence, n.time_of_day,
        n.start_date, n.end_date, n.dosage_notes, %(user_id)s,
        now() + n.position * interval '1 microsecond', now() FROM n
        WHERE NOT EXISTS (SELECT FROM (SELECT DISTINCT medication_id FROM n) AS w
            WHERE NOT coalesce({_REACHES.format(_RECIPIENT.format("w.medication_id"))}, false))
        RETURNING now()"""
_UPDATE_SCHEDULE = f"""UPDATE medication_schedules s SET dosage_notes = %(dosage_notes)s,
    updated_at = now() WHERE s.id = %(schedule_id)s AND {_REACHES_SCHEDULE} RETURNING {_S}"""
_ENDS = f"""SELECT s.end_date, coalesce(s.timezone, r.timezone), now()
    FROM medication_schedules s, care_recipients r WHERE s.medication_id = %(medication_id)s
    AND r.id = {_RECIPIENT.format("%(medication_id)s")} AND {_IS_REACHED}"""


class Doses(_Calls):
    attribute = "doses_taken"

    def mark_taken(self, user_id, dose):
        values = {
            "user_id": user_id,
            "schedule_id": dose.schedule_id,
            "scheduled_for": dose.scheduled_for,
            "taken_at": dose.taken_at,
        }
        made = self._one(_MARK, DoseTaken, **values)
        if made is not None:
            return made
        return self._one(_STORED, DoseTaken, **values)

    def mark_taken_many(self, reports):
        reports = list(reports)
        self._cursor.execute(
            _MARK_MANY,
            {
                "users": [one.user_id for one in reports],
                "schedules": [one.schedule_id for one in reports],
                "dues": [one.scheduled_for for one in reports],
                "takens": [one.taken_at for one in reports],
            },
        )
        outcomes = [DoseOutcome(one, OutcomeStatus.NOT_FOUND, None) for one in reports]
        for position, is_new, is_open, *dose in self._cursor.fetchall():
            report = reports[position - 1]
            if dose[0] is None:
                status = OutcomeStatus.NOT_FOUND if is_open else OutcomeStatus.MEDICATION_INACTIVE
                outcomes[position - 1] = DoseOutcome(report, status, None)
                continue
            status = OutcomeStatus.RECORDED if is_new else OutcomeStatus.ALREADY_RECORDED
            outcomes[position - 1] = DoseOutcome(report, status, DoseTaken(*dose))
        return outcomes

    def unmark_taken(self, user_id, schedule_id, scheduled_for):
        self._cursor.execute(
            _UNMARK,
            {"user_id": user_id, "schedule_id": schedule_id, "scheduled_for": scheduled_for},
        )
        return self._cursor.rowcount == 1

    def taken_map(self, user_id, schedule_ids, start, end):
        self._cursor.execute(
            _TAKEN,
            {"user_id": user_id, "schedule_ids": list(schedule_ids), "start": start, "end": end},
        )
        return {
            DoseKey(schedule_id, due): TakenInfo(taken_at, by)
            for schedule_id, due, taken_at, by in self._cursor.fetchall()
        }

    def iter_by_recipient(self, user_id, recipient_id, start, end):
        values = {"user_id": user_id, "recipient_id": recipient_id, "start": start, "end": end}
        return self._pages(_PAGE_DOSES, DoseTaken, "scheduled_for", **values)


_D = _DOSE.format("d.")
_NEW_DOSE = """INSERT INTO dose_taken AS d
    (recipient_id, medication_id, schedule_id, scheduled_for, taken_at, taken_by_user_id)"""
_OF_DOSE = _MEDICATION_OF.format("%(schedule_id)s")
_REACHES_DOSE = _REACHES.format(_RECIPIENT.format(_OF_DOSE))
_MARK = f"""{_NEW_DOSE} SELECT m.recipient_id, m.id, %(schedule_id)s, %(scheduled_for)s,
        %(taken_at)s, %(user_id)s
    FROM medications m WHERE m.id = {_OF_DOSE} AND {_REACHES.format("m.recipient_id")}
    AND (m.is_active OR %(scheduled_for)s <= m.inactive_at)
    ON CONFLICT DO NOTHING RETURNING {_D}"""
_STORED = f"""SELECT {_D} FROM dose_taken d WHERE d.schedule_id = %(schedule_id)s
    AND d.scheduled_for = %(scheduled_for)s AND {_REACHES_DOSE}"""
_REACHED_BY_REPORT = _REACHED.replace("%(user_id)s", "n.user_id")
_MARK_MANY = f"""WITH n AS MATERIALIZED (SELECT * FROM
        unnest(%(users)s::text[], %(schedules)s::uuid[], %(dues)s::timestamptz[],
            %(takens)s::timestamptz[])
        WITH ORDINALITY AS n (user_id, schedule_id, scheduled_for, taken_at, position)),
    reached AS MATERIALIZED (SELECT n.*, r.id AS recipient_id, m.id AS medication_id,
            (m.is_active OR n.scheduled_for <= m.inactive_at) AS is_open
        FROM n JOIN medication_schedules s ON s.id = n.schedule_id
        JOIN medications m ON m.id = s.medication_id
        JOIN care_recipients r ON r.id = m.recipient_id AND {_REACHED_BY_REPORT}),
    d AS ({_NEW_DOSE} SELECT DISTINCT ON (schedule_id, scheduled_for) recipient_id, medication_id,
            schedule_id, scheduled_for, taken_at, user_id FROM reached WHERE is_open
        ORDER BY schedule_id, scheduled_for, position
        ON CONFLICT (schedule_id, scheduled_for) DO NOTHING RETURNING {_D}),
    rest AS MATERIALIZED (SELECT * FROM reached n WHERE NOT EXISTS (SELECT FROM d
        WHERE d.schedule_id = n.schedule_id AND d.scheduled_for = n.scheduled_for))
    SELECT n.position, row_number() OVER (PARTITION BY d.id ORDER BY n.position) = 1, n.is_open,
        {_D} FROM reached n JOIN d USING (schedule_id, scheduled_for)
    UNION ALL SELECT n.position, false, n.is_open, {_D} FROM rest n
        LEFT JOIN dose_taken d USING (schedule_id, scheduled_for)"""
_UNMARK = f"""DELETE FROM dose_taken d WHERE d.schedule_id = %(schedule_id)s
    AND d.scheduled_for = %(scheduled_for)s AND {_REACHES_DOSE}"""
_TAKEN = f"""SELECT d.schedule_id, d.scheduled_for, d.taken_at, d.taken_by_user_id FROM dose_taken d
    WHERE d.schedule_id = ANY (ARRAY (SELECT s.id FROM medication_schedules s
        WHERE s.id = ANY (%(schedule_ids)s::uuid[]) AND {_REACHES_SCHEDULE}))
    AND d.scheduled_for >= %(start)s AND d.scheduled_for < %(end)s
    ORDER BY d.schedule_id, d.scheduled_for"""
_PAGE_DOSES = f"""SELECT {_D} FROM dose_taken d WHERE d.recipient_id = %(recipient_id)s
    AND {_REACHES.format("%(recipient_id)s")} AND d.scheduled_for >= %(start)s
    AND d.scheduled_for < %(end)s AND {_AFTER.format("d.scheduled_for", "d.id")}"""
