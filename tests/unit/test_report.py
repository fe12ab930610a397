"""How a rate is written for a person."""

from fractions import Fraction

import pytest

from homethrive_db.doses.adherence import AdherenceFigures
from homethrive_db.doses.report import percent


@pytest.mark.parametrize("counted", [3, 100, 1000])
def test_a_rate_is_cut_to_a_whole_percent(counted):
    """By the counts: 0.29 times 100 is a little less than 29 to a float."""
    for taken in range(counted + 1):
        figures = AdherenceFigures(taken=taken, late=0, missed=counted - taken, skipped=4)
        assert percent(figures) == f"{int(Fraction(100 * taken, counted))} %"


def test_of_nothing_there_is_none():
    assert percent(AdherenceFigures(taken=0, late=0, missed=0, skipped=4)) == "none"
