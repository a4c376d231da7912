"""From probabilities to an architecture: the paper's argmax, or the most probable one under a budget, exactly."""

from collections.abc import Sequence

from fna.arch.decision import Path
from fna.errors import UserError

Rows = Sequence[Sequence[float]]


def argmax(scores: Rows) -> Path:
    """The best candidate of each layer by itself (paper 3.2); the first one on a tie."""
    return tuple(max(range(len(row)), key=lambda c, row=row: row[c]) for row in scores)  # type: ignore[misc]


def derive(scores: Rows, costs: Sequence[Sequence[int]], budget: int | None = None) -> Path:
    """The path with the largest sum of `scores` whose sum of `costs` does not exceed `budget`.

    With log probabilities as scores this is the most probable architecture under the budget. Exact: a multiple-choice
    knapsack solved by dynamic programming over (cost, score), with states dropped only when they are dominated or when
    the Lagrangian bound proves that they cannot beat a known feasible path. Raises UserError when even the cheapest
    path exceeds the budget.
    """
    best = argmax(scores)
    if budget is None or _sum(costs, best) <= budget:
        return best
    smallest = sum(min(row) for row in costs)
    if smallest > budget:
        raise UserError(f"the searched layers cost at least {smallest:,} MAdds, the budget leaves them {budget:,}")
    price, known = _dual(scores, costs, budget)
    # Upper bound on what layers i.. can add to a state, at the dual price of one MAdd.
    rest = [0.0] * (len(scores) + 1)
    for i in reversed(range(len(scores))):
        rest[i] = rest[i + 1] + max(s - price * c for s, c in zip(scores[i], costs[i], strict=True))
    cheapest_rest = [0] * (len(costs) + 1)
    for i in reversed(range(len(costs))):
        cheapest_rest[i] = cheapest_rest[i + 1] + min(costs[i])

    floor = _sum(scores, known) - 1e-9
    states: list[tuple[int, float, Path]] = [(0, 0.0, ())]
    for i, (row, prices) in enumerate(zip(scores, costs, strict=True)):
        grown = [
            (cost + prices[c], score + row[c], (*path, c)) for cost, score, path in states for c in range(len(row))
        ]
        grown = [
            state
            for state in grown
            if state[0] + cheapest_rest[i + 1] <= budget
            and state[1] + rest[i + 1] + price * (budget - state[0]) >= floor
        ]
        states = _undominated(grown)
    return max(states, key=lambda state: state[1])[2] if states else known


def proposals(score_sets: Sequence[Rows], costs: Sequence[Sequence[int]], budget: int | None) -> list[Path]:
    """The different paths among the best under the budget for each of the sets of scores, in their order."""
    return list(dict.fromkeys(derive(scores, costs, budget) for scores in score_sets))


def _sum(rows: Sequence[Sequence[float]], path: Path) -> float:
    return sum(row[c] for row, c in zip(rows, path, strict=True))


def _undominated(states: list[tuple[int, float, Path]]) -> list[tuple[int, float, Path]]:
    kept: list[tuple[int, float, Path]] = []
    for state in sorted(states, key=lambda state: (state[0], -state[1])):
        if not kept or state[1] > kept[-1][1]:
            kept.append(state)
    return kept


def _dual(scores: Rows, costs: Sequence[Sequence[int]], budget: int) -> tuple[float, Path]:
    """The price of a MAdd at which the layers' own choices just fit the budget, and the best feasible path seen."""

    def choose(price: float) -> Path:
        layers = zip(scores, costs, strict=True)
        return argmax([[s - price * c for s, c in zip(row, cost, strict=True)] for row, cost in layers])

    low, high = 0.0, 1e-12
    while _sum(costs, choose(high)) > budget and high < 1e12:
        high *= 4
    cheapest = tuple(min(range(len(row)), key=lambda c, row=row: row[c]) for row in costs)  # type: ignore[misc]
    feasible = [cheapest]
    for _ in range(60):
        middle = (low + high) / 2
        path = choose(middle)
        if _sum(costs, path) > budget:
            low = middle
        else:
            high = middle
            feasible.append(path)
    return high, max(feasible, key=lambda path: _sum(scores, path))
