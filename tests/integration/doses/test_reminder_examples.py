"""The workers among the examples, as processes of their own on a real database."""

import json
import re
import signal
from datetime import UTC, datetime, timedelta

import pytest

from homethrive_db import create_db
from tests.example_workers import DOSES, EXAMPLES, end, fill, lines, log, states, worker
from tests.waiting import wait_until

# What a user would change, and a way to hold the worker at each delivery: it goes on at a line.
HELD = """
import sys, remind

def deliver(reminder):
    print(reminder.id, flush=True)
    sys.stdin.readline()

remind.deliver, remind.CLAIMED = deliver, 20
sys.exit(remind.main())
"""
FAILING = """
import sys, remind

def deliver(reminder):
    print(reminder.id, flush=True)
    raise ValueError(f"no way to tell of {reminder.dose.medication_name}")

remind.deliver = deliver
sys.exit(remind.main())
"""
FORGETFUL = """
import sys, remind
from datetime import timedelta

remind.KEPT = timedelta(0)
sys.exit(remind.main())
"""
HELD_WHILE_ENQUEUEING = """
import sys, missed

store = missed.store

def store_and_wait(*arguments):
    store(*arguments)
    print("stored", flush=True)
    sys.stdin.readline()

missed.store, missed.ENQUEUED = store_and_wait, 7
sys.exit(missed.main())
"""
SIGNALLED_AT_EACH_LINE = """
import signal, sys, {module}

signalled = set()

def trace(frame, event, _):
    line = (frame.f_code, frame.f_lineno)
    if event == "line" and line not in signalled:
        signalled.add(line)
        signal.raise_signal(signal.SIGTERM)
    return trace

# It waits as soon as it has said why.
{module}.log.warning = lambda *_: sys.settrace(trace)
status = {module}.main()
sys.settrace(None)
sys.exit(status if signalled else "it did not wait")
"""


@pytest.fixture
def home(homethrive_committed_url):
    db = create_db(homethrive_committed_url)
    fill(db)
    yield db
    db.close_all()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_takes_a_dose_is_reminded_once(homethrive_committed_url, home, tmp_path, number):
    with worker("remind.py", homethrive_committed_url, tmp_path) as process:
        printed = [one.split() for one in lines(process, DOSES)]
        wait_until(lambda: states(home) == {("due", "sent"): DOSES})
        assert end(process, number) == (0, "")
    assert len({reminder for _, reminder, _ in printed}) == DOSES
    assert {(kind, user) for kind, _, user in printed} == {("due", "owner")}
    assert tmp_path.joinpath("remind.health").exists()
    assert log(tmp_path) == ""


def test_what_may_still_come_late_is_not_forgotten(homethrive_committed_url, home, tmp_path):
    """It would be enqueued anew, and sent again in each round."""
    health = tmp_path / "remind.health"
    with worker(FORGETFUL, homethrive_committed_url, tmp_path) as process:
        assert len(lines(process, DOSES)) == DOSES
        for _ in range(4):  # a round touches it twice at most
            health.unlink(missing_ok=True)
            wait_until(health.exists)
        assert end(process) == (0, "")


def test_many_workers_remind_of_each_dose_once(homethrive_committed_url, home, tmp_path):
    health = [tmp_path / "first", tmp_path / "second"]
    arguments = [homethrive_committed_url, tmp_path, "--health"]
    with (
        worker("remind.py", *arguments, health[0]) as first,
        worker("remind.py", *arguments, health[1]) as second,
    ):
        wait_until(lambda: all(one.exists() for one in health))
        wait_until(lambda: states(home) == {("due", "sent"): DOSES})
        printed = [end(one) for one in (first, second)]
    assert [status for status, _ in printed] == [0, 0]
    assert "".join(rest for _, rest in printed).count("due ") == DOSES


def test_a_signal_in_the_middle_of_a_batch_ends_the_worker_behind_it(
    homethrive_committed_url, home, tmp_path
):
    with worker(HELD, homethrive_committed_url, tmp_path) as process:
        first = lines(process, 1)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate("\n" * 20, timeout=60)
        assert process.returncode == 0
    sent = [*first, *rest.split()]
    assert len(sent) == 20
    assert states(home) == {("due", "sent"): 20, ("due", "pending"): DOSES - 20}
    with worker("remind.py", homethrive_committed_url, tmp_path) as process:
        more = [one.split()[1] for one in lines(process, DOSES - 20)]
        assert end(process) == (0, "")
    assert len({*sent, *more}) == DOSES


