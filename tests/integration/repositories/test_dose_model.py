"""Random histories of one schedule against the rules as a few lines of Python."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homethrive_db import ConflictError, DoseReport, NewDoseTaken, OutcomeStatus

START = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)

DAYS = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["mark", "mark_many", "unmark", "set_inactive"]), DAYS),
        st.just(("set_active", 0)),
    ),
    max_size=12,
)


def instant(day):
    return START + timedelta(days=day)


class Model:
    """What is taken, by when, and since when the medication is inactive."""

    def __init__(self):
        self.taken = {}
        self.inactive_at = None

    def mark(self, day, taken_at):
        """Give the stored instant, or None where a new dose is refused."""
        if day not in self.taken:
            if self.inactive_at is not None and instant(day) > self.inactive_at:
                return None
            self.taken[day] = taken_at
        return self.taken[day]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_any_history_of_a_dose_keeps_the_rules(
    homethrive_db, homethrive_repositories, homethrive_factory, steps
):
    with homethrive_db.atomic() as savepoint:
        profile = homethrive_factory.own_profile()
        user_id = profile.user_id
        medication = homethrive_factory.medication(profile)
        schedule = homethrive_factory.schedule(medication)
        model = Model()
        for number, (step, day) in enumerate(steps):
            taken_at = instant(day) + timedelta(minutes=number)
            act(homethrive_repositories, model, step, day, taken_at,
                (user_id, medication.id, schedule.id))  # fmt: skip
        stored = homethrive_repositories.doses_taken.taken_map(
            user_id, [schedule.id], START, instant(10)
        )
        assert {key.scheduled_for: info.taken_at for key, info in stored.items()} == {
            instant(day): taken_at for day, taken_at in model.taken.items()
        }
        savepoint.rollback()


def act(repositories, model, step, day, taken_at, ids):
    """Take one step in the database and in the model, and compare the answers."""
    user_id, medication_id, schedule_id = ids
    doses, due = repositories.doses_taken, instant(day)
    if step == "mark":
        wanted = model.mark(day, taken_at)
        try:
            answer = doses.mark_taken(user_id, NewDoseTaken(schedule_id, due, taken_at)).taken_at
        except ConflictError:
            answer = None
        assert answer == wanted
    elif step == "mark_many":
        known = day in model.taken
        wanted = model.mark(day, taken_at)
        (outcome,) = doses.mark_taken_many([DoseReport(user_id, schedule_id, due, taken_at)])
        assert (outcome.dose and outcome.dose.taken_at) == wanted
        assert (outcome.status is OutcomeStatus.ALREADY_RECORDED) is known
    elif step == "unmark":
        assert doses.unmark_taken(user_id, schedule_id, due) is (
            model.taken.pop(day, None) is not None
        )
    elif step == "set_inactive":
        model.inactive_at = max(model.inactive_at or due, due)
        changed = repositories.medications.set_inactive(user_id, medication_id, due)
        assert changed.inactive_at == model.inactive_at
    else:
        model.inactive_at = None
        repositories.medications.set_active(user_id, medication_id)
