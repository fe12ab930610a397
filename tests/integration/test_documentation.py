"""What the documentation shows works as it stands there."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import homethrive_db
from tests.process import run_command, unmeasured

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/record_doses.py"
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "CONTRIBUTING.md"]
DUE = datetime(2025, 3, 9, 12, 30, tzinfo=UTC).isoformat()


@pytest.fixture
def events(homethrive_committed_factory):
    """Write a good event, the same again, and one of an unknown schedule."""
    factory = homethrive_committed_factory
    profile = factory.own_profile(factory.user("user_1"))
    schedule = factory.schedule(factory.medication(profile))
    good = {
        "line": 7,  # further fields are ignored
        "user_id": "user_1",
        "schedule_id": str(schedule.id),
        "scheduled_for": DUE,
        "taken_at": DUE,
    }
    absent = {**good, "schedule_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}
    return "".join(json.dumps(one) + "\n" for one in (good, good, absent))


def test_every_public_name_is_in_the_documentation():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    words = set(re.findall(r"\w+", text))
    assert [name for name in homethrive_db.__all__ if name not in words] == []


GARBAGE = ["garbage", "\udcff", "null", "[]", "[" * 100_000, "{}"]
"""Lines that hold no event; the second is no UTF-8."""


def run_script(arguments, url, events, status=0):
    """Run a program on events, where Python reads standard input as strictly as it can."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=events,
        env={**os.environ, "DATABASE_URL": url, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


WORKER, CALLS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readmes_worker_records_doses(homethrive_committed_url, events):
    done = run_script(["-c", WORKER], homethrive_committed_url, events)
    assert done.stdout == "taken at 12:30 UTC by user_1\n" * 2
    assert done.stderr == "line 3: NotFoundError: no such schedule\n"


def test_the_readmes_worker_goes_on_after_lines_that_are_no_events(
    homethrive_committed_url, events
):
    text = json.loads(events.splitlines()[0])
    odd = [json.dumps({**text, key: 5}) for key in ("schedule_id", "scheduled_for", "user_id")]
    bad = [*GARBAGE, *odd]
    done = run_script(["-c", WORKER], homethrive_committed_url, "\n".join(bad) + "\n" + events)
    assert done.stdout == "taken at 12:30 UTC by user_1\n" * 2
    told = done.stderr.splitlines()
    assert [line.split(":")[0] for line in told] == [
        f"line {number}" for number in (*range(1, len(bad) + 1), len(bad) + 3)
    ]


def test_the_readmes_worker_has_fifteen_lines():
    assert len([line for line in WORKER.splitlines() if line.strip()]) == 15


def test_the_readmes_calls_list_a_week_of_doses(homethrive_committed_url):
    done = run_script(["-c", CALLS], homethrive_committed_url, "")
    assert len(done.stdout.splitlines()) in {8, 9, 10}  # of seven days from now, whatever day it is
    assert done.stdout.count("Lisinopril 10 mg scheduled") == len(done.stdout.splitlines())


def blocks(page):
    text = ROOT.joinpath("docs", page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def of_readme(homethrive_committed_url):
    """Give the URL of a database in which the README's calls have been made."""
    run_script(["-c", CALLS], homethrive_committed_url, "")
    return homethrive_committed_url


@pytest.mark.parametrize(
    ("number", "prints"),
    [(0, "Lisinopril 10 mg scheduled"), (1, ""), (2, ""), (3, "Lisinopril 10 mg ")],
    ids=["due", "feed", "reminders", "adherence"],
)
def test_each_block_on_doses_runs_as_it_stands(of_readme, number, prints):
    done = run_script(["-c", blocks("doses.md")[number]], of_readme, "")
    assert prints in done.stdout
    assert done.stderr == ""


def test_no_block_on_doses_is_left_out():
    assert len(blocks("doses.md")) == 4


def test_the_feed_on_the_page_tells_of_what_is_due(
    homethrive_committed_url, homethrive_committed_factory
):
    factory = homethrive_committed_factory
    profile = factory.care_recipient(factory.user(display_name="Ana"), display_name="Bo")
    while profile.id.int % 4:  # until one is in its shard
        profile = factory.care_recipient(factory.user(display_name="Ana"), display_name="Bo")
    due = datetime.now(UTC) - timedelta(minutes=10)
    factory.schedule(
        factory.medication(profile, name="Metformin 500 mg"),
        time_of_day=f"{due:%H:%M}",
        timezone="Etc/UTC",
    )
    done = run_script(["-c", blocks("doses.md")[1]], homethrive_committed_url, "")
    assert (done.stdout, done.stderr) == ("Ana Bo Metformin 500 mg\n", "")


def test_the_blocks_on_connections_run_one_after_the_other(of_readme):
    done = run_script(["-c", "\n".join(blocks("connections.md"))], of_readme, "")
    assert (done.stdout, done.stderr) == ("", "")


def test_the_example_records_in_batches_and_goes_on_after_bad_lines(
    homethrive_committed_url, events
):
    some = json.dumps({"user_id": "user_1", "schedule_id": "x", "taken_at": DUE})
    bad = f"{{bad\n\n{{}}\n{some}\n"
    done = run_script([EXAMPLE], homethrive_committed_url, bad + events, status=1)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "recorded",
        "already_recorded",
        "not_found",
    ]
    first, *others = done.stderr.splitlines()
    assert first.startswith("line 1 is refused: Expecting property name")
    assert others == [
        "line 3 is refused: user_id, schedule_id, scheduled_for, taken_at missing",
        "line 4 is refused: scheduled_for missing",
    ]


def test_the_example_names_each_line_that_holds_no_event(homethrive_committed_url, events):
    (good, *_) = events.splitlines()
    lines = "\n".join([*GARBAGE, " ", good, ""])
    done = run_script([EXAMPLE], homethrive_committed_url, lines, status=1)
    assert done.stdout.startswith("recorded ")
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        f"line {number} is refused" for number in range(1, len(GARBAGE) + 1)
    ]
    assert "line 3 is refused: not a JSON object" in done.stderr


