"""How a rate is written for a person."""

from datetime import UTC, date, datetime
from fractions import Fraction
from uuid import uuid4

import pytest

from homethrive_db import CareRecipient
from homethrive_db.doses.adherence import Adherence, AdherenceFigures
from homethrive_db.doses.calendar import page
from homethrive_db.doses.report import Report, percent

DAY = date(2026, 3, 9)
MADE = datetime(2026, 3, 1, tzinfo=UTC)
RECIPIENT = CareRecipient(uuid4(), "owner", None, "Ana", "UTC", MADE, MADE)


@pytest.mark.parametrize("counted", [3, 100, 1000])
def test_a_rate_is_cut_to_a_whole_percent(counted):
    """By the counts: 0.29 times 100 is a little less than 29 to a float."""
    for taken in range(counted + 1):
        figures = AdherenceFigures(taken=taken, late=0, missed=counted - taken, skipped=4)
        assert percent(figures) == f"{int(Fraction(100 * taken, counted))} %"


@pytest.mark.parametrize(
    ("skipped", "says"), [(0, "no dose was due"), (4, "every dose that was due was skipped")]
)
def test_of_nothing_there_is_no_rate(skipped, says):
    """A page that said "none" over "was taken" told its reader that doses were missed."""
    figures = AdherenceFigures(taken=0, late=0, missed=0, skipped=skipped)
    assert percent(figures) == "—"
    told = page(Report(RECIPIENT, DAY, DAY, Adherence(figures, (), (), ())))
    assert f'<div class="rate">—</div>\n<p>{says}</p>' in told
    assert "was taken" not in told
