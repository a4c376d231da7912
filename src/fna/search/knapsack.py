"""The multiple-choice knapsack: an option of each decision, the largest sum of scores, limits on sums of costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from fna.arch.decision import OptionValues, Pick

Array = npt.NDArray[Any]

ROUNDS = 4
"""How often the price of each of several limits is set anew while those of the others stand."""


def argmax(scores: OptionValues) -> Pick:
    """The best option of each decision by itself (paper 3.2); the first one on a tie."""
    return tuple(max(range(len(row)), key=row.__getitem__) for row in scores)


@dataclass(frozen=True)
class Knapsack:
    """`scores` by decision and option; `costs` one table like it for each of `limits`."""

    scores: OptionValues
    costs: Sequence[OptionValues]
    limits: Sequence[float]

    def solve(self) -> Pick | None:
        """The best pick that keeps all limits, the first one found on a tie; None where none does.

        Dynamic programming over (costs, score), with states dropped only when they are dominated in all of these, or
        when the Lagrangian bound at the dual prices proves that they cannot beat a pick that is known to be allowed.
        """
        prices, known = self._dual()
        if known is None:
            # With nothing to gain, only the cheapest states survive: is there any allowed pick?
            nothing = [[0.0] * len(row) for row in self.scores]
            known = Knapsack(nothing, self.costs, self.limits)._search([0.0] * len(self.limits), -inf)
            if known is None:
                return None
        return self._search(prices, total(self.scores, known) - 1e-9) or known

    def _search(self, prices: Sequence[float], floor: float) -> Pick | None:
        """The best pick with a score of at least `floor`; `prices` are of a unit of each cost, 0 or more."""
        layers, limits = len(self.scores), np.array(self.limits, float)
        # Upper bounds on what decisions d.. can add to a state at those prices, and the least that they cost.
        rest, least = [0.0] * (layers + 1), np.zeros((layers + 1, len(limits)))
        for d in reversed(range(layers)):
            rest[d] = rest[d + 1] + max(self._priced(d, prices))
            least[d] = least[d + 1] + [min(table[d]) for table in self.costs]
        spent, score = np.zeros((1, len(limits))), np.zeros(1)
        steps: list[tuple[Array, Array]] = []
        for d, row in enumerate(self.scores):
            options = np.array([table[d] for table in self.costs], float).reshape(len(limits), len(row)).T
            score = (score[:, None] + np.array(row)).ravel()
            spent = (spent[:, None] + options).reshape(len(score), len(limits))  # no -1: there may be no limit at all
            left = limits - spent
            hopeful = (left >= least[d + 1]).all(1) & (score + rest[d + 1] + (left * prices).sum(1) >= floor)
            chosen = np.flatnonzero(hopeful)
            chosen = chosen[undominated(spent[chosen], score[chosen])]
            if not len(chosen):
                return None
            steps.append(divmod(chosen, len(row)))
            spent, score = spent[chosen], score[chosen]
        state, pick = int(score.argmax()), []
        for parents, taken in reversed(steps):
            pick.append(int(taken[state]))
            state = int(parents[state])
        return tuple(reversed(pick))

    def _priced(self, d: int, prices: Sequence[float]) -> list[float]:
        """The scores of a decision's options with what they cost taken off."""
        row = list(self.scores[d])
        for price, table in zip(prices, self.costs, strict=True):
            row = [score - price * cost for score, cost in zip(row, table[d], strict=True)]
        return row

    def _allowed(self, pick: Pick) -> bool:
        return all(total(table, pick) <= limit for table, limit in zip(self.costs, self.limits, strict=True))

    def _dual(self) -> tuple[list[float], Pick | None]:
        """Prices at which the decisions' own choices just keep each limit, and the best allowed pick seen so far."""
        prices = [0.0] * len(self.limits)
        seen = [tuple(min(range(len(row)), key=row.__getitem__) for row in table) for table in self.costs]

        def exceeds(m: int, price: float) -> bool:
            """Whether limit m is exceeded at a price of it and the present ones of the others."""
            tried = [*prices[:m], price, *prices[m + 1 :]]
            pick = argmax([self._priced(d, tried) for d in range(len(self.scores))])
            seen.append(pick)
            return total(self.costs[m], pick) > self.limits[m]

        for _ in range(ROUNDS if len(self.limits) > 1 else 1):
            for m in range(len(self.limits)):
                low, high = 0.0, 1e-12
                while exceeds(m, high) and high < 1e12:
                    high *= 4
                for _ in range(60):
                    middle = (low + high) / 2
                    if exceeds(m, middle):
                        low = middle
                    else:
                        high = middle
                prices[m] = high
        allowed = [pick for pick in dict.fromkeys(seen) if self._allowed(pick)]
        return prices, max(allowed, key=lambda pick: total(self.scores, pick), default=None)


def total(values: OptionValues, pick: Pick) -> float:
    """The sum of a pick's values."""
    return sum(row[option] for row, option in zip(values, pick, strict=True))


def undominated(costs: Array, scores: Array) -> Array:
    """Indices of the states that no other one equals or beats in score and in every cost, cheapest first.

    `costs`: (states, limits); `scores`: (states,).
    """
    order = np.lexsort((-scores, *costs.T[::-1]))
    costs, scores = costs[order], scores[order]
    if costs.shape[1] == 1 and len(order):
        # What is as cheap came before: a state must have more than the best of them.
        best = np.maximum.accumulate(scores)
        kept = np.append(True, scores[1:] > best[:-1])
        return order[kept]
    found: list[int] = []
    for state in range(len(order)):
        if not ((scores[found] >= scores[state]) & (costs[found] <= costs[state]).all(1)).any():
            found.append(state)
    return order[found]
