"""``homethrive-db record`` as a process: its files, its summary, and its being cut short."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager

import psycopg2
import pytest

from tests.events import DUE, event, lines
from tests.process import unmeasured


class Command:
    """Runs ``homethrive-db record`` as a process."""

    def __init__(self, url, folder):
        self.folder = folder
        self.environment = {**os.environ, "DATABASE_URL": url}
        self.arguments = [sys.executable, "-m", "homethrive_db.cli", "record"]

    def run(self, *arguments, **options):
        return subprocess.run(
            [*self.arguments, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
            **options,
        )

    def start(self, *arguments):
        """Start what is about to be cut short."""
        return subprocess.Popen(
            [*self.arguments, *arguments],
            cwd=self.folder,
            env={**unmeasured(), "DATABASE_URL": self.environment["DATABASE_URL"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def command(homethrive_committed_url, tmp_path):
    return Command(homethrive_committed_url, tmp_path)


@pytest.fixture
def committed(homethrive_committed_factory):
    """Make a user with a schedule that other processes can see."""
    profile = homethrive_committed_factory.own_profile()
    medication = homethrive_committed_factory.medication(profile)
    return profile.user_id, homethrive_committed_factory.schedule(medication)


def test_the_command_records_rejects_and_can_be_fed_its_rejects(command, committed, tmp_path):
    user_id, schedule = committed
    file = tmp_path / "events.ndjson"
    rejected = tmp_path / "events.rejected.ndjson"
    file.write_bytes(lines(event(schedule, user_id), event(schedule, user_id, 1, taken_at="?")))
    done = command.run(file)
    assert done.returncode == 1
    assert f"1 rejected: {rejected}" in done.stdout.decode()
    mended = rejected.read_text().replace('"?"', f'"{DUE.isoformat()}"')
    (tmp_path / "mended.ndjson").write_text(mended)
    assert command.run("mended.ndjson").returncode == 0
    file.write_bytes(lines(event(schedule, user_id), event(schedule, user_id, 1)))
    again = command.run(file)
    assert again.returncode == 0
    assert "2 already recorded" in again.stdout.decode()
    assert f"left from before: {rejected}" in again.stdout.decode()
    assert rejected.exists()


def test_rejects_that_were_mended_outlive_the_next_run(command, committed, tmp_path):
    """Run, mend the rejects, and run again what is in the shell's history."""
    user_id, schedule = committed
    rejected, kept = tmp_path / "me.rejected.ndjson", tmp_path / "me.rejected.1.ndjson"
    (tmp_path / "me.ndjson").write_bytes(
        lines(*(event(schedule, user_id, number, taken_at="?") for number in range(2)))
    )
    assert command.run("me.ndjson").returncode == 1
    mended = rejected.read_text().replace('"?"', f'"{DUE.isoformat()}"')
    rejected.write_text(mended)
    again = command.run("me.ndjson")
    assert again.returncode == 1
    assert "what was there is kept: me.rejected.1.ndjson\n" in again.stdout.decode()
    assert kept.read_text() == mended
    for _ in range(2):  # as a job does every night
        assert b"kept" not in command.run("me.ndjson").stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "me.ndjson",
        "me.rejected.1.ndjson",
        "me.rejected.ndjson",
    ]
    assert b"2 recorded" in command.run(kept.name).stdout


def test_standard_output_takes_no_rejects(command, tmp_path):
    (tmp_path / "events.ndjson").write_bytes(b"x\n")
    refused = command.run("events.ndjson", "--rejects", "-")
    assert refused.returncode == 2
    assert b"Invalid value for '--rejects': a file expected" in refused.stderr
    assert not (tmp_path / "-").exists()


def test_the_command_reads_standard_input(command, committed, tmp_path):
    user_id, schedule = committed
    done = command.run("-", input=lines(event(schedule, user_id), "x"))
    assert done.returncode == 1
    assert b"1 recorded" in done.stdout
    assert json.loads((tmp_path / "rejected.ndjson").read_text())["line"] == 2


HINT = b"           one JSON object a line, in UTF-8, expected\n"


@pytest.mark.parametrize("form", ["utf-16", "array", "long array", "an object"])
def test_a_file_of_another_form_is_told_once_what_is_expected(command, committed, tmp_path, form):
    user_id, schedule = committed
    events = [event(schedule, user_id, number) for number in range(3)]
    written = {
        "utf-16": lines(*events).decode().encode("utf-16"),
        "array": json.dumps(events, indent=1).encode(),
        "long array": json.dumps(events * 1_000).encode(),
        "an object": lines({**events[0], "taken_at": "?"}),
    }
    (tmp_path / "events.json").write_bytes(written[form])
    done = command.run("events.json")
    assert done.returncode == 1
    assert done.stdout.count(HINT) == (form != "an object")


def test_a_full_disk_behind_standard_output_is_one_line(command, tmp_path):
    """Also where Python holds back what it prints, which it tries again at its end."""
    (tmp_path / "events.ndjson").write_bytes(b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*command.arguments, "events.ndjson"],
            cwd=tmp_path,
            env={**command.environment, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b"homethrive-db: No space left on device\n"
    assert done.returncode == 2


def test_the_rejects_never_replace_the_input(command, tmp_path):
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"x\n")
    done = command.run(file, "--rejects", file)
    assert done.returncode == 2
    assert b"cannot go to the input itself" in done.stderr
    assert file.read_bytes() == b"x\n"


