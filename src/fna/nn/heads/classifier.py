"""The classifier."""

from collections.abc import Sequence

from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.layers import build_convs


class Classifier(nn.Module):
    """Last 1x1 convolution, average pooling, linear layer (MobileNetV2)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.last, self.linear = convs["last"], convs["linear"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The deep tap -> logits (N, classes)."""
        return self.linear(self.last(taps[-1]).mean((2, 3)))
