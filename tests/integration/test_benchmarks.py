"""The benchmarks run, and their contenders answer the same."""

import json
from inspect import getmembers, ismethod

import pytest
from click.testing import CliRunner

from benchmarks import feed
from benchmarks.__main__ import main
from benchmarks.calls import CALLS, LEFT_OUT
from homethrive_db import Repositories, create_db


@pytest.mark.parametrize("options", [[], ["--prepared"]], ids=["plain", "direct mode"])
def test_all_contenders_answer_the_same(tmp_path, options):
    figures = tmp_path / "figures.json"
    small = ["--scale", "tiny", "--rounds", "2", "--repeats", "1", "--json", str(figures)]
    done = CliRunner().invoke(main, [*small, *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert "all answer the same" in done.output
    assert "left out" not in done.output
    assert "geometric mean of all calls: " in done.output
    results = json.loads(figures.read_text())["results"]
    assert [one["call"] for one in results] == [call.name for call in CALLS]


def test_every_public_method_is_measured_or_left_out_for_a_reason():
    repositories = Repositories(create_db("postgresql://localhost:1/nothing"))
    methods = {
        f"{attribute}.{name}"
        for attribute, repository in vars(repositories).items()
        for name, _ in getmembers(repository, ismethod)
        if not name.startswith("_")
    }
    measured = {call.name.partition(",")[0] for call in CALLS}
    assert measured | LEFT_OUT.keys() == methods
    assert not measured & LEFT_OUT.keys()


def test_the_feed_is_measured_alone_and_in_shards(homethrive_committed_url):
    small = ["--schedules", "2000", "--url", homethrive_committed_url]
    done = CliRunner().invoke(feed.main, small, catch_exceptions=False)
    assert done.exit_code == 0
    *_, alone, in_shards = done.output.splitlines()
    assert alone.split("doses")[0].split()[-1] == in_shards.split("doses")[0].split()[-1] != "0"
