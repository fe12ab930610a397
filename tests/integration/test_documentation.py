"""What the documentation shows works as it stands there."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import homethrive_db
from tests.process import run_command

ROOT = Path(__file__).parents[2]
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


def run_script(arguments, url, events):
    return subprocess.run(
        [sys.executable, *arguments],
        input=events,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
    )


WORKER, CALLS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readmes_worker_records_doses(homethrive_committed_url, events):
    done = run_script(["-c", WORKER], homethrive_committed_url, events)
    assert done.stdout == "taken at 12:30 UTC by user_1\n" * 2
    assert done.stderr == "SCHEDULE_NOT_FOUND: no such schedule\n"


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
    example = ROOT / "examples/record_doses.py"
    some = json.dumps({"user_id": "user_1", "schedule_id": "x", "taken_at": DUE})
    bad = f"{{bad\n{{}}\n{some}\n"
    done = run_script([example], homethrive_committed_url, bad + events)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "recorded",
        "already_recorded",
        "not_found",
    ]
    first, *others = done.stderr.splitlines()
    assert first.startswith("line 1 is refused: Expecting property name")
    assert others == [
        "line 2 is refused: user_id, schedule_id, scheduled_for, taken_at missing",
        "line 3 is refused: scheduled_for missing",
    ]


def test_the_example_ends_with_one_line_where_it_has_no_database():
    done = subprocess.run(
        [sys.executable, ROOT / "examples/record_doses.py"],
        env={**os.environ, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("CONFIGURATION_ERROR: ")


def test_the_readmes_transcript_is_what_the_demo_prints(home):
    """But for the folder and the durations."""

    def plain(text):
        text = re.sub(r" +\d+\.\d+ s", " … s", text)
        return re.sub(r"\S*/homethrive-db/demo(-\d)?\b", "…/demo", text).strip("\n")

    (transcript,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    assert plain(run_command("demo").stdout) == plain(transcript)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
