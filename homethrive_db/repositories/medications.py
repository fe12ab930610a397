"""Medications: what a care recipient takes. There is no delete: a medication is set inactive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, Unpack
from uuid import UUID

from peewee import SQL, fn

from homethrive_db import models, validation
from homethrive_db.database import Database
from homethrive_db.entities import (
    PAGE_SIZE,
    Medication,
    MedicationChanges,
    MedicationWithSchedules,
    NewMedication,
    NewSchedule,
)
from homethrive_db.errors import NotFoundError, ValidationError
from homethrive_db.repositories import schedule_input
from homethrive_db.repositories.access import reached_profile, reaches
from homethrive_db.repositories.pages import page, read_pages
from homethrive_db.repositories.schedules import create_schedules
from homethrive_db.statements import Statement, columns, param, portions, statement
from homethrive_db.value_types import new_ids

_TABLE = models.Medication
_MEDICATION = columns(_TABLE, Medication)
_NEW = (
    _TABLE.recipient,
    _TABLE.name,
    _TABLE.instructions,
    _TABLE.is_active,
    _TABLE.created_by_user,
    _TABLE.created_at,
    _TABLE.updated_at,
)

_IS_REACHED = (_TABLE.id == param("medication_id")) & reaches(param("user_id"), _TABLE.recipient)

_FIND = statement(_TABLE.select(*_MEDICATION).where(_IS_REACHED))

_ALL = _TABLE.select(*_MEDICATION).where(
    _TABLE.recipient == param("recipient_id"),
    reaches(param("user_id"), param("recipient_id")),
)
_LIST_ALL = _ALL.order_by(_TABLE.created_at, _TABLE.id)
_LIST = {True: statement(_LIST_ALL), False: statement(_LIST_ALL.where(_TABLE.is_active))}
_PAGE_ALL = page(_ALL, _TABLE.created_at, _TABLE.id)
_PAGE = {True: statement(_PAGE_ALL), False: statement(_PAGE_ALL.where(_TABLE.is_active))}

_NEW_VALUES = models.CareRecipient.select(
    models.CareRecipient.id,
    param("name"),
    param("instructions"),
    SQL("true"),
    param("user_id"),
    fn.statement_timestamp(),
    fn.statement_timestamp(),
).where(reached_profile(param("user_id"), param("recipient_id")))

_INSERTED = _TABLE.insert_from(_NEW_VALUES, _NEW).returning(_TABLE.id, _TABLE.created_at)

_CREATE = statement(_INSERTED)


def _create_with_schedules() -> Statement:
    """Insert a medication, and its schedules where that went in.

    Gives what ``_CREATE`` gives, once for each schedule.
    """
    medication = _INSERTED.cte("medication")
    created = schedule_input.insertion(medication.c.id, medication)
    return statement(created.with_cte(medication, schedule_input.ROWS))


_CREATE_WITH_SCHEDULES = _create_with_schedules()


def _changed(values: Mapping[Any, Any]) -> Any:
    return (
        _TABLE.update({**values, _TABLE.updated_at: fn.statement_timestamp()})
        .where(_IS_REACHED)
        .returning(*_MEDICATION)
    )


# Two reports of the same end may come in either order: the later instant stays.
_INACTIVE_AT = fn.GREATEST(_TABLE.inactive_at, param("inactive_at", "timestamptz"))
_SET_INACTIVE = statement(_changed({_TABLE.is_active: False, _TABLE.inactive_at: _INACTIVE_AT}))
_SET_ACTIVE = statement(_changed({_TABLE.is_active: True, _TABLE.inactive_at: None}))


@cache
def _update(fields: frozenset[str]) -> Statement:
    return statement(_changed({getattr(_TABLE, field): param(field) for field in fields}))


class MedicationRepository:
    """Reads and writes the medications of the care recipients that a user may reach."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def find_by_id(self, user_id: str, medication_id: UUID | str) -> Medication | None:
        """Find a medication that *user_id* may see; None covers absent and not theirs alike."""
        return self._db.first(_FIND, Medication, **_key(user_id, medication_id))

    def list_by_recipient(
        self, user_id: str, recipient_id: UUID | str, *, include_inactive: bool = False
    ) -> list[Medication]:
        """List a recipient's medications, oldest first; empty where *user_id* may not see them."""
        return self._db.all(
            _LIST[validation.boolean(include_inactive, "include_inactive")],
            Medication,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
        )

    def iter_by_recipient(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        include_inactive: bool = False,
        after: tuple[datetime, UUID | str] | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[Medication]:
        """Give what ``list_by_recipient`` lists, by pages of *page_size*, one statement each.

        *after* is the key of the last one that was read, ``(created_at, id)``: from there it goes
        on. Raises ValidationError.
        """
        read = partial(
            self._db.all,
            _PAGE[validation.boolean(include_inactive, "include_inactive")],
            Medication,
            user_id=validation.user_id(user_id),
            recipient_id=validation.uuid(recipient_id, "recipient_id"),
        )
        return read_pages(read, after, page_size)

    def create(
        self,
        user_id: str,
        recipient_id: UUID | str,
        *,
        name: str,
        instructions: str | None = None,
    ) -> Medication:
        """Create an active medication. Not idempotent.

        Raises ValidationError, and NotFoundError (``CARE_RECIPIENT_NOT_FOUND``) where the recipient
        is absent or not theirs.
        """
        new = _new(user_id, recipient_id, NewMedication(name, instructions))
        return self._insert(_CREATE, new)

    def create_with_schedules(
        self,
        user_id: str,
        recipient_id: UUID | str,
        medication: NewMedication,
        schedules: Sequence[NewSchedule],
    ) -> MedicationWithSchedules:
        """Create a medication and its schedules, at least one: all or nothing, one statement.

        Behind a proxy many schedules are several statements, in one transaction. Raises
        ValidationError, and NotFoundError (``CARE_RECIPIENT_NOT_FOUND``) where the recipient is
        absent or not theirs. Not idempotent.
        """
        new = list(validation.all_made(schedules, NewSchedule, "schedules"))
        if not new:
            raise ValidationError.of("schedules", "at least one schedule expected")
        values = _new(
            user_id, recipient_id, validation.made(medication, NewMedication, "medication")
        )
        first = next(portions(self._db, _CREATE_WITH_SCHEDULES, new, schedule_input.weigh))
        others = new[len(first) :]
        if not others:
            return self._create_with(values, first)
        with self._db.atomic():
            created = self._create_with(values, first)
            pairs = [(created.medication.id, one) for one in others]
            created.schedules.extend(create_schedules(self._db, user_id, pairs))
        return created

    def _create_with(
        self, new: Mapping[str, Any], schedules: Sequence[NewSchedule]
    ) -> MedicationWithSchedules:
        ids = new_ids(len(schedules))
        rows = schedule_input.parameters(ids, schedules)
        medication = self._insert(_CREATE_WITH_SCHEDULES, {**new, **rows})
        medication_ids = [medication.id] * len(ids)
        stored = schedule_input.stored(ids, schedules, medication_ids, medication.created_at)
        return MedicationWithSchedules(medication, stored)

    def _insert(self, insertion: Statement, new: Mapping[str, Any]) -> Medication:
        """Insert a medication; what the statement does not give back is stored as it was sent."""
        inserted = self._db.rows(insertion, new)
        if not inserted:
            raise NotFoundError("no such care recipient", "CARE_RECIPIENT_NOT_FOUND")
        id, created_at = inserted[0]
        return Medication(
            id,
            new["recipient_id"],
            new["name"],
            new["instructions"],
            is_active=True,
            inactive_at=None,
            created_at=created_at,
            updated_at=created_at,
        )

    def update(
        self, user_id: str, medication_id: UUID | str, **changes: Unpack[MedicationChanges]
    ) -> Medication | None:
        """Change what is passed, None clears the instructions; None where it is not theirs.

        Raises ValidationError.
        """
        checked = validation.changes(validation.MEDICATION, changes)
        if not checked:
            return self.find_by_id(user_id, medication_id)
        return self._db.first(
            _update(frozenset(checked)), Medication, **_key(user_id, medication_id), **checked
        )

    def set_inactive(
        self, user_id: str, medication_id: UUID | str, inactive_at: datetime
    ) -> Medication | None:
        """Deactivate a medication: no dose is due after *inactive_at*.

        Repeated, the later instant stays. None where the medication is absent or not theirs.
        Raises ValidationError.
        """
        return self._db.first(
            _SET_INACTIVE,
            Medication,
            **_key(user_id, medication_id),
            inactive_at=validation.instant(inactive_at, "inactive_at"),
        )

    def set_active(self, user_id: str, medication_id: UUID | str) -> Medication | None:
        """Take a deactivation back: the doses of the time since then were due.

        None where the medication is absent or not theirs. Raises ValidationError.
        """
        return self._db.first(_SET_ACTIVE, Medication, **_key(user_id, medication_id))


def _key(user_id: str, medication_id: UUID | str) -> dict[str, object]:
    return {
        "user_id": validation.user_id(user_id),
        "medication_id": validation.uuid(medication_id, "medication_id"),
    }


def _new(user_id: str, recipient_id: UUID | str, medication: NewMedication) -> dict[str, object]:
    return {
        "user_id": validation.user_id(user_id),
        "recipient_id": validation.uuid(recipient_id, "recipient_id"),
        "name": medication.name,
        "instructions": medication.instructions,
    }
