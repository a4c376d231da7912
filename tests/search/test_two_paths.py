"""Steps of the alphas on two sampled candidates a layer."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import nn

from drawn import TINY, configured, draw_data
from fna import pipeline
from fna.arch.arch import Tap
from fna.arch.layers import MBConv, Op, Skip
from fna.arch.space import Space, SpaceStage
from fna.files import read_json
from fna.nn.supernet import SuperNet
from fna.search.two_paths import keep_others, sample_pairs

OPS: tuple[Op, ...] = (MBConv(3, 3), MBConv(5, 3), MBConv(3, 6), Skip())


def network(share: bool) -> SuperNet:
    """One searched layer, in double precision."""
    torch.manual_seed(0)
    net = SuperNet(Space(8, (SpaceStage(8, 2, ((MBConv(3, 1),), OPS)),), 16), (Tap(0),), share=share).double()
    net.alphas[0].data = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.double)
    return net


def test_pairs_are_drawn_by_probability_without_putting_back() -> None:
    row = [0.5, 0.3, 0.2]
    counts = Counter(sample_pairs([row], (0, 0, step))[0] for step in range(4000))
    for a, b in combinations(range(3), 2):
        # The one first and then the other, or the other way round.
        expected = row[a] * row[b] / (1 - row[a]) + row[b] * row[a] / (1 - row[b])
        assert counts[a, b] / 4000 == pytest.approx(expected, abs=0.03)
    assert sample_pairs([row] * 9, (1, 2, 3)) == sample_pairs([row] * 9, (1, 2, 3))
    assert set(sample_pairs([[1.0, 0.0, 0.0]], (0, 0, 0))[0]) in ({0, 1}, {0, 2})


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("pair", [(0, 2), (1, 3)])
def test_two_are_mixed_by_the_softmax_of_their_alphas(share: bool, pair: tuple[int, int]) -> None:
    net, x = network(share), torch.randn(2, 3, 12, 12, dtype=torch.double)
    alpha = net.alphas[0]
    mixed = net(x, None, None, (pair,))[0]
    share_of_first = 1 / (1 + torch.exp(alpha[pair[1]] - alpha[pair[0]]))
    one, two = (net(x, (candidate,))[0] for candidate in pair)
    torch.testing.assert_close(mixed, share_of_first * one + (1 - share_of_first) * two)
    (gradient,) = torch.autograd.grad(mixed.square().sum(), alpha)
    assert [index for index in range(4) if gradient[index] != 0] == list(pair)
    # A softmax of two moves one of them up as much as the other down.
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-9)


def test_after_a_step_the_others_have_their_probabilities() -> None:
    old = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.double)
    alphas = nn.ParameterList([nn.Parameter(old + torch.tensor([0.4, 0.1, -0.3, 0.2]))])
    keep_others(alphas, [old], ((0, 2),))
    before, after = old.softmax(0), alphas[0].detach().softmax(0)
    assert after[[1, 3]].tolist() == pytest.approx(before[[1, 3]].tolist())
    # Between the two, the step's own difference: 0.7 more for the first.
    assert float((after[0] / after[2]).log() - (before[0] / before[2]).log()) == pytest.approx(0.7)


def test_a_search_with_two_paths_moves_the_alphas(tmp_path: Path) -> None:
    config = configured(TINY, search={"method": "alphas", "alpha_paths": 2, "alpha_lr": 0.1}, adapt={"steps": 2})
    run = pipeline.search(draw_data(tmp_path / "data"), tmp_path / "run", **config.model_dump())
    logits = read_json(run / "search/0/logits.json")
    assert max(abs(value) for row in logits for value in row) > 0.05
