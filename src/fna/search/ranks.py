"""Rank correlation: the one definition that searches and studies have of it."""

from collections.abc import Sequence
from itertools import combinations
from statistics import correlation, fmean

from fna.arch.decision import Decision, OptionValues


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation, -1 to 1; None where there are fewer than three pairs or all of one side are equal.

    The correlation of the ranks, where equal values have the mean of their ranks.
    """
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return correlation(ranks(a), ranks(b))


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of every value from 1 up; equal values have the mean of the ranks that they take."""
    order = sorted(values)
    first = {value: place for place, value in reversed(list(enumerate(order, start=1)))}
    last = {value: place for place, value in enumerate(order, start=1)}
    return [(first[value] + last[value]) / 2 for value in values]


def repeatability(decisions: Sequence[Decision], replicas: Sequence[OptionValues]) -> float | None:
    """Mean rank correlation, over pairs of independent searches, of what they think of the changes of the seed.

    1: they prefer the same changes; 0: their preferences are chance. None with a single search, or where no decision
    has two changes to choose from. Of each decision the mean over its changes is taken out, so that only differences
    between the options of one decision count. The seed's own option takes no part, whatever the strategy: for swaps it
    is the reference, 0 by definition in every search, and alphas may start in its favour.
    """
    flat = [changes(decisions, values) for values in replicas]
    found = [spearman(one, other) for one, other in combinations(flat, 2)]
    known = [value for value in found if value is not None]
    return fmean(known) if known else None


def changes(decisions: Sequence[Decision], values: OptionValues) -> list[float]:
    """The values of all options but the seed's, each decision's mean taken out; decisions of one change left out."""
    found = []
    for decision, row in zip(decisions, values, strict=True):
        others = [value for option, value in enumerate(row) if option != decision.seed_option]
        if len(others) > 1:
            mean = fmean(others)
            found += [value - mean for value in others]
    return found
