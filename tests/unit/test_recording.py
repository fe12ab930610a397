"""The worker without a database: how it reads, batches, tells its progress, and places rejects."""

import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from homethrive_db import (
    ConfigurationError,
    DoseOutcome,
    OutcomeStatus,
    UnavailableError,
    ValidationError,
)
from homethrive_db.cli.progress import progress
from homethrive_db.doses import recording
from homethrive_db.doses.recording import Summary, record_doses
from homethrive_db.doses.rejects import Rejection, RejectsFile, check_place, rejects_path

GOOD = {
    "user_id": "user_1",
    "schedule_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    "scheduled_for": "2025-03-09T12:30:00Z",
    "taken_at": "2025-03-09T12:41:07Z",
}


class Recorder:
    """Stands in for the repository: records everything, and keeps what it was given."""

    def __init__(self):
        self.batches = []

    def mark_taken_many(self, reports):
        self.batches.append(list(reports))
        return [DoseOutcome(one, OutcomeStatus.RECORDED, None) for one in self.batches[-1]]


def run(*lines, **options):
    recorder, rejections = Recorder(), []
    written = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    data = "".join(f"{one}\n" for one in written).encode()
    summary = record_doses(io.BytesIO(data), recorder, rejections.append, **options)
    return summary, rejections, recorder.batches


def test_a_batch_of_long_lines_ends_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(recording, "MAX_BATCH_BYTES", 1_000)
    summary, rejections, batches = run(*[{**GOOD, "padding": "x" * 200}] * 10)
    assert (summary.lines, summary.recorded, rejections) == (10, 10, [])
    assert [len(batch) for batch in batches] == [3, 3, 3, 1]


@pytest.mark.parametrize(
    "fraction", [".0000001", ".1230001", ",1230000009", ".1234", ".123456", ".000000000000001"]
)
def test_a_key_finer_than_a_millisecond_is_rejected_however_it_is_written(fraction):
    """Beyond microseconds a datetime holds nothing: unchecked, it would be another dose's key."""
    _, rejections, _ = run({**GOOD, "scheduled_for": f"2025-03-09T12:30:00{fraction}Z"})
    assert [one.reason.split(" expected")[0] for one in rejections] == [
        "scheduled_for: whole milliseconds"
    ]


@pytest.mark.parametrize("fraction", ["", ".5", ".123", ".123000", ".123000000"])
def test_zeros_behind_the_milliseconds_do_no_harm(fraction):
    summary, _, _ = run({**GOOD, "scheduled_for": f"2025-03-09T12:30:00{fraction}Z"})
    assert summary.recorded == 1


def test_taken_at_may_be_as_fine_as_clocks_are():
    summary, _, _ = run({**GOOD, "taken_at": "2025-03-09T12:41:07.123456789Z"})
    assert summary.recorded == 1


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_rejects_are_json_even_where_the_input_has_numbers_that_json_has_not(number):
    line = json.dumps(GOOD)[:-1] + f', "dose": {number}}}'
    _, (rejection,), _ = run(line)

    def no_constant(name):
        pytest.fail(f"{name} is no JSON")

    written = json.loads(rejection.to_json(), parse_constant=no_constant)
    assert written["text"] == line


@pytest.mark.parametrize(
    ("stream", "came"),
    [
        (None, "NoneType"),
        ([b"{}"], "list"),
        (b"{}", "bytes"),
        (Path("events.ndjson"), "PosixPath"),
        (io.StringIO("{}"), "one of text"),
        (io.StringIO(), "one of text"),
    ],
)
def test_what_is_no_stream_of_bytes_is_refused(stream, came):
    with pytest.raises(ValidationError) as refused:
        record_doses(stream, Recorder(), print)
    assert refused.value.message == (
        f'stream: a file of bytes expected, like open(path, "rb"); {came} came'
    )
    assert refused.value.details == {"field": "stream"}


@pytest.mark.parametrize(
    ("file", "rejects"),
    [
        ("events.ndjson", "events.rejected.ndjson"),
        ("a/events.rejected.ndjson", "a/events.rejected.rejected.ndjson"),
        ("events.2025-03-01", "events.2025-03-01.rejected.ndjson"),
        ("events.json", "events.json.rejected.ndjson"),
        ("-", "rejected.ndjson"),
    ],
)
def test_no_two_inputs_share_a_name_for_rejects(file, rejects):
    assert rejects_path(Path(file)) == Path(rejects)


def test_rejects_may_take_the_place_of_a_plain_file_and_of_nothing_else(tmp_path):
    source = tmp_path / "events.ndjson"
    source.write_bytes(b"x\n")
    (tmp_path / "old").write_bytes(b"old\n")
    (tmp_path / "same").hardlink_to(source)
    (tmp_path / "link").symlink_to(source)
    os.mkfifo(tmp_path / "pipe")
    with source.open("rb") as stream:
        check_place(tmp_path / "old", stream)
        check_place(tmp_path / "new", stream)
        for name, says in {
            "events.ndjson": "the input itself",
            "same": "the input itself",
            "link": "plain file",
            "pipe": "plain file",
            "none/new": "no folder",
        }.items():
            with pytest.raises(ConfigurationError, match=says):
                check_place(tmp_path / name, stream)
        with pytest.raises(ConfigurationError, match="plain file"):
            check_place(Path(os.devnull), stream)
    assert (tmp_path / "old").read_bytes() == b"old\n"


