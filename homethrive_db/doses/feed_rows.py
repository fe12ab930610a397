"""What a feed reads of a schedule: what its agenda needs, and the recipient's name."""

from __future__ import annotations

from typing import Any

from homethrive_db import models
from homethrive_db.doses.agenda_rows import AGENDA

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication
_RECIPIENT = models.CareRecipient

ROW = (*AGENDA, _RECIPIENT.display_name)

ID, RECIPIENT_ID, TIME_OF_DAY, ZONE = (
    next(place for place, one in enumerate(AGENDA) if one is column)  # == makes an expression
    for column in (_SCHEDULE.id, _RECIPIENT.id, _SCHEDULE.time_of_day, _SCHEDULE.timezone)
)
"""Where a row has the keys of the feed's orders."""


def joined(schedules: Any) -> Any:
    """Join schedules with their medications and care recipients."""
    return schedules.join(_MEDICATION, on=_SCHEDULE.medication == _MEDICATION.id).join(
        _RECIPIENT, on=_MEDICATION.recipient == _RECIPIENT.id
    )
