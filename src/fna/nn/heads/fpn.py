"""The light feature pyramid for masks."""

from collections.abc import Sequence

from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.heads import parts
from fna.nn.heads.parts import in_turn, pooled
from fna.nn.layers import build_convs
from fna.nn.repeatable import upsample


class Fpn(nn.Module):
    """Top-down sums of 1x1 convolutions of the taps, with the image's mean added to the deepest (arXiv 1612.03144)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.context, self.lateral, self.finest = convs["context"], convs["lateral"], convs["finest"]
        # With the deepest tap alone there is nothing to sum.
        self.smooth = convs["smooth"] if "smooth" in convs else nn.ModuleDict()
        self.dropout = nn.Dropout2d(parts.DROPOUT)
        self.score = convs["score"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Taps, fine to coarse -> logits (N, classes, *size)."""
        *finer, deepest = (lateral(tap) for lateral, tap in zip(self.lateral.children(), taps, strict=True))
        x = deepest + pooled(self.context, taps[-1])
        for lateral, smooth in reversed(list(zip(finer, self.smooth.children(), strict=True))):
            x = in_turn(smooth, lateral + upsample(x, lateral.shape[2:]))
        return upsample(self.score(self.dropout(in_turn(self.finest, x))), size)
