"""The enumerations of the domain; each member is its string value too."""

from __future__ import annotations

from enum import StrEnum


class Recurrence(StrEnum):
    """How a schedule repeats."""

    DAILY = "daily"
    WEEKLY = "weekly"


class AccessStatus(StrEnum):
    """Where the access of a caregiver to a recipient stands."""

    PENDING_REQUEST = "pending_request"
    PENDING_INVITE = "pending_invite"
    APPROVED = "approved"
    REVOKED = "revoked"


class OutcomeStatus(StrEnum):
    """What became of one report of a batch."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    NOT_FOUND = "not_found"
    MEDICATION_INACTIVE = "medication_inactive"


class DoseStatus(StrEnum):
    """What became of a dose that is due."""

    SCHEDULED = "scheduled"
    TAKEN = "taken"
    SKIPPED = "skipped"


class DoseVerdict(StrEnum):
    """What is to be said of a dose that was due."""

    TAKEN = "taken"
    LATE = "late"
    """Taken, but after its grace."""
    MISSED = "missed"
    SKIPPED = "skipped"
    OPEN = "open"
    """Its grace is not over yet."""
    MOVED = "moved"
    """Its date has a dose recorded at another time: the schedule has changed since."""


class ReminderState(StrEnum):
    """How far a reminder has come."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    """It failed too often."""
    WITHDRAWN = "withdrawn"
    """There was nothing left to remind of when it was claimed; pending again once enqueued anew."""


class ContactRole(StrEnum):
    """What somebody is to a care recipient."""

    RECIPIENT = "recipient"
    """The recipient themselves, who signs in."""
    CREATOR = "creator"
    """Who created the profile of a recipient who does not sign in."""
    CAREGIVER = "caregiver"
