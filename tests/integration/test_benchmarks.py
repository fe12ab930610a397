"""The benchmarks run, and their contenders answer the same."""

import json
import signal
import subprocess
import sys
from inspect import getmembers, ismethod
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from psutil import Process

from benchmarks import bulk, feed, growth, latency, memory, report, upcoming
from benchmarks.__main__ import _others, main
from benchmarks.calls import CALLS, LEFT_OUT
from benchmarks.comparison import OURS
from benchmarks.fill import filled
from homethrive_db import Repositories, create_db
from tests.process import unmeasured
from tests.repositories import by_name

ROOT = Path(__file__).parents[2]


def test_all_contenders_answer_the_same_and_what_they_take_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "ROUNDS", 2)
    small = ["--scale", "tiny", "--rounds", "2", "--repeats", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, small, catch_exceptions=False)
    assert done.exit_code == 0
    assert "all answer the same" in done.output
    assert "left out" not in done.output
    assert "so few doses" in done.output
    figures = json.loads((tmp_path / "measured.json").read_text())
    assert [one["call"] for one in figures["results"]] == [call.name for call in CALLS]
    for one in figures["results"]:
        assert one["medians"].keys() == {OURS, *one["ratios"]}
        assert len(one["ratios"]) == 5
    assert report.table(figures) == (tmp_path / "table.md").read_text()
    for page in ("light", "dark"):
        picture = (tmp_path / f"speed-{page}.svg").read_text()
        assert picture == report.draw(figures, page)
        assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_readmes_show_the_figures_that_were_measured():
    figures = json.loads(report.MEASURED.read_text())
    assert [one["call"] for one in figures["results"]] == [call.name for call in CALLS]
    readme = report.README.read_text()
    assert report.described(readme, figures) == readme
    for page in ("light", "dark"):
        assert (report.IMAGES / f"speed-{page}.svg").read_text() == report.draw(figures, page)


def test_a_contender_that_is_not_installed_is_left_out_and_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(sys.modules, "benchmarks.sqlalchemy_orm", raising=False)
    assert [one.name for one in _others(None)] == ["Peewee", "Django"]
    assert "SQLAlchemy is left out: sqlalchemy is not installed (extra bench)" in (
        capsys.readouterr().out
    )


def test_every_public_method_is_measured_or_left_out_for_a_reason():
    repositories = Repositories(create_db("postgresql://localhost:1/nothing"))
    methods = {
        f"{attribute}.{name}"
        for attribute, repository in by_name(repositories).items()
        for name, _ in getmembers(repository, ismethod)
        if not attribute.startswith("_") and not name.startswith("_")
    }
    measured = {call.name.partition(",")[0] for call in CALLS}
    assert measured | LEFT_OUT.keys() == methods
    assert not measured & LEFT_OUT.keys()


def test_few_doses_are_no_figures_for_the_readme(tmp_path):
    few = json.loads(report.MEASURED.read_text()) | {"doses": 3_000}
    (tmp_path / "few.json").write_text(json.dumps(few))
    refused = CliRunner().invoke(report.main, [str(tmp_path / "few.json")])
    assert refused.exit_code == 1
    assert "fewer doses than --scale small has" in refused.output


def test_a_folder_that_cannot_be_made_is_told_at_once():
    refused = CliRunner().invoke(main, ["--out", "/dev/null/results"])
    assert refused.exit_code == 2
    assert "Invalid value for --out: /dev/null/results: Not a directory" in refused.output


def test_a_database_that_cannot_be_filled_is_refused_in_one_line(
    homethrive_committed_url, homethrive_committed_factory, tmp_path
):
    homethrive_committed_factory.user("user_1")
    for url, reason in (
        (homethrive_committed_url, "the database is not empty"),
        ("postgresql://localhost:1/nothing", "Connection refused"),
        ("nothing", "the database URL must begin with postgresql://"),
    ):
        refused = CliRunner().invoke(main, ["--url", url, "--out", str(tmp_path)])
        assert refused.exit_code == 1
        assert reason in refused.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 1), (signal.SIGHUP, 129)])
@pytest.mark.parametrize(
    ("scale", "moment"), [("medium", "dose_taken"), ("tiny", "all answer the same")]
)
def test_an_ended_benchmark_leaves_no_server(number, status, scale, moment, tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--scale", scale, "--out", str(tmp_path)]
    folders = tmp_path / "temporary"
    folders.mkdir(mode=0o777)
    environment = {**unmeasured(), "TMPDIR": str(folders), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as benchmark:
        next(line for line in benchmark.stdout if moment in line)
        (pid_file,) = folders.glob("*/data/postmaster.pid")
        server = Process(int(pid_file.read_text().split()[0]))
        benchmark.send_signal(number)
        _, errors = benchmark.communicate()
    assert benchmark.returncode == status
    assert "Traceback" not in errors
    assert list(folders.iterdir()) == []
    server.wait(timeout=10)


def test_a_large_database_is_measured_beside_a_small_one(monkeypatch):
    monkeypatch.setattr(growth, "SMALL", "tiny")
    done = CliRunner().invoke(growth.main, ["--scale", "tiny", "--rounds", "1"])
    assert done.exit_code == 0, done.output
    for call in (*CALLS, growth.COPIED):
        assert call.name in done.output
    assert "geometric mean" in done.output


def test_writes_of_many_rows_are_measured_beside_other_ways(monkeypatch):
    monkeypatch.setattr(bulk, "DOSES", 50)
    with filled("tiny") as (db, households):
        assert min(bulk.compare_creations(db, households, 2).values()) > 0
        rates, share = bulk.compare_marks(db, households, 2)
    assert len(rates) == 3
    assert share > 0


def test_what_a_process_holds_is_not_what_its_parent_holds():
    held = b"x" * 200_000_000
    _, kilobytes = memory.peak([sys.executable, "-c", "pass"])
    assert 1_000 < kilobytes < len(held) / 4_000


def test_memory_is_measured_of_processes_that_end_well():
    few = ["--lines", "200", "--rows", "2000"]
    done = CliRunner().invoke(memory.main, few, catch_exceptions=False)
    assert done.exit_code == 0
    assert [line.split()[:2] for line in done.output.splitlines()] == [
        ["iter_by_recipient", "200"],
        ["iter_by_recipient", "2,000"],
        ["homethrive-db", "record"],
        ["homethrive-db", "record"],
    ]


def test_the_feed_is_measured_alone_and_in_shards(homethrive_committed_url):
    small = ["--schedules", "2000", "--url", homethrive_committed_url]
    done = CliRunner().invoke(feed.main, small, catch_exceptions=False)
    assert done.exit_code == 0
    *_, alone, in_shards = done.output.splitlines()
    assert alone.split("doses")[0].split()[-1] == in_shards.split("doses")[0].split()[-1] != "0"


def test_all_ways_to_list_what_is_due_give_the_same():
    few = ["--rounds", "2", "--repeats", "1"]
    done = CliRunner().invoke(upcoming.main, few, catch_exceptions=False)
    assert done.exit_code == 0
    assert "three statements by Peewee" in done.output