def test_the_example_ends_well_where_all_is_recorded(homethrive_committed_url, events):
    good = "".join(events.splitlines(keepends=True)[:2])
    assert run_script([EXAMPLE], homethrive_committed_url, good).stderr == ""


def test_the_example_ends_with_1_where_a_dose_is_not_recorded(homethrive_committed_url, events):
    (*_, absent) = events.splitlines()
    done = run_script([EXAMPLE], homethrive_committed_url, absent, status=1)
    assert done.stdout.startswith("not_found ")


@contextmanager
def interruptible(arguments, url, folder, **pipes):
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**unmeasured(), "DATABASE_URL": url, "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.PIPE,
        text=True,
        **pipes,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_the_example_says_how_far_it_came_when_it_is_interrupted(
    homethrive_committed_url, events, tmp_path
):
    (good, *_) = events.splitlines(keepends=True)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with interruptible([EXAMPLE], homethrive_committed_url, tmp_path, **pipes) as process:
        process.stdin.write(good * 1_001)
        process.stdin.flush()
        for _ in range(1_000):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        assert process.stderr.read() == (
            "interrupted: 1,000 lines are settled; feed the same again, nothing is recorded twice\n"
        )
    assert process.returncode == 130


(IN_A_PROGRAM,) = re.findall(
    r"```python\n(.*?)```", ROOT.joinpath("docs/worker.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_the_program_with_record_doses_works_as_it_stands(
    homethrive_committed_url, events, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.ndjson").write_text(events)
    done = run_script(["-c", IN_A_PROGRAM], homethrive_committed_url, "")
    rejection, counts = done.stdout.splitlines()
    assert rejection.startswith("Rejection(line=3, ")
    assert counts == "1 1 1"
    assert done.stderr == "lines 1 to 3 are settled\n"


def test_the_program_with_record_doses_says_how_far_it_came_when_it_is_interrupted(
    homethrive_committed_url, events, tmp_path
):
    (good, *_) = events.splitlines(keepends=True)
    os.mkfifo(tmp_path / "events.ndjson")
    with (
        interruptible(["-c", IN_A_PROGRAM], homethrive_committed_url, tmp_path) as process,
        (tmp_path / "events.ndjson").open("w") as pipe,
    ):
        pipe.write(good * 5_001)
        pipe.flush()
        assert process.stderr.readline() == "lines 1 to 5,000 are settled\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        assert process.stderr.read() == (
            "interrupted; feed the same file again: nothing is recorded twice\n"
        )
    assert process.returncode == 130


def test_the_example_ends_with_one_line_where_it_has_no_database():
    done = subprocess.run(
        [sys.executable, EXAMPLE],
        env={**os.environ, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith("CONFIGURATION_ERROR: ")


def test_the_readmes_transcript_is_what_the_demo_prints(home):
    """But for the folder, the durations and an id."""

    def plain(text):
        text = re.sub(r" +\d+\.\d+ s", " … s", text)
        text = re.sub(r"[\da-f-]{36} --from", "… --from", text)
        return re.sub(r"\S*/homethrive-db/demo(-\d)?\b", "…/demo", text).strip("\n")

    (transcript,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    assert plain(run_command("demo").stdout) == plain(transcript)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
