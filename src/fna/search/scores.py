"""From what independent searches measured to the scores that a derivation reads."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, variance

from fna.arch.decision import Decision, OptionValues
from fna.config.sections import Search
from fna.search import trials
from fna.search.result import FrozenValues, SearchResult, Worth
from fna.search.swaps import TEMPERATURE

COMBINE: dict[str, Callable[[Sequence[float]], float]] = {"mean": fmean, "worst": min}
"""How replicas become one: their mean, or an option's worst score, so that only what all of them favour is chosen."""
PENALTIES = (0.0, 4.0, 0.5, 0.75)
"""What a change costs in the readings of the scores, in units of the largest gain: nothing; so much that only as many
changes are made as the budget forces; and two in between."""


def worth(decisions: Sequence[Decision], replicas: Sequence[OptionValues], how: Search) -> Worth:
    """What each option is worth by all replicas; `caution` standard errors are off every change's score (swaps)."""
    scores = together(replicas, COMBINE[how.combine])
    unit = "alpha"
    if how.method == "swaps":
        unit = f"held-out loss below that of the seed's option, in units of {TEMPERATURE}"
        scores = cautious(scores, decisions, how.caution * standard_error(replicas))
    return Worth(
        unit=unit,
        mean=frozen(together(replicas, fmean)),
        standard_errors=frozen(together(replicas, trials.standard_error)) if len(replicas) > 1 else None,
        scores=frozen(scores),
        replicas=tuple(frozen(replica) for replica in replicas),
    )


def score_sets(result: SearchResult, how: Search) -> list[OptionValues]:
    """The scores to derive from: the configured ones, and with trials other readings of them that a trial may prefer.

    Those are the mean over replicas with more or less taken off every change, and each replica by itself.
    """
    if how.trials == 0 or how.method == "alphas":
        return [result.worth.scores]
    mean, decisions = result.worth.mean, result.space
    gain = max(max(row) for row in mean)
    careful = [cautious(mean, decisions, penalty * gain) for penalty in PENALTIES]
    return [*careful, result.worth.scores, *result.worth.replicas]


def together(replicas: Sequence[OptionValues], combine: Callable[[Sequence[float]], float]) -> list[list[float]]:
    """One value for each option from those of the replicas."""
    return [[combine(values) for values in zip(*rows, strict=True)] for rows in zip(*replicas, strict=True)]


def standard_error(replicas: Sequence[OptionValues]) -> float:
    """Of the mean score of an option, pooled over all options, from what replicas disagree on; 0 with one replica."""
    if len(replicas) < 2:
        return 0.0
    cells = [values for rows in zip(*replicas, strict=True) for values in zip(*rows, strict=True)]
    # The seed's own options score 0 in every replica: they are the reference, not an estimate.
    estimates = [variance(values) / len(values) for values in cells if any(values)]
    return math.sqrt(fmean(estimates)) if estimates else 0.0


def cautious(scores: OptionValues, decisions: Sequence[Decision], penalty: float) -> list[list[float]]:
    """Scores with `penalty` taken off every option but the seed's own: a change has to earn it to be chosen."""
    return [
        [value if option == decision.seed_option else value - penalty for option, value in enumerate(row)]
        for row, decision in zip(scores, decisions, strict=True)
    ]


def frozen(values: OptionValues) -> FrozenValues:
    """The same values, which nothing can change."""
    return tuple(map(tuple, values))
