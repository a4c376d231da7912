"""Starts without the seed, against the distributions that they are said to follow."""

import pytest
import torch

from fna.arch.zoo import lookup
from fna.nn.backbone import Backbone
from fna.weights.initial import initial


@pytest.fixture(scope="module")
def fresh() -> dict[str, torch.Tensor]:
    return Backbone(lookup("mobilenet_v2_w035")).state_dict()


def test_random_is_the_standard_normal_with_norms_at_1_and_0(fresh: dict[str, torch.Tensor]) -> None:
    weights = initial(fresh, "random", 3)
    values = torch.cat([t.flatten() for t in weights.values() if t.ndim == 4]).double()
    n = len(values)
    assert n > 100_000
    # Standard errors: of the mean 1 / sqrt(n), of the variance sqrt(2 / n), of the fourth moment sqrt(96 / n).
    assert abs(values.mean()) < 5 / n**0.5
    assert abs(values.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((values**4).mean() - 3) < 5 * (96 / n) ** 0.5
    assert all(bool((t == 1).all()) for name, t in weights.items() if name.endswith("norm.weight"))
    assert all(bool((t == 0).all()) for name, t in weights.items() if name.endswith("norm.bias"))


def test_kaiming_has_a_variance_of_2_over_fan_out(fresh: dict[str, torch.Tensor]) -> None:
    weights = initial(fresh, "kaiming", 3)
    # torch's fan-out is output channels times taps.
    scaled = torch.cat(
        [(t * (len(t) * t.shape[2] * t.shape[3] / 2) ** 0.5).flatten() for t in weights.values() if t.ndim == 4]
    )
    assert abs(scaled.double().var() - 1) < 5 * (2 / len(scaled)) ** 0.5


def test_the_random_seed_decides_and_nothing_passed_in_is_changed(fresh: dict[str, torch.Tensor]) -> None:
    before = {name: tensor.clone() for name, tensor in fresh.items()}
    one, again, other = (initial(fresh, "random", random_seed)["stem.conv.weight"] for random_seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert all(torch.equal(fresh[name], before[name]) for name in fresh)
