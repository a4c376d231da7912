"""Architectures that no search has chosen, and what a search predicts of any."""

from itertools import product

import pytest

from fna.arch.decision import path_of
from fna.arch.space import expand, named_space
from fna.arch.zoo import lookup, mobilenet_v2
from fna.cost.count import candidate_madds, count_backbone
from fna.errors import UserError
from fna.study.rivals import FLOOR, Limit, largest_arch, random_archs, untrained_arch
from fna.study.validity import prediction
from searched import result_of

IMGSZ = (64, 96)


def limit_of(share: float = 1.0, depths: tuple[int, ...] = ()) -> Limit:
    """The segmentation space (or one of these depths) of a small seed, under this share of the seed's backbone cost."""
    seed = mobilenet_v2(0.35)
    space = expand(seed, depths) if depths else named_space(seed, "segmentation")
    costs, own = candidate_madds(space, IMGSZ), count_backbone(seed, IMGSZ).madds
    fixed = own - sum(row[c] for row, c in zip(costs, space.path_of(seed), strict=True)) if not depths else 0
    return Limit(space, costs, fixed, int(share * own))


def test_random_architectures_are_different_and_just_under_the_budget() -> None:
    limit = limit_of()
    archs = random_archs(limit, 8, 0)
    madds = [count_backbone(arch, IMGSZ).madds for arch in archs]
    assert len(set(archs)) == 8
    assert all(FLOOR * limit.budget <= each <= limit.budget for each in madds)
    assert random_archs(limit, 8, 0) == archs
    assert random_archs(limit, 8, 1) != archs


def test_random_architectures_under_a_budget_that_few_reach_are_still_under_it() -> None:
    # Uniform paths cost about 1.1 times the seed; twice the seed is above all of them.
    limit = limit_of(2.0)
    assert all(count_backbone(arch, IMGSZ).madds <= limit.budget for arch in random_archs(limit, 2, 0))


def test_a_budget_below_the_smallest_network_is_refused() -> None:
    for make in (lambda x: random_archs(x, 1, 0), largest_arch, lambda x: untrained_arch(x, 0)):
        with pytest.raises(UserError, match="below the smallest network"):
            make(limit_of(0.01))


def test_the_largest_is_within_half_a_percent_of_the_best_of_all_paths() -> None:
    limit = limit_of(0.97, (1, 1, 2, 1, 1, 1))
    sizes = [range(len(candidates)) for _, candidates in limit.space.searched]
    best = max(madds for path in product(*sizes) if (madds := limit.madds(path)) <= limit.budget)
    largest = limit.madds(limit.space.path_of(largest_arch(limit)))
    assert 0.995 * best <= largest <= best


def test_the_largest_of_the_whole_space_fills_the_budget() -> None:
    limit = limit_of()
    assert 0.995 * limit.budget <= count_backbone(largest_arch(limit), IMGSZ).madds <= limit.budget


def test_the_untrained_search_is_under_the_budget_and_depends_on_the_random_seed() -> None:
    limit = limit_of()
    archs = [untrained_arch(limit, random_seed) for random_seed in range(3)]
    assert len(set(archs)) == 3
    assert all(count_backbone(arch, IMGSZ).madds <= limit.budget for arch in archs)


def test_a_prediction_is_the_sum_of_the_scores_of_the_picks() -> None:
    seed = lookup("mobilenet_v2_w035")
    space = named_space(seed, "segmentation")
    path = space.path_of(seed)
    decisions = space.layer_decisions(path)
    rows = [[100 * d + o for o in range(len(decision.options))] for d, decision in enumerate(decisions)]
    result = result_of(decisions, [rows, [[value + 2 for value in row] for row in rows]])
    assert prediction(result, space, seed) == sum(100 * g + c + 1 for g, c in enumerate(path))


def test_a_stage_of_mixed_layers_is_the_mean_of_the_uniform_stages_that_its_layers_are_from() -> None:
    seed = mobilenet_v2()
    space = named_space(seed, "segmentation")
    decisions = space.stage_decisions(space.path_of(seed))
    result = result_of(decisions, [[list(map(float, range(len(decision.options)))) for decision in decisions]])
    last = tuple(len(decision.options) - 1 for decision in decisions)
    assert prediction(result, space, space.pick(path_of(decisions, last))) == sum(last)
    # The first searched stage: k3_e3 then k7_e6, two layers deep; the others as the seed has them, which scores 0.
    ops = [candidates for _, candidates in space.searched]
    (a, b) = ([str(op) for op in ops[0]].index("k3_e3"), [str(op) for op in ops[1]].index("k7_e6"))
    skip = len(ops[1]) - 1
    mixed = (a, b, skip, skip, *space.path_of(seed)[4:])
    uniform = [decisions[0].candidates.index((c, c, skip, skip)) for c in (a, b)]
    assert prediction(result, space, space.pick(mixed)) == sum(uniform) / 2
