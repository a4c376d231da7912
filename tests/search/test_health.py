"""Entropy and skip probability tell a search that still decides from one that has lost its layers."""

import math

import pytest

from fna.arch.layers import MBConv, Skip
from fna.arch.space import Space, SpaceStage
from fna.search.health import StageHealth, entropy, softmax, stage_health

OPS = (MBConv(3, 6), MBConv(5, 6), Skip())
SPACE = Space(8, (SpaceStage(8, 1, ((MBConv(3, 1),),)), SpaceStage(8, 2, (OPS[:2], OPS, OPS))), 16)


def test_entropy_is_one_for_a_fair_choice_and_nothing_for_a_certain_one() -> None:
    assert entropy([0.25] * 4) == pytest.approx(1)
    assert entropy([0.0, 1.0, 0.0]) == 0
    # A half and two quarters are one and a half bits, of log2(3) at most.
    assert entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5 / math.log2(3))


def test_a_stage_has_the_means_of_its_searched_layers() -> None:
    (health,) = stage_health(SPACE, [[1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])
    assert health.stage == 1
    assert health.entropy == pytest.approx((0 + 0 + math.log(2) / math.log(3)) / 3)
    assert health.skip == pytest.approx(0.75), "over the two layers that have an identity"
    assert health.collapsed


def test_only_a_stage_with_identities_can_collapse() -> None:
    assert not StageHealth(0, 0.0, None).collapsed
    assert not StageHealth(0, 0.9, 1 / 7).collapsed
    assert str(StageHealth(3, 0.913, 0.5)) == "stage 3 entropy 0.91 skip 0.50"


def test_softmax_of_large_logits() -> None:
    assert softmax([1000.0, 1000.0 + math.log(3)]) == pytest.approx([0.25, 0.75])
