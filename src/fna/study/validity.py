"""What a search predicts of an architecture, and how that agrees with what fine-tuning gives."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
from torchmetrics.functional import spearman_corrcoef

from fna.arch.arch import Arch
from fna.arch.layers import Skip
from fna.arch.space import Path, Space

LEAST = 12
"""Architectures without which a rank correlation says too little."""


def prediction(result: dict[str, Any], space: Space, arch: Arch) -> float:
    """The sum of the scores of an architecture's picks, averaged over the replicas of a search (search/result.json).

    Where whole stages were scored, a stage of mixed layers counts as the mean over its layers of the score of the
    stage that is made of such layers alone, at the same depth.
    """
    path, total, first = space.path_of(arch), 0.0, 0
    rows = [[fmean(values) for values in zip(*parts, strict=True)] for parts in zip(*result["replicas"], strict=True)]
    for group, row in zip(result["choices"], rows, strict=True):
        layers = space.searched[first : first + len(group[0])]
        part = path[first : first + len(layers)]
        first += len(layers)
        total += group_score([tuple(other) for other in group], row, part, layers)
    return total


def group_score(group: Sequence[Path], row: Sequence[float], part: Path, layers: Sequence[tuple[str, Any]]) -> float:
    """The score of one group's choice."""
    if part in group:
        return row[group.index(part)]

    def depth(choice: Path) -> int:
        return sum(ops[c] != Skip() for c, (_, ops) in zip(choice, layers, strict=True))

    scores = [
        fmean(
            value for choice, value in zip(group, row, strict=True) if depth(choice) == depth(part) and choice[i] == c
        )
        for i, c in enumerate(part[: depth(part)])
    ]
    return fmean(scores)


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties by their mean rank; None where there are fewer than three pairs or no order."""
    if len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(spearman_corrcoef(*(torch.tensor(values, dtype=torch.float64) for values in (a, b))))