def test_rejects_fed_by_standard_input_are_not_removed_by_their_own_run(
    command, committed, tmp_path
):
    user_id, schedule = committed
    file = tmp_path / "rejected.ndjson"
    file.write_bytes(lines(event(schedule, user_id), "x"))
    before = file.read_bytes()
    with file.open("rb") as stream:
        refused = command.run("-", stdin=stream)
    assert refused.returncode == 2
    assert b"the rejects cannot go to the input itself: rejected.ndjson" in refused.stderr
    assert file.read_bytes() == before
    with file.open("rb") as stream:
        assert command.run("-", "--rejects", "again.ndjson", stdin=stream).returncode == 1


def test_a_run_that_cannot_connect_leaves_earlier_rejects_alone(command, tmp_path):
    (tmp_path / "events.ndjson").write_bytes(b"x\n")
    (tmp_path / "events.rejected.ndjson").write_bytes(b"kept\n")
    command.environment["DATABASE_URL"] = "postgresql://localhost:1/nothing"
    assert command.run("events.ndjson").returncode == 2
    assert (tmp_path / "events.rejected.ndjson").read_bytes() == b"kept\n"


def feed_until_recorded(process, db, data):
    """Feed events until the database has some, and so the process is in the midst of its work."""
    while not db.execute_sql("SELECT count(*) FROM dose_taken").fetchone()[0]:
        process.stdin.write(data)


@pytest.mark.parametrize("ending", ["kill", "terminate", "interrupt"])
def test_a_run_that_is_cut_short_is_finished_by_running_it_again(
    command, committed, homethrive_committed_db, tmp_path, ending
):
    """Killed at any point and started again on the same events, it ends with the same rows."""
    user_id, schedule = committed
    events = lines(*(event(schedule, user_id, number) for number in range(6_000)))
    process = command.start("-")
    with homethrive_committed_db.connection_context():
        feed_until_recorded(process, homethrive_committed_db, events)
        if ending == "kill":
            process.kill()
        else:
            process.send_signal({"terminate": 15, "interrupt": 2}[ending])
        _, errors = process.communicate(timeout=120)
        if ending != "kill":
            assert process.returncode == 130
            assert b"Run the same command again" in errors
            assert b"Traceback" not in errors
        assert command.run("-", input=events).returncode == 0
        rows = homethrive_committed_db.execute_sql("SELECT count(*) FROM dose_taken").fetchone()
    assert rows == (6_000,)


def test_ctrl_c_says_where_the_rejects_of_before_are(
    command, committed, homethrive_committed_db, tmp_path
):
    user_id, schedule = committed
    (tmp_path / "rejected.ndjson").write_text("notes")
    process = command.start("-")
    process.stdin.write(b"x\n")
    with homethrive_committed_db.connection_context():
        events = lines(*(event(schedule, user_id, number) for number in range(6_000)))
        feed_until_recorded(process, homethrive_committed_db, events)
    process.send_signal(2)
    _, errors = process.communicate(timeout=120)
    assert re.search(
        rb"homethrive-db: interrupted\. What was in rejected\.ndjson is now in "
        rb"rejected\.1\.ndjson\. (No line|Lines .*)\. Run the same command again: .* twice\.\n",
        errors,
    )
    assert (tmp_path / "rejected.1.ndjson").read_text() == "notes"
    assert json.loads((tmp_path / "rejected.ndjson").read_text())["line"] == 1


@contextmanager
def closed(name, server_url):
    """Let nobody connect to the database *name* for the block."""
    connection = psycopg2.connect(server_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        yield
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    connection.close()


def test_a_database_that_goes_away_midway_is_told_in_one_line(
    command, committed, homethrive_committed_db, homethrive_server_url
):
    """With the last line that is settled; the same command then ends with the same rows."""
    user_id, schedule = committed
    events = [lines(event(schedule, user_id, number)) for number in range(20_000)]
    process = command.start("-")
    process.stdin.write(b"".join(events[:15_000]))
    process.stdin.flush()
    with homethrive_committed_db.connection_context():

        def sql(text):
            return homethrive_committed_db.execute_sql(text).fetchone()[0]

        while sql("SELECT count(*) FROM dose_taken") < 10_000:
            assert process.poll() is None
        with closed(sql("SELECT current_database()"), homethrive_server_url):
            sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            _, errors = process.communicate(b"".join(events[15_000:]))
        assert process.returncode == 2
        assert re.fullmatch(
            rb"([\d,]+ lines\n)*"  # of its progress, where it takes long
            rb"homethrive-db: .*\. Lines 1 to (5|10|15),000 are settled\. "
            rb"Run the same command again: nothing is recorded twice\.\n",
            errors,
        )
        assert command.run("-", input=b"".join(events)).returncode == 0
        assert sql("SELECT count(*) FROM dose_taken") == 20_000
