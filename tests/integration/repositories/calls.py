"""Every public method that takes a user, called on a household of which nothing else is known."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

from homethrive_db import NewDoseTaken, NewMedication, Repositories, encode_dose_id

DUE = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
REVISED = DUE.date()


@dataclass(frozen=True)
class Things:
    """The ids of a household's things, there or not."""

    recipient: UUID
    medication: UUID
    schedule: UUID

    @classmethod
    def absent(cls):
        return cls(uuid4(), uuid4(), uuid4())


def household(factory):
    """Make a household of the user "owner", with a dose taken."""
    profile = factory.own_profile(factory.user("owner"))
    medication = factory.medication(profile)
    schedule = factory.schedule(medication, time_of_day=time(7, 30))
    factory.schedule(medication)
    factory.dose_taken(schedule, scheduled_for=DUE - DAY)
    return Things(profile.id, medication.id, schedule.id)


class Refused:
    """What a create or a mark answers where it may not."""


def calls(repositories: Repositories, factory, user_id: str, things: Things):
    """Name each call, with the answer for what is not there or not theirs."""
    new = [factory.new_schedule()]
    recipients, medications, schedules, doses_taken, doses = (
        repositories.care_recipients,
        repositories.medications,
        repositories.schedules,
        repositories.doses_taken,
        repositories.doses,
    )
    who, r, m, s = user_id, things.recipient, things.medication, things.schedule
    return {
        "care_recipients.find_by_id": (lambda: recipients.find_by_id(who, r), None),
        "care_recipients.update": (lambda: recipients.update(who, r, display_name="x"), None),
        "medications.find_by_id": (lambda: medications.find_by_id(who, m), None),
        "medications.list_by_recipient": (lambda: medications.list_by_recipient(who, r), []),
        "medications.iter_by_recipient": (lambda: list(medications.iter_by_recipient(who, r)), []),
        "medications.create": (lambda: medications.create(who, r, name="x"), Refused),
        "medications.create_with_schedules": (
            lambda: medications.create_with_schedules(who, r, NewMedication("x"), new),
            Refused,
        ),
        "medications.update": (lambda: medications.update(who, m, name="x"), None),
        "medications.set_inactive": (lambda: medications.set_inactive(who, m, DUE), None),
        "medications.set_active": (lambda: medications.set_active(who, m), None),
        "schedules.find_by_id": (lambda: schedules.find_by_id(who, s), None),
        "schedules.list_by_medication": (lambda: schedules.list_by_medication(who, m), []),
        "schedules.list_by_recipient": (lambda: schedules.list_by_recipient(who, r), []),
        "schedules.iter_by_recipient": (lambda: list(schedules.iter_by_recipient(who, r)), []),
        "schedules.create_many": (lambda: schedules.create_many(who, {m: new}), Refused),
        "schedules.update": (lambda: schedules.update(who, s, dosage_notes="x"), None),
        "schedules.revise": (lambda: schedules.revise(who, s, REVISED, dosage_notes="x"), None),
        "schedules.end": (lambda: schedules.end(who, s, REVISED - DAY), None),
        "schedules.count_active_by_medication": (
            lambda: schedules.count_active_by_medication(who, m),
            0,
        ),
        "doses.list_upcoming": (
            lambda: doses.list_upcoming(who, r, start=DUE - 2 * DAY, end=DUE + 2 * DAY),
            [],
        ),
        "doses.adherence": (
            lambda: list(doses.adherence(who, r, DUE - 2 * DAY, DUE).doses),
            [],
        ),
        "doses.record": (lambda: doses.record(who, encode_dose_id(s, DUE - 3 * DAY)), Refused),
        "doses.skip": (lambda: doses.skip(who, encode_dose_id(s, DUE - 2 * DAY)), Refused),
        "doses.undo": (lambda: doses.undo(who, encode_dose_id(s, DUE - DAY)), Refused),
        "doses_taken.mark_taken": (
            lambda: doses_taken.mark_taken(who, NewDoseTaken(s, DUE, DUE)),
            Refused,
        ),
        "doses_taken.taken_map": (
            lambda: doses_taken.taken_map(who, [s], DUE - 2 * DAY, DUE),
            {},
        ),
        "doses_taken.iter_by_recipient": (
            lambda: list(doses_taken.iter_by_recipient(who, r, DUE - 2 * DAY, DUE)),
            [],
        ),
        "doses_taken.unmark_taken": (
            lambda: doses_taken.unmark_taken(who, s, DUE - DAY),
            False,
        ),
    }
