"""From scores to a pick: the paper's argmax, or the best one under a budget, exactly."""

from collections.abc import Mapping, Sequence

from fna.arch.decision import OptionValues, Pick
from fna.cost.budget import Budget
from fna.cost.measure import MEASURES, Number
from fna.errors import UserError
from fna.search.knapsack import Knapsack, argmax

Costs = Mapping[str, Sequence[Sequence[int]]]
"""By measure: of every option of every decision, what the part of the network costs that it decides."""


def derive(scores: OptionValues, costs: Costs, budget: Budget | None = None) -> Pick:
    """The pick with the largest sum of `scores` that the budget allows; None is no limit.

    `budget` is for what is decided alone, the rest of the network taken off. Sums (multiply-adds, parameters) and
    maxima (memory) are kept exactly; a limit without `costs`, such as one of time, is for the caller to check on whole
    networks. With log probabilities as scores this is the most probable architecture. Exact: options that exceed a
    maximum are left out, and what remains is a multiple-choice knapsack, solved by dynamic programming, with states
    dropped only when others are as good in score and every cost, or when a Lagrangian bound proves that they cannot
    beat a known pick. Raises UserError where even the cheapest options exceed a limit, with the least that is possible.
    """
    limits = {name: limit for name, limit in (budget.limits if budget else {}).items() if name in costs}
    best = argmax(scores)
    if all(joined(name, costs[name], best) <= limit for name, limit in limits.items()):
        return best
    for name, limit in limits.items():
        check_possible(name, costs[name], limit)
    allowed = [
        [
            o
            for o in range(len(row))
            if all(costs[name][d][o] <= limit for name, limit in limits.items() if is_max(name))
        ]
        for d, row in enumerate(scores)
    ]
    sums = [name for name in limits if not is_max(name)]
    problem = Knapsack(
        [[row[o] for o in kept] for row, kept in zip(scores, allowed, strict=True)],
        [[[costs[name][d][o] for o in kept] for d, kept in enumerate(allowed)] for name in sums],
        [limits[name] for name in sums],
    )
    found = problem.solve()
    if found is None:
        wanted = " and ".join(f"{limit:,} {MEASURES[name].unit}" for name, limit in limits.items())
        raise UserError(f"each limit by itself can be kept, but no pick keeps {wanted} together; raise one of them")
    return tuple(kept[o] for kept, o in zip(allowed, found, strict=True))


def proposals(score_sets: Sequence[OptionValues], costs: Costs, budget: Budget | None) -> list[Pick]:
    """The different picks among the best under the budget for each of the sets of scores, in their order."""
    return list(dict.fromkeys(derive(scores, costs, budget) for scores in score_sets))


def is_max(name: str) -> bool:
    """Whether a network has the largest number of its parts, and not their sum."""
    return MEASURES[name].joins == "max"


def joined(name: str, costs: OptionValues, pick: Pick) -> Number:
    """What a pick costs by this measure."""
    parts = [row[option] for row, option in zip(costs, pick, strict=True)]
    return max(parts, default=0) if is_max(name) else sum(parts)


def check_possible(name: str, costs: OptionValues, limit: Number) -> None:
    """Raises UserError where even the cheapest options exceed the limit."""
    least = joined(name, costs, tuple(min(range(len(row)), key=row.__getitem__) for row in costs))
    if least > limit:
        raise UserError(
            f"the searched layers cost at least {least:,} {MEASURES[name].unit}, the budget leaves them {limit:,}"
        )
