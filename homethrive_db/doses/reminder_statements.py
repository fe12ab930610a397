"""The statements of the reminder ledger.

All times are the server's: a worker whose clock is wrong does no harm.
"""

from __future__ import annotations

from typing import Any

from peewee import CTE, SQL, Case, Cast, Select, fn

from homethrive_db import models
from homethrive_db.doses.agenda_rows import RECIPIENT_ZONE, RECORDS_AROUND, schedule_columns
from homethrive_db.doses.feed_recipients import shown_name
from homethrive_db.repositories.access import accessible_to
from homethrive_db.repositories.dose_rows import is_open
from homethrive_db.statements import Statement, input_rows, param, statement

_TABLE: Any = models.DoseReminder
_SCHEDULE, _MEDICATION, _RECIPIENT = (
    models.MedicationSchedule,
    models.Medication,
    models.CareRecipient,
)

_NOW = fn.statement_timestamp()
_SECOND = SQL("interval '1 second'")  # days would be those of the session's zone
_AROUND = SQL(f"interval '{RECORDS_AROUND.total_seconds():.0f} seconds'")

_IS_THIS = _TABLE.id == param("reminder_id", "uuid")
_IDS = param("reminder_ids", "uuid[]")
_LEASE = param("lease_id", "uuid")
# As text of the statement: a partial index serves what is known when it is planned.
_IS_PENDING = _TABLE.state == SQL("'pending'")
_IS_EXHAUSTED = _TABLE.attempts >= param("max_attempts")
_DEAD_IF_EXHAUSTED = Case(None, ((_IS_EXHAUSTED, SQL("'dead'")),), _TABLE.state)
_NOTHING_CAME = SQL("'its workers, or their leases, ended before they said what came of it'")


def _enqueue() -> Statement:
    """Insert the reminders of a batch, revive those withdrawn, and count both.

    They go in by key order, so that two batches cannot deadlock. A schedule or a user that is
    deleted meanwhile is left out, for which their rows are locked as the foreign keys would.
    """
    rows = input_rows("input", schedule_id="uuid", scheduled_for="timestamptz", user_id="text")
    key = (rows.c.schedule_id, rows.c.scheduled_for, rows.c.user_id)
    there: Any = (
        Select((rows,), (*key, param("kind"), _NOW, _NOW, _NOW))
        .join(_SCHEDULE, on=_SCHEDULE.id == rows.c.schedule_id)
        .join(models.User, on=models.User.clerk_user_id == rows.c.user_id)
        .order_by(*key)
    )
    locked = there.for_update("FOR KEY SHARE", of=(_SCHEDULE, models.User))
    columns = (
        _TABLE.schedule,
        _TABLE.scheduled_for,
        _TABLE.user,
        _TABLE.kind,
        _TABLE.available_at,
        _TABLE.created_at,
        _TABLE.updated_at,
    )
    new = _TABLE.insert_from(locked, columns).on_conflict_ignore().returning(_TABLE.id).cte("new")
    revived = _revived(rows)
    added = Select((new,), (new.c.id,)).union_all(Select((revived,), (revived.c.id,)))
    counted: Any = Select((added.alias("added"),), (fn.COUNT(SQL("*")),))
    return statement(counted.with_cte(rows, new, revived), is_idempotent=True)


def _revived(rows: CTE) -> CTE:
    """Make pending again what was withdrawn, and is to be reminded of after all.

    The rows are locked first, in the order of their ids, so that two batches cannot deadlock.
    """
    there: Any = _TABLE.alias("there")
    # As a scalar subquery and an array, so that PostgreSQL looks each up by index: it would rather
    # read the whole table.
    withdrawn = there.select(there.id).where(
        there.schedule == rows.c.schedule_id,
        there.scheduled_for == rows.c.scheduled_for,
        there.kind == param("kind"),
        there.user == rows.c.user_id,
        there.state == SQL("'withdrawn'"),
    )
    fresh = {
        _TABLE.state: SQL("'pending'"),
        _TABLE.available_at: _NOW,
        _TABLE.lease_id: None,
        _TABLE.attempts: 0,
        _TABLE.error: None,
        _TABLE.updated_at: _NOW,
    }
    ids = Select((rows,), (withdrawn,))
    locked = (
        _TABLE.select(_TABLE.id)
        .where(_TABLE.id == fn.ANY(fn.ARRAY(ids)), _TABLE.state == SQL("'withdrawn'"))
        .order_by(_TABLE.id)
        .for_update("FOR UPDATE")
    )
    revived: CTE = (
        _TABLE.update(fresh)
        .where(_TABLE.id == fn.ANY(fn.ARRAY(locked)))
        .returning(_TABLE.id)
        .cte("revived")
    )
    return revived


ENQUEUE = _enqueue()


