"""The dense prediction cell."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fna.arch.heads import Head
from fna.arch.heads.dpc import DPC_BRANCHES
from fna.nn.heads import parts
from fna.nn.heads.parts import in_turn
from fna.nn.layers import build_convs
from fna.nn.repeatable import upsample


class DensePredictionCell(nn.Module):
    """Five branches that read each other, joined, projected and classified (arXiv 1809.04184)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.cell, self.project, self.score = convs["cell"], convs["project"], convs["score"]
        # Single values, and before the projection: the published cell, not the ASPP's whole channels after it.
        self.dropout = nn.Dropout(parts.DROPOUT)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The deep tap -> logits (N, classes, *size)."""
        branches: list[Tensor] = []
        for branch, (source, _) in zip(self.cell.children(), DPC_BRANCHES, strict=True):
            branches.append(in_turn(branch, taps[-1] if source is None else branches[source]))
        return upsample(self.score(self.project(self.dropout(torch.cat(branches, 1)))), size)
