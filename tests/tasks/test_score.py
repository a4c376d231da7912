"""Scores: which way is better, and how they are shown."""

import math

import pytest

from fna.tasks.score import Score

MIOU, ERROR = Score("mIoU"), Score("MAE", "", higher_is_better=False)
RMSE = Score("RMSE", "m", higher_is_better=False)


@pytest.mark.parametrize(("score", "good", "bad"), [(MIOU, 0.5, 0.4), (ERROR, 0.4, 0.5), (RMSE, -1.0, 3.0)])
def test_better_follows_the_direction_and_nothing_is_better_than_itself(score: Score, good: float, bad: float) -> None:
    assert score.better(good, bad)
    assert not score.better(bad, good)
    assert not score.better(good, good)
    assert score.best([bad, good, bad]) == good
    assert score.gain(good) > score.gain(bad)


@pytest.mark.parametrize("score", [MIOU, ERROR])
def test_nan_is_worse_than_every_number(score: Score) -> None:
    assert score.better(1e9, math.nan)
    assert score.better(-1e9, math.nan)
    assert not score.better(math.nan, 0.0)
    assert not score.better(math.nan, math.nan)


def test_fractions_are_shown_in_percent_and_other_units_as_they_are() -> None:
    assert (MIOU.shown(0.4193), MIOU.difference(0.012), MIOU.points, MIOU.label) == (
        "41.9",
        "+1.2",
        " points",
        "mIoU (%)",
    )
    assert (RMSE.shown(4.19349), RMSE.difference(-0.5), RMSE.points, RMSE.label) == ("4.193", "-0.5", " m", "RMSE (m)")
    assert (ERROR.shown(0.0712), ERROR.difference(0.5), ERROR.points, ERROR.label) == ("0.0712", "+0.5", "", "MAE")
    assert (MIOU.in_unit, RMSE.in_unit, ERROR.in_unit) == (" in percent", " in m", "")


def test_what_is_absent_or_no_number_is_a_dash() -> None:
    for score in (MIOU, ERROR):
        assert [show(value) for show in (score.shown, score.difference) for value in (None, math.nan)] == ["–"] * 4