def test_a_rejects_file_that_appears_meanwhile_is_not_written_over(tmp_path):
    path = tmp_path / "rejected.ndjson"
    with RejectsFile(path) as reject:
        path.write_bytes(b"another run's\n")
        reject(Rejection(1, "text: not JSON", {}))
    assert reject.kept == tmp_path / "rejected.1.ndjson"
    assert reject.kept.read_bytes() == b"another run's\n"


REJECTIONS = [Rejection(number, "text: not JSON", {}) for number in (1, 2, 3)]
WRITTEN = [f"{one.to_json()}\n" for one in REJECTIONS]


def reject_all(path, rejections, error=None):
    """Write rejections, and be cut short by an error if one is given."""
    with suppress(type(error) if error else ()), RejectsFile(path) as reject:
        for one in rejections:
            reject(one)
        if error is not None:
            raise error
    return reject


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["rejected.ndjson", "worker.py", "notes"])
def test_what_was_there_is_kept_under_the_next_free_name(tmp_path, name):
    path = tmp_path / name
    expected = {}
    for number in (1, 2):
        path.write_text(f"notes {number}")
        reject = reject_all(path, REJECTIONS)
        kept = path.with_name(f"{path.stem}.{number}{path.suffix}")
        expected[kept.name] = f"notes {number}"
        assert reject.kept == kept
    assert files(tmp_path) == {**expected, name: "".join(WRITTEN)}


@pytest.mark.parametrize("earlier", ["", WRITTEN[0], WRITTEN[0] + '{"li', "".join(WRITTEN)])
def test_rejects_that_come_again_leave_one_file_however_often_they_are_made(tmp_path, earlier):
    """Those of a run that was cut short, too, be it within a line."""
    path = tmp_path / "rejected.ndjson"
    path.write_text(earlier)
    for _ in range(2):
        assert reject_all(path, REJECTIONS).kept is None
    assert files(tmp_path) == {"rejected.ndjson": "".join(WRITTEN)}


@pytest.mark.parametrize("earlier", ["notes", "".join(WRITTEN)])
def test_a_run_without_rejections_leaves_what_is_there(tmp_path, earlier):
    path = tmp_path / "rejected.ndjson"
    path.write_text(earlier)
    assert reject_all(path, []).kept is None
    assert files(tmp_path) == {"rejected.ndjson": earlier}


def test_fewer_rejections_than_before_keep_the_earlier_ones(tmp_path):
    path = tmp_path / "rejected.ndjson"
    reject_all(path, REJECTIONS)
    reject_all(path, REJECTIONS[:1])
    assert files(tmp_path) == {
        "rejected.ndjson": WRITTEN[0],
        "rejected.1.ndjson": "".join(WRITTEN),
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UnavailableError("away")])
def test_a_run_that_is_cut_short_leaves_the_whole_of_the_same_rejects(tmp_path, error):
    path = tmp_path / "rejected.ndjson"
    reject_all(path, REJECTIONS)
    reject_all(path, REJECTIONS[:2], error)
    assert files(tmp_path) == {"rejected.ndjson": "".join(WRITTEN)}
    assert not hasattr(error, "__notes__")


def test_a_run_that_is_cut_short_says_what_it_kept(tmp_path):
    path = tmp_path / "rejected.ndjson"
    path.write_text("notes")
    error = KeyboardInterrupt()
    reject_all(path, REJECTIONS[:2], error)
    assert files(tmp_path) == {
        "rejected.ndjson": "".join(WRITTEN[:2]),
        "rejected.1.ndjson": "notes",
    }
    assert error.__notes__ == [f"What was in {path} is now in {tmp_path / 'rejected.1.ndjson'}"]


def test_a_file_that_cannot_be_made_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "rejected.ndjson"
    path.write_text("notes")

    def full(*_, **__):
        raise OSError("No space left on device")

    with (
        monkeypatch.context() as patched,
        pytest.raises(OSError, match="No space"),
        RejectsFile(path) as reject,
    ):
        patched.setattr(Path, "open", full)
        reject(REJECTIONS[0])
    assert files(tmp_path) == {"rejected.ndjson": "notes"}


def test_rejects_are_in_their_file_as_soon_as_they_are_made(tmp_path):
    """For a run that is killed outright."""
    path = tmp_path / "rejected.ndjson"
    with RejectsFile(path) as reject:
        reject(REJECTIONS[0])
        assert path.read_text() == WRITTEN[0]


class Terminal(io.StringIO):
    """Stands in for a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def stream(tmp_path):
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"x" * 100)
    with file.open("rb") as opened:
        yield opened


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UnavailableError("away"), OSError("full")])
def test_what_cuts_a_run_short_is_noted_below_the_bar(monkeypatch, stream, error):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(type(error)), progress(stream) as show:
        show(Summary(lines=5_000, bytes=50))
        raise error
    assert error.__notes__ == [
        "Lines 1 to 5,000 are settled. Run the same command again: nothing is recorded twice."
    ]
    assert " 50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_progress_is_a_plain_line_now_and_then_where_no_terminal_is(monkeypatch, stream, capsys):
    now = iter([0.0, 1.0, 2.5, 2.5, 3.0])
    monkeypatch.setattr("homethrive_db.cli.progress.time.monotonic", lambda: next(now))
    with progress(stream) as show:
        for number in (1, 2, 3):
            show(Summary(lines=number * 5_000, bytes=number * 30))
    assert capsys.readouterr().err == "10,000 lines (60%)\n"
