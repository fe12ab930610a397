"""The worker: every good event recorded once, every bad one given back with its reason."""

import io
import json
from datetime import timedelta
from uuid import uuid4

import pytest

from homethrive_db.doses.recording import MAX_LINE_BYTES, record_doses
from homethrive_db.doses.rejects import Rejection
from tests.events import DUE, event, lines


@pytest.fixture
def household(homethrive_factory):
    """Make a user with a schedule, and somebody else's schedule."""
    profile = homethrive_factory.own_profile()
    return (
        profile.user_id,
        homethrive_factory.schedule(homethrive_factory.medication(profile)),
        homethrive_factory.schedule(),
    )


def run(repositories, data, **options):
    rejections = []
    summary = record_doses(io.BytesIO(data), repositories.doses_taken, rejections.append, **options)
    return summary, rejections


def test_every_good_event_is_recorded_once(homethrive_repositories, household):
    user_id, schedule, _ = household
    data = lines(*(event(schedule, user_id, number) for number in range(25)))
    first, _ = run(homethrive_repositories, data, batch_size=10)
    assert (first.lines, first.recorded, first.already_recorded) == (25, 25, 0)
    second, _ = run(homethrive_repositories, data, batch_size=10)
    assert (second.lines, second.recorded, second.already_recorded) == (25, 0, 25)
    assert second.bytes == len(data)


def test_progress_is_told_after_each_batch(homethrive_repositories, household):
    user_id, schedule, _ = household
    told = []
    run(
        homethrive_repositories,
        lines(*(event(schedule, user_id, number) for number in range(25))),
        batch_size=10,
        on_batch=lambda summary: told.append((summary.lines, summary.recorded)),
    )
    assert told == [(10, 10), (20, 20), (25, 25)]


def test_bad_events_are_given_back_by_line_and_spoil_no_other(
    homethrive_repositories, homethrive_factory, household
):
    user_id, schedule, other = household
    ended = homethrive_factory.medication(homethrive_factory.own_profile())
    late = homethrive_factory.schedule(ended)
    owner = homethrive_repositories.care_recipients.find_by_id
    ended_by = homethrive_factory.user_of(ended.id)
    assert owner(ended_by, ended.recipient_id)
    homethrive_repositories.medications.set_inactive(ended_by, ended.id, DUE - timedelta(days=1))
    data = lines(
        event(schedule, user_id, 1),
        event(schedule, user_id, 2, schedule_id=str(uuid4())),
        event(other, user_id, 3),
        event(schedule, user_id, 4, schedule_id="6f9619ff"),
        event(schedule, user_id, 5, taken_at="2025-03-01T12:30:00"),
        event(schedule, user_id, 6, scheduled_for="2025-03-01T12:30:00.000001Z"),
        event(schedule, user_id, 7, scheduled_for="soon"),
        event(schedule, user_id, 8, taken_at=5),
        {"user_id": user_id},
        "{not json",
        "[1]",
        '{"user_id": "a", "user_id": "b"}',
        '{"user_id": NaN}',
        "[" * 50_000,
        event(late, ended_by, 9),
        event(schedule, "", 10),
        event(schedule, user_id, 11, unknown="ignored"),
    )
    summary, rejections = run(homethrive_repositories, data)
    assert (summary.recorded, summary.rejected) == (2, 15)
    assert [(one.line, one.reason.split(":")[0]) for one in rejections] == [
        (2, "schedule_id"),
        (3, "schedule_id"),
        (4, "schedule_id"),
        (5, "taken_at"),
        (6, "scheduled_for"),
        (7, "scheduled_for"),
        (8, "taken_at"),
        (9, "schedule_id"),
        (10, "text"),
        (11, "text"),
        (12, "text"),
        (13, "text"),
        (14, "text"),
        (15, "scheduled_for"),
        (16, "user_id"),
    ]


def test_what_is_absent_and_what_is_not_theirs_have_one_reason(homethrive_repositories, household):
    user_id, schedule, other = household
    _, rejections = run(
        homethrive_repositories,
        lines(event(other, user_id), event(schedule, user_id, schedule_id=str(uuid4()))),
    )
    assert rejections[0].reason == rejections[1].reason


def test_rejected_events_are_recorded_once_mended(homethrive_repositories, household):
    user_id, schedule, _ = household
    _, rejections = run(
        homethrive_repositories, lines(event(schedule, user_id, taken_at="2025-03-01T12:40:00"))
    )
    written = json.loads(rejections[0].to_json())
    assert list(written)[-2:] == ["line", "reason"]
    again, _ = run(homethrive_repositories, lines(written))
    assert again.rejected == 1
    mended, _ = run(homethrive_repositories, lines({**written, "taken_at": DUE.isoformat()}))
    assert (mended.recorded, mended.rejected) == (1, 0)


def test_a_line_that_is_no_event_keeps_its_text():
    rejection = Rejection(7, "text: not JSON", {"text": "{half", "line": 3, "reason": "old"})
    assert json.loads(rejection.to_json()) == {
        "text": "{half",
        "line": 7,
        "reason": "text: not JSON",
    }


def test_odd_bytes_and_blank_lines(homethrive_repositories, household):
    """A byte order mark and Windows line ends are let pass, bytes that are no UTF-8 are not."""
    user_id, schedule, _ = household
    good = json.dumps(event(schedule, user_id)).encode()
    data = b"\xef\xbb\xbf" + good + b"\r\n\r\n  \n" + b'{"user_id": "\xff"}\n' + good
    summary, rejections = run(homethrive_repositories, data)
    assert (summary.lines, summary.recorded, summary.already_recorded) == (5, 1, 1)
    assert [(one.line, one.reason) for one in rejections] == [(4, "text: not UTF-8")]


def test_a_line_without_an_end_is_rejected_unread(homethrive_repositories, household):
    user_id, schedule, _ = household
    good = lines(event(schedule, user_id))
    data = b"x" * (3 * MAX_LINE_BYTES) + b"\n" + good + b"y" * (2 * MAX_LINE_BYTES)
    summary, rejections = run(homethrive_repositories, data)
    assert (summary.lines, summary.recorded) == (3, 1)
    assert [one.line for one in rejections] == [1, 3]
    assert summary.bytes == len(data)


def test_an_empty_stream_is_no_error(homethrive_repositories):
    summary, rejections = run(homethrive_repositories, b"")
    assert (summary.lines, rejections) == (0, [])
