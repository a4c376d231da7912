"""Derivation is the paper's argmax, or exactly the most probable architecture under a budget."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from fna.arch.decision import Pick
from fna.arch.space import named_space
from fna.arch.zoo import mobilenet_v2
from fna.cost.budget import Budget
from fna.cost.count import candidate_counts, candidate_madds
from fna.cost.measure import MEASURES, Measure
from fna.errors import UserError
from fna.search.derive import derive
from fna.search.knapsack import argmax


def derived(scores: Sequence[Sequence[float]], costs: Sequence[Sequence[int]], budget: int | None = None) -> Pick:
    """Under one limit of multiply-adds."""
    return derive(scores, {"madds": costs}, None if budget is None else Budget({"madds": budget}))


Scores = list[list[float]]
Costs = list[list[int]]


def total(rows: Sequence[Sequence[float]], path: tuple[int, ...]) -> float:
    return math.fsum(row[c] for row, c in zip(rows, path, strict=True))


def brute_force(scores: Scores, costs: Costs, budget: int) -> float:
    """The best score among all paths that fit."""
    paths = itertools.product(*(range(len(row)) for row in scores))
    return max(total(scores, path) for path in paths if total(costs, path) <= budget)


def log_softmax(row: list[float]) -> list[float]:
    norm = math.log(math.fsum(map(math.exp, row)))
    return [x - norm for x in row]


def random_space(draw: random.Random, dearest: int, ties: bool) -> tuple[Scores, Costs]:
    sizes = [draw.randint(1, 5) for _ in range(draw.randint(1, 5))]
    scores = [log_softmax([draw.gauss(0, 1) for _ in range(n)]) for n in sizes]
    if ties:
        scores = [[round(s) / 2 for s in row] for row in scores]
    return scores, [[draw.randint(0, dearest) for _ in range(n)] for n in sizes]


@pytest.mark.parametrize("dearest", [3, 100, 10**10])
@pytest.mark.parametrize("ties", [False, True])
def test_no_path_under_the_budget_is_more_probable(dearest: int, ties: bool) -> None:
    draw = random.Random(f"{dearest} {ties}")
    for _ in range(60):
        scores, costs = random_space(draw, dearest, ties)
        smallest, largest = sum(map(min, costs)), sum(map(max, costs))
        for budget in {smallest, largest, (smallest + largest) // 2, draw.randint(smallest, largest)}:
            path = derived(scores, costs, budget)
            assert total(costs, path) <= budget
            assert total(scores, path) == pytest.approx(brute_force(scores, costs, budget), abs=1e-12)


def test_a_candidate_that_can_never_be_drawn_is_taken_only_when_nothing_else_fits() -> None:
    scores, costs = [[0.0, -math.inf], [-0.5, -1.5]], [[10, 1], [10, 1]]
    assert derived(scores, costs, 11) == (0, 1)
    assert derived(scores, costs, 2) == (1, 1)


def test_without_a_budget_each_layer_takes_its_best_candidate_the_first_on_a_tie() -> None:
    scores = [[0.1, 0.7, 0.2], [0.5, 0.5], [1.0]]
    assert argmax(scores) == derived(scores, [[1, 2, 3], [4, 5], [6]]) == (1, 0, 0)


def test_a_budget_that_does_not_bind_changes_nothing() -> None:
    scores = [[0.1, 0.7], [0.5, 0.4]]
    assert derived(scores, [[1, 2], [4, 5]], 6) == argmax(scores)


def test_greedy_choices_are_not_good_enough() -> None:
    # By hand: the best layer-wise choices cost 20; under 14 the greedy repair (drop the smallest loss, layer 0) costs
    # 15 and must then drop layer 1 too; dropping layer 1 alone fits and loses less.
    scores, costs = [[3.0, 2.5], [3.0, 2.0]], [[10, 5], [10, 4]]
    assert derived(scores, costs, 14) == (0, 1)


def test_a_budget_below_the_smallest_network_is_an_error_that_says_the_smallest() -> None:
    with pytest.raises(UserError, match="at least 1,005 MAdds, the budget leaves them 1,004"):
        derived([[0.0, 1.0], [0.0]], [[1000, 2000], [5]], 1004)
    assert derived([[0.0, 1.0], [0.0]], [[1000, 2000], [5]], 1005) == (0, 0)


@pytest.mark.parametrize("sharpness", [1e-3, 1.0])
def test_budgets_are_kept_on_the_papers_space_and_a_larger_one_is_never_worse(sharpness: float) -> None:
    space = named_space(mobilenet_v2(), "segmentation")
    costs = candidate_madds(space, (1024, 2048), 16)
    smallest, largest = sum(map(min, costs)), sum(map(max, costs))
    draw = random.Random(0)
    scores = [log_softmax([sharpness * draw.gauss(0, 1) for _ in row]) for row in costs]
    reached = -math.inf
    for step in range(11):
        budget = smallest + (largest - smallest) * step // 10
        path = derived(scores, costs, budget)
        space.check_path(path)
        assert total(costs, path) <= budget
        assert total(scores, path) >= reached - 1e-12
        reached = total(scores, path)
    assert reached == pytest.approx(total(scores, argmax(scores)), abs=1e-12)


def brute_force_of_two(scores: Scores, costs: Sequence[Costs], limits: Sequence[int]) -> float | None:
    paths = itertools.product(*(range(len(row)) for row in scores))
    kept = [p for p in paths if all(total(rows, p) <= limit for rows, limit in zip(costs, limits, strict=True))]
    return max((total(scores, path) for path in kept), default=None)


@pytest.mark.parametrize("dearest", [3, 100, 10**10])
@pytest.mark.parametrize("ties", [False, True])
def test_no_path_under_two_limits_is_more_probable(dearest: int, ties: bool) -> None:
    draw, impossible = random.Random(f"two {dearest} {ties}"), 0
    for _ in range(40):
        scores, madds = random_space(draw, dearest, ties)
        params = [[draw.randint(0, dearest) for _ in row] for row in madds]
        for _ in range(3):
            limits = [draw.randint(sum(map(min, rows)), sum(map(max, rows))) for rows in (madds, params)]
            budget = Budget(dict(zip(("madds", "params"), limits, strict=True)))
            expected = brute_force_of_two(scores, (madds, params), limits)
            if expected is None:
                impossible += 1
                with pytest.raises(UserError, match="each limit by itself can be kept, but no pick keeps"):
                    derive(scores, {"madds": madds, "params": params}, budget)
                continue
            path = derive(scores, {"madds": madds, "params": params}, budget)
            assert total(madds, path) <= limits[0]
            assert total(params, path) <= limits[1]
            assert total(scores, path) == pytest.approx(expected, abs=1e-12)
    assert impossible > 0, "or that error was never seen"


def test_two_limits_are_kept_on_the_papers_space() -> None:
    space = named_space(mobilenet_v2(), "segmentation")
    counts = candidate_counts(space, (1024, 2048), 16)
    costs = {key: [[getattr(count, key) for count in row] for row in counts] for key in ("madds", "params")}
    draw = random.Random(0)
    scores = [[draw.gauss(0, 1) for _ in row] for row in counts]
    halfway = {key: (sum(map(min, rows)) + sum(map(max, rows))) * 3 // 10 for key, rows in costs.items()}
    alone = [total(scores, derive(scores, costs, Budget({key: halfway[key]}))) for key in costs]
    path = derive(scores, costs, Budget(halfway))
    assert all(total(costs[key], path) <= halfway[key] for key in costs)
    assert total(scores, path) <= min(alone) + 1e-12
    assert total(scores, path) > min(alone) - 2, "both limits together cost little more than the tighter one"


def test_a_limit_that_options_have_no_cost_for_is_left_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEASURES, "latency", Measure("latency", "ms", lambda *_: 1.0, target="a clock"))
    assert derive([[0.0, 1.0]], {"madds": [[1, 2]]}, Budget.parse("2+1ms")) == (1,)


def test_a_limit_of_the_largest_layer_alone_is_kept_exactly() -> None:
    scores, memory = [[0.0, 3.0, 1.0], [0.0, 2.0]], [[5, 9, 7], [4, 8]]
    assert derive(scores, {"memory": memory}, Budget({"memory": 8})) == (2, 1)
    assert derive(scores, {"memory": memory}, Budget({"memory": 7})) == (2, 0)
    with pytest.raises(UserError, match="at least 5 bytes, the budget leaves them 4"):
        derive(scores, {"memory": memory}, Budget({"memory": 4}))