def _claimed() -> tuple[CTE, CTE]:
    """Lease what is available, the longest waiting first; what was claimed too often is dead."""
    available = (
        _TABLE.select(_TABLE.id)
        .where(_TABLE.kind == param("kind"), _IS_PENDING, _TABLE.available_at <= _NOW)
        .order_by(_TABLE.available_at)
        .limit(param("limit"))
        .for_update("FOR UPDATE", skip_locked=True)
        .cte("available", materialized=True)
    )
    why_dead = fn.COALESCE(_TABLE.error, _NOTHING_CAME)
    claimed = (
        _TABLE.update(
            {
                _TABLE.state: _DEAD_IF_EXHAUSTED,
                _TABLE.attempts: _TABLE.attempts + Cast(~_IS_EXHAUSTED, "integer"),
                _TABLE.error: Case(None, ((_IS_EXHAUSTED, why_dead),), _TABLE.error),
                _TABLE.lease_id: _LEASE,
                _TABLE.available_at: _NOW + param("lease_seconds") * _SECOND,
                _TABLE.updated_at: _NOW,
            }
        )
        .from_(available)
        .where(_TABLE.id == available.c.id)
        .returning(
            _TABLE.id,
            _TABLE.schedule,
            _TABLE.scheduled_for,
            _TABLE.user,
            _TABLE.state,
            _TABLE.attempts,
            _TABLE.available_at,
        )
        .cte("claimed")
    )
    return available, claimed


def _claim() -> Statement:
    """Lease reminders, and read all that tells whether each is still of use."""
    available, claimed = _claimed()
    due = claimed.c.scheduled_for
    query = (
        Select(
            (claimed,),
            (
                claimed.c.id,
                claimed.c.state,
                accessible_to(claimed.c.user_id) & is_open(_NOW),
                due,
                claimed.c.attempts,
                claimed.c.available_at,
                claimed.c.user_id,
                shown_name(),
                models.User.email,
                _RECIPIENT.user,
                _RECIPIENT.display_name,
                *schedule_columns(due - _AROUND, due + _AROUND),
                RECIPIENT_ZONE,
            ),
        )
        .join(_SCHEDULE, on=_SCHEDULE.id == claimed.c.schedule_id)
        .join(_MEDICATION, on=_SCHEDULE.medication == _MEDICATION.id)
        .join(_RECIPIENT, on=_MEDICATION.recipient == _RECIPIENT.id)
        .join(models.User, on=models.User.clerk_user_id == claimed.c.user_id)
        .order_by(due, claimed.c.id)
        .with_cte(available, claimed)
    )
    return statement(query)


CLAIM = _claim()

_STILL_LEASED = (_TABLE.id == fn.ANY(_IDS)) & (_TABLE.lease_id == _LEASE) & _IS_PENDING


def _withdraw(leased: Any) -> Statement:
    """Withdraw what is *leased* still, whose ids are selected and locked."""
    return statement(
        _TABLE.update({_TABLE.state: SQL("'withdrawn'"), _TABLE.updated_at: _NOW})
        .where(_TABLE.id == fn.ANY(fn.ARRAY(leased)))
        .returning(_TABLE.id),
        is_idempotent=True,
    )


def _leased() -> Any:
    """Lock in the order in which batches are revived."""
    leased: Any = _TABLE.select(_TABLE.id).where(_STILL_LEASED)
    return leased.order_by(_TABLE.id).for_update("FOR UPDATE")


def _leased_here() -> Any:
    """Lock what the reminders refer to that this transaction has claimed; it waits for nobody.

    PostgreSQL checks the foreign keys of a row anew that its own transaction has changed before. It
    would wait for a revision, which may be waiting for somebody who waits for the reminder, or for
    who deletes the user, and waits for the reminder itself.
    """
    leased: Any = (
        _TABLE.select(_TABLE.id)
        .join(_SCHEDULE, on=_SCHEDULE.id == _TABLE.schedule)
        .join(models.User, on=models.User.clerk_user_id == _TABLE.user)
        .where(_STILL_LEASED)
    )
    return leased.for_update("FOR KEY SHARE", of=(_SCHEDULE, models.User), skip_locked=True)


WITHDRAW = _withdraw(_leased())
WITHDRAW_OWN = _withdraw(_leased_here())

# The call has an id, so that its repeat, where the answer was lost, has the same answer.
SENT = statement(
    _TABLE.update(
        {
            _TABLE.state: SQL("'sent'"),
            _TABLE.lease_id: param("call_id", "uuid"),
            _TABLE.error: None,
            _TABLE.updated_at: _NOW,
        }
    )
    .where(
        _IS_THIS, (_TABLE.state != SQL("'sent'")) | (_TABLE.lease_id == param("call_id", "uuid"))
    )
    .returning(_TABLE.id),
    is_idempotent=True,
)

FAILED = statement(
    _TABLE.update(
        {
            _TABLE.state: _DEAD_IF_EXHAUSTED,
            _TABLE.lease_id: None,
            _TABLE.error: param("error"),
            _TABLE.available_at: _NOW + param("pause_seconds") * _SECOND,
            _TABLE.updated_at: _NOW,
        }
    )
    .where(_IS_THIS, _TABLE.lease_id == _LEASE, _IS_PENDING)
    .returning(_TABLE.state)
)


def _purge() -> Statement:
    old = (
        _TABLE.select(_TABLE.id)
        .where(_TABLE.state != SQL("'pending'"), _TABLE.scheduled_for < param("before"))
        .order_by(_TABLE.scheduled_for)
        .limit(param("limit"))
        .for_update("FOR UPDATE", skip_locked=True)
        .cte("old", materialized=True)
    )
    ids = old.select(old.c.id)
    deleted = _TABLE.delete().where(_TABLE.id.in_(ids)).returning(_TABLE.id).cte("deleted")
    counted: Any = Select((deleted,), (fn.COUNT(SQL("*")),)).with_cte(old, deleted)
    return statement(counted, is_idempotent=True)


PURGE = _purge()
