"""``homethrive-db report``: the table, and the calendar that stands alone."""

from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from uuid import uuid4

import pytest

from homethrive_db import Repositories, encode_dose_id
from tests.process import run_command

NAME = 'Ana "A" <Ortiz> & sons'
REASON = "told to <fast>"
FIRST = datetime(2025, 6, 2, 13, tzinfo=UTC)  # 08:00 in Chicago


class Page(HTMLParser):
    """Collects what a page shows and loads; fails where its tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.titles, self.signs, self.loads = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in {"meta"}:
            self.open.append(tag)
        if tag in {"script", "link", "img", "iframe"} or "src" in attributes:
            self.loads.append(tag)
        self.titles.append(attributes.get("title"))
        self.signs.append(attributes.get("aria-label"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def recipient(homethrive_committed_db, homethrive_committed_factory):
    """Give somebody in Chicago who took two of three doses, and skipped one."""
    factory = homethrive_committed_factory
    profile = factory.own_profile(timezone="America/Chicago", display_name=NAME)
    schedule = factory.schedule(
        factory.medication(profile, name="Metformin <500 mg>"), time_of_day="08:00"
    )
    doses = Repositories(homethrive_committed_db).doses
    for day in (0, 1):
        due = FIRST + timedelta(days=day)
        doses.record(profile.user_id, encode_dose_id(schedule.id, due), taken_at=due)
    skipped = encode_dose_id(schedule.id, FIRST + timedelta(days=3))
    doses.skip(profile.user_id, skipped, reason=REASON)
    return profile


def report(url, *arguments):
    return run_command(
        "report", *map(str, arguments), "--from", "2025-06-02", "--to", "2025-06-05", url=url
    )


def test_the_table_shows_each_medication_and_all(homethrive_committed_url, recipient):
    done = report(homethrive_committed_url, recipient.id)
    assert (done.returncode, done.stderr) == (0, "")
    title, _, heading, _, medication, total = done.stdout.splitlines()
    assert title.strip() == f"{NAME}, 2 June 2025 to 5 June 2025 (America/Chicago)"
    assert heading.split() == ["Medication", "Due", "Taken", "Late", "Missed", "Skipped", "Rate"]
    assert medication.split() == ["Metformin", "<500", "mg>", *["4", "2", "0", "1", "1", "66", "%"]]
    assert total.split() == ["All", "medications", *["4", "2", "0", "1", "1", "66", "%"]]
    assert max(map(len, done.stdout.splitlines())) <= 90


def test_the_calendar_stands_alone_and_shows_each_dose(
    homethrive_committed_url, recipient, tmp_path
):
    path = tmp_path / "calendar.html"
    done = report(homethrive_committed_url, recipient.id, "--html", path)
    assert f"Wrote {path}" in done.stdout
    assert path.stat().st_mode & 0o077 == 0
    page = Page(path.read_text(encoding="utf-8"))
    assert page.loads == []
    assert NAME in "".join(page.text)
    assert "08:00 Metformin <500 mg>: missed" in page.titles
    assert f"08:00 Metformin <500 mg>: skipped ({REASON})" in page.titles
    assert page.signs.count("taken") == 2 + 1  # and once in the legend
    assert "66 %" in page.text
    assert "of what was due and not skipped was taken" in page.text


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("-", "a file expected; standard output has the table"),
        ("missing/calendar.html", "no file can be made in missing"),
    ],
)
def test_a_place_where_no_calendar_can_be_is_refused_before_anything_is_read(tmp_path, place, says):
    failed = run_command(
        "report", str(uuid4()), "--html", place,
        url="postgresql://nobody@localhost:1/nothing", folder=tmp_path,
    )  # fmt: skip
    assert (failed.returncode, failed.stdout) == (2, "")
    assert f"Invalid value for '--html': {says}" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_calendar_replaces_one_of_before(homethrive_committed_url, recipient, tmp_path):
    path = tmp_path / "calendar.html"
    assert report(homethrive_committed_url, recipient.id, "--html", path).returncode == 0
    first = path.read_text(encoding="utf-8")
    path.write_text(first.replace("Metformin", "Something else"), encoding="utf-8")
    assert report(homethrive_committed_url, recipient.id, "--html", path).returncode == 0
    assert path.read_text(encoding="utf-8") == first


def test_an_empty_file_takes_a_calendar(homethrive_committed_url, recipient, tmp_path):
    path = tmp_path / "calendar.html"
    path.touch()
    assert report(homethrive_committed_url, recipient.id, "--html", path).returncode == 0
    assert path.stat().st_size > 0


@pytest.mark.parametrize("held", [b"print(1)\n", b"<!doctype html>\n<p>mine", b"\xff\x00" * 500])
def test_a_file_that_is_no_calendar_is_not_replaced(tmp_path, held):
    path = tmp_path / "prog.py"
    path.write_bytes(held)
    failed = run_command(
        "report", str(uuid4()), "--html", "prog.py",
        url="postgresql://nobody@localhost:1/nothing", folder=tmp_path,
    )  # fmt: skip
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1] == (
        "Error: Invalid value for '--html': prog.py is there already, and is no calendar of ours"
    )
    assert path.read_bytes() == held


def test_by_default_it_shows_four_weeks_up_to_today(homethrive_committed_url, recipient):
    done = run_command("report", str(recipient.id), url=homethrive_committed_url)
    today = datetime.now(UTC).astimezone().date()
    days = {today + timedelta(days=number) for number in (-1, 0, 1)}
    assert any(
        f"{day - timedelta(days=27):%-d %B %Y} to {day:%-d %B %Y}" in done.stdout for day in days
    )


def test_doses_at_times_of_before_are_listed(
    homethrive_committed_url, homethrive_committed_db, recipient
):
    repositories = Repositories(homethrive_committed_db)
    (schedule,) = repositories.schedules.list_by_recipient(recipient.user_id, recipient.id)
    repositories.schedules.update(
        recipient.user_id, schedule.id, time_of_day="10:00", start_date=date(2025, 1, 1)
    )
    done = report(homethrive_committed_url, recipient.id)
    assert "schedules have no dose: 2" in done.stdout
    assert "Mon 2 Jun 08:00" in done.stdout


@pytest.mark.parametrize(
    ("argument", "says"),
    [(uuid4(), "no such care recipient"), ("nobody", "recipient: a UUID expected")],
)
def test_who_is_not_there_is_one_clear_line(homethrive_committed_url, argument, says):
    failed = report(homethrive_committed_url, argument)
    assert failed.returncode == 2
    assert says in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_a_stored_zone_that_is_none_is_told_with_where_to_look(
    homethrive_committed_url, homethrive_committed_db, recipient
):
    with homethrive_committed_db.atomic():
        homethrive_committed_db.execute_sql("UPDATE care_recipients SET timezone = 'Mars/Base'")
    failed = report(homethrive_committed_url, recipient.id)
    assert failed.returncode == 2
    assert failed.stderr == (
        "homethrive-db: the recipient's stored zone, 'Mars/Base', is no IANA zone: "
        "homethrive-db tz-check lists the rows that have it\n"
    )


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (("--from", "0001-01-01", "--to", "9999-12-31"), "--to: a date up to 9999-12-30 expected"),
        (("--from", "0001-01-01"), "--from: a date from 0001-01-02 on expected"),
        (("--to", "0001-01-02"), "--from: a date from 0001-01-02 on expected; 27 days before --to"),
    ],
)
def test_a_stretch_beyond_the_calendar_is_refused(homethrive_committed_url, recipient, dates, says):
    failed = run_command("report", str(recipient.id), *dates, url=homethrive_committed_url)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert says in failed.stderr


def test_a_stretch_that_ends_before_it_starts_is_refused(homethrive_committed_url, recipient):
    failed = run_command(
        "report", str(recipient.id), "--from", "2025-06-05", "--to", "2025-06-01",
        url=homethrive_committed_url,
    )  # fmt: skip
    assert failed.returncode == 2
    assert failed.stderr == "homethrive-db: --from: it must not be after --to\n"


def test_a_grace_of_more_than_a_year_is_refused(homethrive_committed_url, recipient):
    failed = report(homethrive_committed_url, recipient.id, "--grace", "9" * 20)
    assert failed.returncode == 2
    assert "'--grace'" in failed.stderr
    assert "Traceback" not in failed.stderr
