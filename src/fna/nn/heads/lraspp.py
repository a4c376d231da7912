"""MobileNetV3's light head for masks."""

from collections.abc import Sequence

from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.heads import parts
from fna.nn.layers import build_convs
from fna.nn.repeatable import upsample


class Lraspp(nn.Module):
    """A gated 1x1 of the deepest tap, scored, and scores of a finer tap added (arXiv 1905.02244, section 6.4)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.convs = build_convs(head)
        self.score, self.low = self.convs.pop("score"), self.convs.pop("low")
        self.dropout = nn.Dropout2d(parts.DROPOUT)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """(finer tap, deep tap) -> logits (N, classes, *size)."""
        low, deep = self.low(taps[0]), taps[1]
        x = self.convs["project"](deep) * self.convs["gate"](deep.mean((2, 3), keepdim=True))
        x = self.score(self.dropout(upsample(x, low.shape[2:])))
        return upsample(x + low, size)
