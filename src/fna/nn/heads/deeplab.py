"""The DeepLab heads."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.heads import parts
from fna.nn.heads.parts import in_turn, pooled
from fna.nn.layers import build_convs
from fna.nn.repeatable import upsample


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (arXiv 1706.05587, section 3.3)."""

    def __init__(self, convs: nn.ModuleDict) -> None:
        super().__init__()
        self.convs = convs
        self.dropout = nn.Dropout2d(parts.DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H, W)."""
        branches = [in_turn(self.convs[branch], x) for branch in self.convs if branch.isdecimal()]
        branches.append(pooled(self.convs["pool"], x).expand(-1, -1, *x.shape[2:]))
        return self.dropout(self.convs["project"](torch.cat(branches, 1)))


class DeepLabV3(nn.Module):
    """ASPP and a 1x1 classifier (arXiv 1706.05587)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.aspp = Aspp(convs["aspp"])  # type: ignore[arg-type]
        self.score = convs["score"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The deep tap -> logits (N, classes, *size)."""
        return upsample(self.score(self.aspp(taps[-1])), size)


class DeepLabV3Plus(nn.Module):
    """ASPP, joined with a low-level feature by a decoder of two 3x3 convolutions (arXiv 1802.02611)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.aspp = Aspp(convs["aspp"])  # type: ignore[arg-type]
        self.low = convs["low"]
        self.decoder = convs["decoder"]
        self.score = convs["score"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """(low-level tap, deep tap) -> logits (N, classes, *size)."""
        low = self.low(taps[0])
        deep = upsample(self.aspp(taps[-1]), low.shape[2:])
        x = torch.cat([deep, low], 1)
        for part in self.decoder.children():
            x = in_turn(part, x)
        return upsample(self.score(x), size)
