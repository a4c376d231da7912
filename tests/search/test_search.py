"""Sampling, scoring and repeatability of the search, each against something worked out by hand."""

from collections import Counter
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from fna.arch import zoo
from fna.arch.decision import Decision, Path, option_costs, path_of, seed_pick
from fna.arch.space import expand
from fna.config.files import from_data
from fna.config.sections import Search
from fna.nn.supernet import Memory, SuperNet
from fna.runs.run import Run
from fna.search.scores import cautious, standard_error
from fna.search.search import sample_path
from fna.search.swaps import TEMPERATURE, score_swaps, single_swaps

ARCH = zoo.build("mobilenet_v2", 0.1)
SPACE = expand(ARCH)
SEED_PATH = SPACE.path_of(ARCH)
LAYERS = SPACE.layer_decisions(SEED_PATH)
STAGES = SPACE.stage_decisions(SEED_PATH)


@pytest.fixture(scope="module")
def supernet() -> SuperNet:
    return SuperNet(SPACE, share=True)


def sampled(supernet: SuperNet, how: Search, from_alphas: bool = False, steps: int = 400) -> list[Path]:
    return [sample_path(LAYERS, supernet, how, (0, 0, step), from_alphas) for step in range(steps)]


def test_uniform_paths_draw_every_candidate_equally_often(supernet: SuperNet) -> None:
    counts = Counter(path[1] for path in sampled(supernet, Search(explore=1.0), steps=1400))
    assert sorted(counts) == list(range(7))
    assert all(150 < count < 250 for count in counts.values())  # 200 each, standard deviation 13


def test_without_exploring_the_path_is_the_seeds(supernet: SuperNet) -> None:
    assert set(sampled(supernet, Search(explore=0.0), steps=20)) == {SEED_PATH}


def test_near_paths_leave_the_seeds_choice_as_often_as_asked(supernet: SuperNet) -> None:
    paths = sampled(supernet, Search(explore=0.3))
    changed = sum(path[1] != SEED_PATH[1] for path in paths) / len(paths)
    assert changed == pytest.approx(0.3 * 6 / 7, abs=0.06)


def test_paths_follow_the_alphas_once_they_are_asked(supernet: SuperNet) -> None:
    with torch.no_grad():
        supernet.alphas[3][2] = 20.0
    assert {path[3] for path in sampled(supernet, Search(), from_alphas=True, steps=50)} == {2}
    with torch.no_grad():
        supernet.alphas[3][2] = 0.0


def test_a_path_is_a_function_of_seed_replica_and_step(supernet: SuperNet) -> None:
    assert sampled(supernet, Search(), steps=5) == sampled(supernet, Search(), steps=5)


def test_swaps_are_all_paths_that_differ_from_the_seeds_in_one_layer() -> None:
    swaps = single_swaps(LAYERS)
    assert len(swaps) == 169 - 25  # the space has 169 candidates in 25 layers
    for layer, candidate, path in swaps:
        assert [i for i, (a, b) in enumerate(zip(path, SEED_PATH, strict=True)) if a != b] == [layer]
        assert path[layer] == candidate


def test_swaps_of_stages_change_a_whole_stage_to_one_kernel_and_expansion() -> None:
    assert path_of(STAGES, seed_pick(STAGES)) == SEED_PATH
    # Stages of up to 4, 4, 6, 6, 4 and 1 layers with 6 ops each; the seed's own is one of them.
    assert [len(decision.options) for decision in STAGES] == [24, 24, 36, 36, 24, 6]
    for group, _, path in single_swaps(STAGES):
        arch = SPACE.pick(path)
        changed = [s for s, (a, b) in enumerate(zip(arch.stages, ARCH.stages, strict=True)) if a != b]
        assert changed == [group + 1]
        assert len(set(arch.stages[group + 1].layers)) == 1


def test_an_alternative_costs_what_its_layers_cost() -> None:
    costs = [[100 * layer + c for c in range(len(ops))] for layer, (_, ops) in enumerate(SPACE.searched)]
    rows = option_costs(STAGES, costs)
    assert len(rows) == 6
    first = len(STAGES[0].candidates[0])
    expected = sum(costs[first + layer][c] for layer, c in enumerate(STAGES[1].candidates[5]))
    assert rows[1][5] == expected


def test_memory_of_a_path_changes_nothing_but_the_time(supernet: SuperNet) -> None:
    images, memory = torch.randn(2, 3, 33, 33), Memory()
    supernet.eval()
    for path in [SEED_PATH, *(path for _, _, path in single_swaps(STAGES)[::20])]:
        expected = supernet(images, path)
        for ours, theirs in zip(supernet(images, path, memory), expected, strict=True):
            assert torch.equal(ours, theirs)
    assert len(memory.stages) == 6, "stages 0 and 1 have no choice before them and share an entry"


def test_memory_survives_what_wraps_a_network_for_mixed_precision(supernet: SuperNet) -> None:
    memory = Memory()
    wrapped = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed").setup_module(supernet)
    wrapped(torch.randn(1, 3, 33, 33), SEED_PATH, memory)
    assert len(memory.stages) == 6


def test_a_stage_whose_first_layer_is_fixed_may_lose_all_others() -> None:
    space = expand(ARCH, (2, 2, 2, 2, 2, 1), (3,), (6,))
    decisions = space.stage_decisions((0,) * len(space.searched))
    assert [decision.options for decision in decisions] == [("k3_e6", "skip")] * 5


class KnownLoss(nn.Module):
    """Stands for network and task: the loss of a path is a number per image plus a known price per candidate."""

    def __init__(self, prices: Tensor) -> None:
        super().__init__()
        self.prices = prices

    def forward(self, images: Tensor, path: Path, memory: Any) -> Tensor:
        return images.mean() * 7 + sum(self.prices[layer, choice] for layer, choice in enumerate(path))

    def losses(self, outputs: Tensor, batch: Any) -> dict[str, Tensor]:
        return {"loss": outputs}


def test_scores_are_the_loss_changes_whatever_the_batches_have_in_common(tmp_path: FilePath) -> None:
    prices = torch.randn(25, 7, generator=torch.Generator().manual_seed(1)).double()
    model = KnownLoss(prices)
    batches = iter([{"image": torch.full((1, 3, 2, 2), value)} for value in (0.0, 100.0)])
    run = Run.create(tmp_path / "run", from_data({"device": "cpu", "threads": 1}))
    logits = score_swaps(run, model, model, LAYERS, batches, "swaps")  # type: ignore[arg-type]
    for layer, row in enumerate(logits):
        for candidate, logit in enumerate(row):
            change = prices[layer, candidate] - prices[layer, SEED_PATH[layer]]
            assert logit == pytest.approx(float(-change / TEMPERATURE), abs=1e-3)


def test_the_standard_error_of_two_replicas_is_half_their_difference() -> None:
    # Candidates: the seed's own (0 in both), differences of 2 and 4; pooled: sqrt((1 + 4) / 2).
    assert standard_error([[[0.0, 1.0, 5.0]], [[0.0, 3.0, 1.0]]]) == pytest.approx(2.5**0.5)
    assert standard_error([[[0.0, 1.0, 5.0]]]) == 0


def test_a_change_has_to_earn_the_penalty_to_be_preferred_to_the_seeds_choice() -> None:
    decisions = [Decision("a", ("x", "y", "z"), 0), Decision("b", ("x", "y"), 1)]
    rows = cautious([[0.0, 0.4, 1.6], [0.5, 0.0]], decisions, 1.0)
    assert rows == [[0.0, pytest.approx(-0.6), pytest.approx(0.6)], [-0.5, 0.0]]
