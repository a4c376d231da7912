"""What a search predicts of an architecture, and how that agrees with what fine-tuning gives."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from fna.arch.arch import Arch
from fna.arch.decision import Path
from fna.arch.layers import Skip
from fna.arch.space import Space
from fna.search.result import SearchResult

LEAST = 12
"""Architectures without which a rank correlation says too little."""


def prediction(result: SearchResult, space: Space, arch: Arch) -> float:
    """The sum of what the options of an architecture are worth, by the mean over the replicas of a search.

    Where whole stages were scored, a stage of mixed layers counts as the mean over its layers of the score of the
    stage that is made of such layers alone, at the same depth.
    """
    path, total, first = space.path_of(arch), 0.0, 0
    for decision, row in zip(result.space, result.worth.mean, strict=True):
        layers = space.searched[first : first + len(decision.candidates[0])]
        part = path[first : first + len(layers)]
        first += len(layers)
        total += stage_score(decision.candidates, row, part, layers)
    return total


def stage_score(options: Sequence[Path], row: Sequence[float], part: Path, layers: Sequence[tuple[str, Any]]) -> float:
    """The score of what an architecture has where a decision is made."""
    if part in options:
        return row[options.index(part)]

    def depth(choice: Path) -> int:
        return sum(ops[c] != Skip() for c, (_, ops) in zip(choice, layers, strict=True))

    scores = [
        fmean(
            value for choice, value in zip(options, row, strict=True) if depth(choice) == depth(part) and choice[i] == c
        )
        for i, c in enumerate(part[: depth(part)])
    ]
    return fmean(scores)