def test_connections_that_are_killed_in_the_middle_cost_nothing(
    homethrive_committed_url, home, tmp_path
):
    with worker(HELD, homethrive_committed_url, tmp_path) as process:
        for number in range(DOSES):
            assert process.stdout.readline()
            if number % 10 == 5:
                with home.connection_context():
                    home.execute_sql(
                        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()"""
                    )
            process.stdin.write("\n")
        wait_until(lambda: states(home) == {("due", "sent"): DOSES})
        assert end(process) == (0, "")


def test_a_failed_delivery_is_tried_again_later_and_its_text_is_not_logged(
    homethrive_committed_url, home, tmp_path
):
    with worker(FAILING, homethrive_committed_url, tmp_path) as process:
        assert len(set(lines(process, DOSES))) == DOSES
        wait_until(lambda: log(tmp_path).count("ValueError, now pending") == DOSES)
        assert end(process) == (0, "")
    assert states(home) == {("due", "pending"): DOSES}
    assert "Lisinopril" not in log(tmp_path)
    with home.connection_context():
        cursor = home.execute_sql("SELECT DISTINCT error, attempts, lease_id FROM dose_reminders")
        assert cursor.fetchall() == [("no way to tell of Lisinopril 10 mg", 1, None)]


def test_all_contacts_are_told_of_what_was_missed(homethrive_committed_url, home, tmp_path):
    with worker("missed.py", homethrive_committed_url, tmp_path, "--grace", "0") as process:
        told = [one.split() for one in lines(process, 2 * told_of())]
        wait_until(lambda: states(home) == {("missed", "sent"): 2 * told_of()})
        assert end(process) == (0, "")
    assert {(kind, user) for kind, _, user in told} == {("missed", "owner"), ("missed", "carer")}
    assert tmp_path.joinpath("missed.health").exists()
    place = json.loads(tmp_path.joinpath("missed.json").read_text())
    assert place["until"] is place["after"] is None


def told_of():
    """Count the doses of the last day: each schedule has one, the last one yesterday's."""
    return DOSES + 1


def test_a_worker_that_was_killed_goes_on_where_it_was(homethrive_committed_url, home, tmp_path):
    """Inside of the window it had begun."""
    grace = ("--grace", "0")
    with worker(HELD_WHILE_ENQUEUEING, homethrive_committed_url, tmp_path, *grace) as process:
        lines(process, 1)
        process.stdin.write("\n")
        lines(process, 1)
        process.kill()
    assert states(home) == {("missed", "pending"): 2 * 14}
    assert json.loads(tmp_path.joinpath("missed.json").read_text())["after"]
    with home.atomic():
        home.execute_sql("TRUNCATE dose_reminders")  # so that it shows what is enqueued anew
    with worker("missed.py", homethrive_committed_url, tmp_path, *grace) as process:
        lines(process, 2 * (told_of() - 14))
        wait_until(lambda: states(home) == {("missed", "sent"): 2 * (told_of() - 14)})
        assert end(process) == (0, "")


def test_a_grace_that_has_grown_waits_for_its_time(homethrive_committed_url, home, tmp_path):
    place = {"since": (datetime.now(UTC) - timedelta(minutes=30)).isoformat()}
    state = tmp_path / "missed.json"
    state.write_text(json.dumps({**place, "until": None, "after": None}))
    health = tmp_path / "missed.health"
    with worker("missed.py", homethrive_committed_url, tmp_path, "--grace", "60") as process:
        wait_until(health.exists)
        assert end(process) == (0, "")
    assert states(home) == {}
    assert json.loads(state.read_text())["since"] == place["since"]


def test_a_worker_whose_window_is_yet_to_come_says_so_in_each_round(
    homethrive_committed_url, home, tmp_path
):
    """Its health file tells that it works, while nobody is told of anything."""
    state = tmp_path / "missed.json"
    place = {"since": "9999-12-31T23:30:00+00:00", "until": None, "after": None}
    state.write_text(json.dumps(place))
    with worker("missed.py", homethrive_committed_url, tmp_path, "--grace", "60") as process:
        wait_until(lambda: log(tmp_path).count("\n") > 1)
        assert end(process) == (0, "")
    first, *_ = log(tmp_path).splitlines()
    assert "WARNING missed.json: nobody is told until doses due at 9999-12-31 23:30" in first
    assert "delete it" in first
    assert json.loads(state.read_text()) == place


@pytest.mark.parametrize("program", ["remind.py", "missed.py"])
def test_what_was_settled_long_ago_is_deleted(homethrive_committed_url, home, tmp_path, program):
    """Else the ledger of whoever runs one of the workers grows for ever."""
    with home.atomic():
        home.execute_sql(
            """INSERT INTO dose_reminders (schedule_id, scheduled_for, kind, user_id, state)
            SELECT id, now() - interval '31 days', 'old', 'owner', 'sent'
            FROM medication_schedules"""
        )
    with worker(program, homethrive_committed_url, tmp_path) as process:
        wait_until(lambda: ("old", "sent") not in states(home))
        assert end(process)[0] == 0


def test_what_the_documentation_shows_of_reminders_works(homethrive_committed_url, home, tmp_path):
    page = EXAMPLES.parent.joinpath("docs/doses.md").read_text(encoding="utf-8")
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", page, re.S) if "ledger" in one)
    with worker(code, homethrive_committed_url, tmp_path) as process:
        printed, _ = process.communicate(timeout=60)
    assert printed.count("Lisinopril 10 mg\n") == 50
    assert states(home) == {("due", "sent"): 50, ("due", "pending"): 2 * DOSES - 50}


@pytest.mark.parametrize("program", ["remind.py", "missed.py"])
def test_what_trying_again_cannot_mend_ends_a_worker_with_status_1(
    homethrive_server_url, tmp_path, program
):
    for url, code in (("", "CONFIGURATION_ERROR"), (homethrive_server_url, "SCHEMA_OUTDATED")):
        with worker(program, url, tmp_path) as process:
            assert process.wait(timeout=60) == 1
        assert code in log(tmp_path)
    assert not list(tmp_path.glob("*.health"))


@pytest.mark.parametrize(
    ("program", "option", "path"),
    [
        ("remind.py", "--health", "nowhere/health"),
        ("missed.py", "--health", "nowhere/health"),
        ("missed.py", "--state", "nowhere/state"),
        ("missed.py", "--state", "log"),
    ],
)
def test_a_file_that_cannot_be_used_ends_a_worker_with_one_line(
    homethrive_committed_url, home, tmp_path, program, option, path
):
    tmp_path.joinpath("log").write_text("begun\n")
    with worker(program, homethrive_committed_url, tmp_path, option, path) as process:
        assert process.wait(timeout=60) == 1
    _, *said = log(tmp_path).splitlines()
    assert len(said) == 1
    assert path in said[0]


@pytest.mark.parametrize(
    "state",
    [
        "",
        "{",
        "{}",
        "[]",
        "5",
        "null",
        '{"since": 5, "until": null, "after": null}',
        '{"since": "2026-03-01T12:00", "until": null, "after": null}',
        '{"since": "2026-03-01T12:00Z", "until": "soon", "after": null}',
        '{"since": "2026-03-01T12:00Z", "until": null}',
        '{"since": "2026-03-02T12:00Z", "until": "2026-03-01T12:00Z", "after": null}',
        '{"since": "2026-03-01T12:00Z", "until": null, "after": "elsewhere"}',
        '{"since": "2026-03-01T12:00Z", "until": null, "after": 5}',
    ],
)
def test_a_state_of_another_shape_ends_a_worker_with_one_line(
    homethrive_committed_url, tmp_path, state
):
    tmp_path.joinpath("missed.json").write_text(state)
    with worker("missed.py", homethrive_committed_url, tmp_path) as process:
        assert process.wait(timeout=60) == 1
    (said,) = log(tmp_path).splitlines()
    assert "ERROR missed.json holds something else: " in said
    assert "indices" not in said
    assert said.endswith("; delete it: the last day is then read anew")
    assert tmp_path.joinpath("missed.json").read_text() == state


@pytest.mark.parametrize(
    ("program", "option", "text"),
    [
        ("remind.py", "--ahead", "nan"),
        ("remind.py", "--ahead", "1e12"),
        ("remind.py", "--late", "-5"),
        ("remind.py", "--every", "-1"),
        ("missed.py", "--grace", "1e15"),
        ("missed.py", "--grace", "soon"),
        ("missed.py", "--every", "inf"),
    ],
)
def test_a_time_that_is_none_is_refused_by_its_option(tmp_path, program, option, text):
    with worker(program, "", tmp_path, option, text) as process:
        assert process.wait(timeout=60) == 2
    assert f"error: argument {option}: " in log(tmp_path)
    assert text in log(tmp_path)


@pytest.mark.parametrize("program", ["remind.py", "missed.py"])
def test_a_worker_without_a_server_tries_again_and_is_not_healthy(tmp_path, program):
    with worker(program, "postgresql://nobody@127.0.0.1:1/nowhere", tmp_path) as process:
        wait_until(lambda: "trying again in 2 s" in log(tmp_path))
        assert end(process) == (0, "")
    assert "DATABASE_UNAVAILABLE: connection to server" in log(tmp_path)
    assert not list(tmp_path.glob("*.health"))


@pytest.mark.parametrize("module", ["remind", "missed"])
def test_a_signal_at_any_moment_ends_the_wait(tmp_path, module):
    program = SIGNALLED_AT_EACH_LINE.format(module=module)
    with worker(program, "postgresql://nobody@127.0.0.1:1/nowhere", tmp_path) as process:
        assert process.wait(timeout=60) == 0
