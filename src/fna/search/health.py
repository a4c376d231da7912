"""Is a search still searching? Entropy and skip probability of every stage, from the candidates' probabilities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fna.arch.layers import Skip
from fna.arch.space import Space

Probabilities = list[list[float]]
"""Of every searched layer the probabilities of its candidates, which sum to 1."""

COLLAPSED = 0.5
"""Mean skip probability of a stage's layers from which on the most probable network has lost most of them."""


@dataclass(frozen=True, slots=True)
class StageHealth:
    """One searched stage.

    `entropy` is the mean over its layers, 1 where all candidates are equally probable and 0 where one is certain;
    `skip` the mean probability of the identity over the layers that have one, None where none has.
    """

    stage: int
    entropy: float
    skip: float | None

    @property
    def collapsed(self) -> bool:
        """Whether most of the stage's layers are on their way out."""
        return self.skip is not None and self.skip > COLLAPSED

    def __str__(self) -> str:
        skip = "" if self.skip is None else f" skip {self.skip:.2f}"
        return f"stage {self.stage} entropy {self.entropy:.2f}{skip}"


def stage_health(space: Space, probabilities: Probabilities) -> list[StageHealth]:
    """The health of every stage with a searched layer; `probabilities` are those of the candidates."""
    layers: dict[int, list[tuple[float, float | None]]] = {}
    for (name, candidates), row in zip(space.searched, probabilities, strict=True):
        skips = [p for op, p in zip(candidates, row, strict=True) if isinstance(op, Skip)]
        layers.setdefault(int(name.split(".")[1]), []).append((entropy(row), skips[0] if skips else None))
    return [
        StageHealth(
            stage,
            fmean(value for value, _ in found),
            fmean(skips) if (skips := [skip for _, skip in found if skip is not None]) else None,
        )
        for stage, found in layers.items()
    ]


def entropy(probabilities: Sequence[float]) -> float:
    """Shannon's entropy as a share of its maximum, 0 to 1."""
    return -sum(p * math.log(p) for p in probabilities if p > 0) / math.log(len(probabilities))


def softmax(logits: Sequence[float]) -> list[float]:
    """Probabilities from logits."""
    exponentials = [math.exp(value - max(logits)) for value in logits]
    return [value / sum(exponentials) for value in exponentials]
