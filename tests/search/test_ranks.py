"""Rank correlation has one definition, and a search that is noise reads as noise."""

import random
from collections.abc import Sequence
from statistics import fmean

import pytest
import torch
from torchmetrics.functional import spearman_corrcoef

from fna.arch.decision import Decision
from fna.arch.space import named_space
from fna.arch.zoo import mobilenet_v2
from fna.search.ranks import ranks, repeatability, spearman

SEED = mobilenet_v2()
SPACE = named_space(SEED, "segmentation")
STAGES = SPACE.stage_decisions(SPACE.path_of(SEED))
LAYERS = SPACE.layer_decisions(SPACE.path_of(SEED))


def drawn(
    decisions: Sequence[Decision], draw: random.Random, level: float, noise: float, signal: list[list[float]]
) -> list[list[float]]:
    """Scores of swaps: 0 for the seed's options, the others at `level` plus signal and noise."""
    return [
        [0.0 if o == d.seed_option else level + value + draw.gauss(0, noise) for o, value in enumerate(row)]
        for d, row in zip(decisions, signal, strict=True)
    ]


def mean_repeatability(decisions: Sequence[Decision], level: float, noise: float, planted: float) -> float:
    draw, found = random.Random(0), []
    for _ in range(200):
        signal = [[draw.gauss(0, planted) for _ in d.options] for d in decisions]
        value = repeatability(decisions, [drawn(decisions, draw, level, noise, signal) for _ in range(2)])
        assert value is not None
        found.append(value)
    return fmean(found)


@pytest.mark.parametrize("decisions", [STAGES, LAYERS], ids=["stages", "layers"])
@pytest.mark.parametrize("level", [0.0, -3.0])
def test_noise_has_no_repeatability_however_much_every_change_loses(
    decisions: Sequence[Decision], level: float
) -> None:
    # One reading spreads by about 0.09, so the mean of 200 by less than 0.01.
    assert abs(mean_repeatability(decisions, level, noise=1, planted=0)) < 0.03


@pytest.mark.parametrize("decisions", [STAGES, LAYERS], ids=["stages", "layers"])
def test_a_planted_signal_is_repeated(decisions: Sequence[Decision]) -> None:
    assert mean_repeatability(decisions, level=-3, noise=0.05, planted=1) > 0.97
    # As much noise as signal: the correlation of the values is 1/2, that of normal ranks 6 / pi * asin(1/4) = 0.48.
    assert mean_repeatability(decisions, level=-3, noise=1, planted=1) == pytest.approx(0.48, abs=0.04)


def test_equal_preferences_have_one_and_reversed_ones_minus_one_whatever_the_seeds_option_has() -> None:
    decisions = [Decision("a", ("s", "x", "y", "z"), 0), Decision("b", ("x", "s", "y"), 1)]
    one = [[0.0, 0.5, 0.2, -0.1], [2.0, 0.0, 1.5]]
    turned = [[0.0, -0.5, -0.2, 0.1], [-2.0, 0.0, -1.5]]
    assert repeatability(decisions, [one, one]) == pytest.approx(1)
    assert repeatability(decisions, [one, turned]) == pytest.approx(-1)
    assert repeatability(decisions, [[[9.0, *one[0][1:]], one[1]], turned]) == pytest.approx(-1)


def test_what_all_changes_of_a_decision_share_is_no_preference() -> None:
    decisions = [Decision("a", ("s", "x", "y", "z"), 0), Decision("b", ("s", "x", "y"), 0)]
    rows = [[0.0, 0.1, 0.5, 0.2], [0.0, 0.3, 0.2]]
    shifted = [[0.0, *(value + 10 for value in rows[0][1:])], rows[1]]
    assert repeatability(decisions, [rows, shifted]) == pytest.approx(1)


def test_of_several_searches_it_is_the_mean_over_pairs() -> None:
    decisions = [Decision("a", ("s", "x", "y", "z"), 0)]
    a, b = [[0.0, 1.0, 2.0, 3.0]], [[0.0, 3.0, 2.0, 1.0]]
    assert repeatability(decisions, [a, a, b]) == pytest.approx((1 - 1 - 1) / 3)


def test_a_lone_search_and_decisions_of_a_single_change_have_none() -> None:
    assert repeatability(STAGES, [[[0.0] * len(d.options) for d in STAGES]]) is None
    pairs = [Decision(name, ("s", "x"), 0) for name in "abcd"]
    assert repeatability(pairs, [[[0.0, 1.0]] * 4, [[0.0, 2.0]] * 4]) is None


def test_spearman_is_that_of_the_textbook() -> None:
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 - 6 * 4 / (5 * 24) = 0.8.
    assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(0.8)
    assert spearman([1, 2], [1, 2]) is None
    assert spearman([1, 1, 1], [1, 2, 3]) is None


def test_equal_values_share_their_mean_rank_as_in_torchmetrics() -> None:
    assert ranks([5, 1, 5, 3, 5]) == [4, 1, 4, 2, 4]
    draw = random.Random(1)
    for _ in range(20):
        a, b = ([float(draw.randrange(6)) for _ in range(12)] for _ in range(2))
        expected = float(spearman_corrcoef(*(torch.tensor(v, dtype=torch.float64) for v in (a, b))))
        assert spearman(a, b) == pytest.approx(expected, abs=1e-6)
