"""The persistence layer of a medication-management system: PostgreSQL through Peewee.

The public names are imported on first use (PEP 562): a program pays for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homethrive_db.database import Database, check_connection, create_db, get_db, reset_db
    from homethrive_db.doses.adherence import (
        Adherence,
        AdherenceFigures,
        JudgedDose,
        MedicationAdherence,
        UnmatchedDose,
    )
    from homethrive_db.doses.dose_ids import decode_dose_id, encode_dose_id
    from homethrive_db.doses.feed import DoseFeed
    from homethrive_db.doses.feed_occurrence import Contact, FeedOccurrence
    from homethrive_db.doses.occurrence import DoseOccurrence
    from homethrive_db.doses.recurrence import occurrences
    from homethrive_db.doses.reminders import Reminder, ReminderLedger
    from homethrive_db.doses.repository import DoseRepository
    from homethrive_db.entities import (
        CaregiverAccess,
        CaregiverAccessWithUser,
        CareRecipient,
        CareRecipientChanges,
        DoseKey,
        DoseOutcome,
        DoseReport,
        DoseTaken,
        Medication,
        MedicationChanges,
        MedicationSchedule,
        MedicationWithSchedules,
        NewDoseTaken,
        NewMedication,
        NewSchedule,
        ScheduleChanges,
        ScheduleRevision,
        TakenInfo,
        User,
        UserLookup,
        UserProfile,
    )
    from homethrive_db.enums import (
        AccessStatus,
        ContactRole,
        DoseStatus,
        DoseVerdict,
        OutcomeStatus,
        Recurrence,
        ReminderState,
    )
    from homethrive_db.errors import (
        CommitUncertainError,
        ConfigurationError,
        ConflictError,
        HomethriveDbError,
        MigrationError,
        NotFoundError,
        PoolTimeoutError,
        UnavailableError,
        ValidationError,
    )
    from homethrive_db.observing import StatementEvent
    from homethrive_db.options import DatabaseOptions
    from homethrive_db.repositories import (
        CaregiverAccessRepository,
        CareRecipientRepository,
        DoseTakenRepository,
        MedicationRepository,
        Repositories,
        ScheduleRepository,
        UserRepository,
    )
    from homethrive_db.settings import Settings
    from homethrive_db.stats import PoolStats

__all__ = [
    "AccessStatus",
    "Adherence",
    "AdherenceFigures",
    "CareRecipient",
    "CareRecipientChanges",
    "CareRecipientRepository",
    "CaregiverAccess",
    "CaregiverAccessRepository",
    "CaregiverAccessWithUser",
    "CommitUncertainError",
    "ConfigurationError",
    "ConflictError",
    "Contact",
    "ContactRole",
    "Database",
    "DatabaseOptions",
    "DoseFeed",
    "DoseKey",
    "DoseOccurrence",
    "DoseOutcome",
    "DoseReport",
    "DoseRepository",
    "DoseStatus",
    "DoseTaken",
    "DoseTakenRepository",
    "DoseVerdict",
    "FeedOccurrence",
    "HomethriveDbError",
    "JudgedDose",
    "Medication",
    "MedicationAdherence",
    "MedicationChanges",
    "MedicationRepository",
    "MedicationSchedule",
    "MedicationWithSchedules",
    "MigrationError",
    "NewDoseTaken",
    "NewMedication",
    "NewSchedule",
    "NotFoundError",
    "OutcomeStatus",
    "PoolStats",
    "PoolTimeoutError",
    "Recurrence",
    "Reminder",
    "ReminderLedger",
    "ReminderState",
    "Repositories",
    "ScheduleChanges",
    "ScheduleRepository",
    "ScheduleRevision",
    "Settings",
    "StatementEvent",
    "TakenInfo",
    "UnavailableError",
    "UnmatchedDose",
    "User",
    "UserLookup",
    "UserProfile",
    "UserRepository",
    "ValidationError",
    "check_connection",
    "create_db",
    "decode_dose_id",
    "encode_dose_id",
    "get_db",
    "occurrences",
    "reset_db",
]

# The first do without psycopg2 and Peewee, as does who takes names of theirs alone; the others need
# most of what is before them.
_MODULES = (
    "errors",
    "enums",
    "observing",
    "stats",
    "entities",
    "doses.dose_ids",
    "doses.recurrence",
    "settings",
    "options",
    "database",
    "repositories",
    "doses.occurrence",
    "doses.adherence",
    "doses.repository",
    "doses.feed_occurrence",
    "doses.feed",
    "doses.reminders",
)


def __getattr__(name: str) -> Any:
    """Find a public name in the module that has it, and keep it here."""
    if name in __all__:
        for module in _MODULES:
            found = getattr(import_module(f"{__name__}.{module}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
