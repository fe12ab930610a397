"""The demo: the whole of it on an embedded server, again and again, and cut short."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.migrations import NAMES
from tests.process import PROGRAM, run_command, unmeasured


def said(output):
    """Leave the durations, and the id that the database made, out of what the demo says."""
    return re.sub(r" +\d+\.\d+ s|[\da-f-]{36} --from", "…", output)


def test_the_demo_shows_the_whole_of_it_twice_the_same(fresh_home):
    first, second = run_command("demo"), run_command("demo")
    for shown in (first, second):
        assert shown.returncode == 0
        assert shown.stderr == ""
    assert said(first.stdout) == said(second.stdout)
    for part in (
        *(f"applied {name}" for name in NAMES),
        "10 people, 9 medications, 12 schedules",
        "215 recorded     0 already recorded   5 rejected",
        "0 recorded   215 already recorded   5 rejected",
        "schedule_id: no such schedule, or none that this user may reach",
        "taken_at: a datetime with a time zone expected, a naive one came",
        "schedule_id: a UUID expected",
        "missed",
    ):
        assert part in first.stdout
    usual = re.sub(r"/\S*(?=/homethrive-db/demo)", "/home/somebody/.local/share", first.stdout)
    assert max(map(len, usual.splitlines())) <= 100


def test_the_command_it_prints_opens_its_very_database(home):
    shown = run_command("demo")
    url = re.search(r"DATABASE_URL=(\S+) homethrive-db psql", shown.stdout)[1]
    counted = run_command("psql", "-Atc", "SELECT count(*) FROM dose_taken", url=url)
    assert counted.stdout == "215\n"


def test_the_report_it_prints_shows_the_doses_that_it_recorded(home):
    shown = run_command("demo")
    command = re.search(r"DATABASE_URL=\S+ homethrive-db report \\\n.*", shown.stdout)[0]
    told = subprocess.run(
        ["sh", "-c", command.replace("homethrive-db report", f"{' '.join(PROGRAM)} report")],
        capture_output=True,
        text=True,
        check=True,
    )
    title, *_, total = told.stdout.splitlines()
    assert "Danielle Johnson, 3 March 2025 to 30 March 2025" in title
    assert total.split()[:4] == ["All", "medications", "116", "106"]


def test_a_second_demo_at_the_same_time_takes_a_folder_of_its_own(home):
    """A database that somebody uses is never touched."""
    assert run_command("demo").returncode == 0
    url = f"embedded://{home}/demo"
    with subprocess.Popen(
        [*PROGRAM, "psql", "-Atc", "SELECT 'open'", "-f", "-"],
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as user:
        assert user.stdout.readline() == b"open\n"
        assert f"DATABASE_URL={url}-2 " in run_command("demo").stdout
        left, _ = user.communicate(b"SELECT count(*) FROM dose_taken;\n")
    assert left == b"215\n"


def test_demos_that_start_at_once_do_not_meet(fresh_home):
    started = [
        subprocess.Popen([*PROGRAM, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in started]
    assert [(errors, status) for _, errors, status in ended] == [(b"", 0)] * 3
    folders = {re.search(rb"PostgreSQL runs in (\S+)", output)[1] for output, _, _ in ended}
    assert {Path(os.fsdecode(folder)).name for folder in folders} == {"demo", "demo-2", "demo-3"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_cut_short_leaves_no_server(fresh_home, number):
    with subprocess.Popen(
        [*PROGRAM, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured(),
    ) as process:
        while "Migrations" not in process.stdout.readline():
            pass
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert errors in {"", "homethrive-db: interrupted\n"}
    assert process.returncode in {0, 130}
    assert not (fresh_home / "demo/postmaster.pid").exists()
    assert run_command("demo").returncode == 0


@pytest.fixture
def in_its_own_group(fresh_home):
    """Run a demo as a terminal does: what is typed there reaches all processes of its group."""
    with subprocess.Popen(
        [*PROGRAM, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=unmeasured(),
        start_new_session=True,
    ) as process:
        yield process


def test_ctrl_c_while_the_server_starts_leaves_none(fresh_home, in_its_own_group):
    """From its first moment on: a server that no process is listed for would never stop."""
    while not (fresh_home / "demo/postmaster.pid").exists():
        assert in_its_own_group.poll() is None
    os.killpg(in_its_own_group.pid, signal.SIGINT)
    _, errors = in_its_own_group.communicate(timeout=120)
    assert (in_its_own_group.returncode, errors) == (130, "homethrive-db: interrupted\n")
    assert not (fresh_home / "demo/postmaster.pid").exists()
    assert run_command("demo").returncode == 0


def test_ctrl_c_while_the_server_stops_does_not_keep_it(fresh_home, in_its_own_group):
    while "homethrive-db psql" not in in_its_own_group.stdout.readline():
        assert in_its_own_group.poll() is None
    for _ in range(3):
        os.killpg(in_its_own_group.pid, signal.SIGINT)
    _, errors = in_its_own_group.communicate(timeout=120)
    assert (in_its_own_group.returncode, errors) in [(0, ""), (130, "homethrive-db: interrupted\n")]
    assert not (fresh_home / "demo/postmaster.pid").exists()


def test_a_demo_that_was_killed_does_not_spoil_the_next(fresh_home):
    with subprocess.Popen([*PROGRAM, "demo"], stdout=subprocess.PIPE, text=True) as process:
        while "Migrations" not in process.stdout.readline():
            pass
        process.kill()
    assert (fresh_home / "demo/postmaster.pid").exists()
    assert run_command("demo").returncode == 0
    assert not (fresh_home / "demo/postmaster.pid").exists()
