"""Where a row that a feed has read holds what its orders go by."""

from __future__ import annotations

from homethrive_db import models
from homethrive_db.doses.agenda_rows import SCHEDULE

_SCHEDULE, _MEDICATION = models.MedicationSchedule, models.Medication

ID, RECIPIENT_ID, TIME_OF_DAY, ZONE = (
    next(place for place, one in enumerate(SCHEDULE) if one is column)  # == makes an expression
    for column in (
        _SCHEDULE.id,
        _MEDICATION.recipient,
        _SCHEDULE.time_of_day,
        _SCHEDULE.timezone,
    )
)
