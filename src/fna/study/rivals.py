"""Architectures that no search has chosen: what a search has to beat under the same budget."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fna.arch.arch import Arch
from fna.arch.decision import Path
from fna.arch.space import Space
from fna.cost.budget import Budget
from fna.errors import UserError
from fna.search.derive import derive

FLOOR = 0.95
"""Random architectures cost at least this share of the budget, where the space has such."""
TRIES = 50_000
STEPS = 5_000
"""Parts of the budget in which the knapsack of the largest architecture counts; it falls short by 0.5 % at most."""


@dataclass(frozen=True)
class Limit:
    """A space under a budget: the MAdds of every candidate, and those of the whole model that are not searched."""

    space: Space
    costs: Sequence[Sequence[int]]
    fixed: int
    budget: int

    def madds(self, path: Path) -> int:
        """Whole-model MAdds of the architecture on `path`."""
        return self.fixed + sum(row[c] for row, c in zip(self.costs, path, strict=True))

    @property
    def smallest(self) -> int:
        """Whole-model MAdds of the cheapest architecture."""
        return self.fixed + sum(map(min, self.costs))

    def check(self) -> None:
        """Raises UserError where no architecture fits."""
        if self.smallest > self.budget:
            raise UserError(
                f"the budget of {self.budget / 1e9:.4f} G MAdds is below the smallest network of this space, "
                f"{self.smallest / 1e9:.4f} G"
            )


def random_archs(limit: Limit, count: int, random_seed: int) -> list[Arch]:
    """`count` different architectures under the budget, each of a path drawn uniformly from the space.

    Paths below 0.95 of the budget are drawn again; where 50,000 draws give too few, those that came nearest make up the
    number. Raises UserError where fewer different architectures than `count` were found under the budget at all.
    """
    limit.check()
    generator = random.Random(random_seed)
    sizes = [len(candidates) for _, candidates in limit.space.searched]
    near: dict[Arch, None] = {}
    below: list[tuple[int, Path]] = []
    for _ in range(TRIES):
        path = tuple(generator.randrange(size) for size in sizes)
        madds = limit.madds(path)
        if FLOOR * limit.budget <= madds <= limit.budget:
            near[limit.space.pick(path)] = None
        elif madds < limit.budget:
            below.append((madds, path))
        if len(near) == count:
            break
    for _, path in sorted(below, reverse=True):
        if len(near) < count:
            near[limit.space.pick(path)] = None
    if len(near) < count:
        raise UserError(f"only {len(near)} random architectures were found under the budget; ask for fewer (--random)")
    return list(near)


def largest_arch(limit: Limit) -> Arch:
    """The architecture with the most MAdds under the budget, by the derivation's knapsack with costs as scores."""
    limit.check()
    # In exact costs nearly every sum of candidates is different, and no state of the knapsack dominates another.
    step = max(1, limit.budget // STEPS)
    rounded = [[-(-cost // step) for cost in row] for row in limit.costs]
    left = (limit.budget - limit.fixed) // step
    if sum(map(min, rounded)) > left:
        return limit.space.pick(tuple(min(range(len(row)), key=row.__getitem__) for row in limit.costs))
    scores = [[float(cost) for cost in row] for row in limit.costs]
    return limit.space.pick(derive(scores, {"madds": rounded}, Budget({"madds": left})))


def untrained_arch(limit: Limit, random_seed: int) -> Arch:
    """What a search would derive that learned nothing: from random alphas, under the budget."""
    limit.check()
    generator = random.Random(random_seed)
    alphas = [[generator.gauss(0, 1) for _ in row] for row in limit.costs]
    left = Budget({"madds": limit.budget - limit.fixed})
    return limit.space.pick(derive(alphas, {"madds": limit.costs}, left))
