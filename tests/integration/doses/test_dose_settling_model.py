"""Random histories of a week's doses against the rules as a few lines of Python."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from homethrive_db import (
    ConflictError,
    DoseStatus,
    NewDoseTaken,
    encode_dose_id,
)

FIRST = date(2025, 10, 29)
"""The clocks of London and New York go back in the days around it."""
ONE = timedelta(days=1)
NODES = "America/New_York"
ZONES = st.sampled_from(
    ["America/New_York", "America/Los_Angeles", "Europe/London", "Asia/Tokyo", "Pacific/Kiritimati"]
)
CLOCKS = st.sampled_from([time(0, 30), time(1, 30), time(8), time(12), time(22, 30)])

DAYS = st.integers(0, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["record", "skip", "undo", "mark", "record"]), DAYS,
                  st.booleans()),
        st.tuples(st.just("deactivate"), DAYS, st.booleans()),
    ),
    max_size=10,
)  # fmt: skip


def at(day, clock, zone):
    return datetime.combine(FIRST + day * ONE, clock, ZoneInfo(zone)).astimezone(UTC)


class Model:
    """What is taken and by when, what is skipped, and which is the last open day."""

    def __init__(self):
        self.taken, self.skipped = {}, {}
        self.last_open = None

    def status(self, day):
        if day in self.taken:
            return (DoseStatus.TAKEN, self.taken[day], None)
        if day in self.skipped:
            return (DoseStatus.SKIPPED, None, self.skipped[day])
        return (DoseStatus.SCHEDULED, None, None)

    def is_open(self, day):
        return self.last_open is None or day <= self.last_open


def answer_of(call, *arguments, **options):
    try:
        one = call(*arguments, **options)
    except ConflictError as error:
        return error.code
    return one.status, one.taken_at, one.skip_reason


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(zone=ZONES, own=st.booleans(), clock=CLOCKS, steps=STEPS)
@example("Europe/London", False, time(22, 30), [("mark", 0, True), ("record", 0, False)])
def test_any_history_of_doses_keeps_the_rules(
    homethrive_db, homethrive_repositories, homethrive_factory, zone, own, clock, steps
):
    with homethrive_db.atomic() as savepoint:
        profile = homethrive_factory.own_profile(timezone=zone)
        schedule = homethrive_factory.schedule(
            homethrive_factory.medication(profile),
            time_of_day=clock,
            timezone=zone if own else None,
        )
        History(homethrive_repositories, profile, schedule, zone).run(steps)
        savepoint.rollback()


class History:
    """Takes steps in the database and in the model, and compares what they say."""

    def __init__(self, repositories, profile, schedule, zone):
        self.repositories, self.profile, self.schedule = repositories, profile, schedule
        self.user_id = profile.user_id
        self.zone = zone
        self.clock = schedule.time_of_day
        self.nodes_zone = zone if schedule.timezone else NODES
        self.model = Model()

    def run(self, steps):
        for number, (step, day, by_node) in enumerate(steps):
            instant = at(day, self.clock, self.nodes_zone if by_node else self.zone)
            getattr(self, step)(day, instant, number)
            self.compare()

    def compare(self):
        window = at(-2, time(), "UTC"), at(7, time(), "UTC")
        listed = self.repositories.doses.list_upcoming(
            self.user_id, self.profile.id, start=window[0], end=window[1], include_inactive=True
        )
        found = {one.local_date: (one.status, one.taken_at, one.skip_reason) for one in listed}
        for day in range(5):
            expected = self.model.status(day) if self.model.is_open(day) else None
            assert found.get(FIRST + day * ONE) == expected
        for one in listed:
            if not FIRST <= one.local_date < FIRST + 5 * ONE:
                assert one.status is DoseStatus.SCHEDULED

    def dose_id(self, instant):
        return encode_dose_id(self.schedule.id, instant)

    def record(self, day, instant, number):
        taken_at = instant + timedelta(minutes=number)
        answer = answer_of(
            self.repositories.doses.record, self.user_id, self.dose_id(instant), taken_at=taken_at
        )
        if day not in self.model.taken:
            if not self.model.is_open(day):
                assert answer == "MEDICATION_INACTIVE"
                return
            self.model.taken[day] = taken_at
        assert answer == self.model.status(day)

    def skip(self, day, instant, number):
        answer = answer_of(
            self.repositories.doses.skip, self.user_id, self.dose_id(instant), reason=str(number)
        )
        if day in self.model.taken:
            assert answer == "DOSE_TAKEN"
        elif day not in self.model.skipped and not self.model.is_open(day):
            assert answer == "MEDICATION_INACTIVE"
        else:
            self.model.skipped.setdefault(day, str(number))
            assert answer == self.model.status(day)

    def undo(self, day, instant, _):
        self.model.taken.pop(day, None)
        self.model.skipped.pop(day, None)
        answer = answer_of(self.repositories.doses.undo, self.user_id, self.dose_id(instant))
        assert answer == self.model.status(day)

    def mark(self, day, instant, number):
        """As the Node service does; only where nothing is taken, which it would not see."""
        if day in self.model.taken or not self.model.is_open(day):
            return
        taken_at = instant + timedelta(minutes=number)
        new = NewDoseTaken(self.schedule.id, instant, taken_at)
        self.repositories.doses_taken.mark_taken(self.user_id, new)
        self.model.taken[day] = taken_at

    def deactivate(self, day, *_):
        """After both instants of a day, and before those of the next."""
        last = max(at(day, self.clock, self.zone), at(day, self.clock, self.nodes_zone))
        if self.model.last_open is not None or last >= at(day + 1, self.clock, self.zone):
            return
        self.repositories.medications.set_inactive(self.user_id, self.schedule.medication_id, last)
        self.model.last_open = day
