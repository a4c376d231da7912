"""Auto-DeepLab-S (arXiv 1901.02985): twelve cells of one searched kind on a searched path of resolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fna.arch.convs import Conv
from fna.nn.layers import ConvNormActivation
from fna.nn.repeatable import upsample

LEVELS = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
"""The resolution of every cell's output: stride 4 * 2 ** level."""
FILTERS = 20
"""Channels of a node at level 0; they double with every level (F = 20 is the network called S)."""
NODES = (
    (("atrous", 5, 1), ("separable", 3, 0)),
    (("separable", 3, 1), ("atrous", 3, 0)),
    (("separable", 3, 3), ("separable", 3, 1)),
    (("separable", 5, 4), ("separable", 5, 2)),
    (("separable", 5, 3), ("atrous", 5, 5)),
)
"""The two operations that each node adds up: kind, kernel and what it reads. 0 is the cell before, 1 the one before
that, 2 and more are the nodes of this cell, in order."""
LOW_LEVEL_CELL = 2
"""The cell whose output a decoder reads as its low-level feature."""


class Atrous(nn.Module):
    """ReLU, full convolution of rate 2, norm; with stride 2 the input is halved instead, and the rate is 1."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.halve = stride == 2
        rate = 1 if self.halve else 2
        self.conv = ConvNormActivation(Conv("", channels, channels, kernel, dilation=rate, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, ceil(H / stride), ceil(W / stride))."""
        x = x.relu()
        return self.conv(upsample(x, [(side + 1) // 2 for side in x.shape[2:]]) if self.halve else x)


class Separable(nn.Sequential):
    """Twice: ReLU, depthwise convolution, 1x1, norm; the first of them with the stride."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        parts: list[nn.Module] = []
        for step in (stride, 1):
            depthwise = Conv("", channels, channels, kernel, step, channels, norm=False, activation=None)
            pointwise = Conv("", channels, channels, 1, activation=None)
            parts += [nn.ReLU(), ConvNormActivation(depthwise), ConvNormActivation(pointwise)]
        super().__init__(*parts)


OPERATIONS: dict[str, type[Atrous] | type[Separable]] = {"atrous": Atrous, "separable": Separable}


class Cell(nn.Module):
    """Five nodes, each a sum of two operations, joined; `cin` are the channels of the two cells before."""

    def __init__(self, cin: tuple[int, int], channels: int, stride: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(
            nn.Sequential(nn.ReLU(), ConvNormActivation(Conv("", width, channels, 1, activation=None))) for width in cin
        )
        self.nodes = nn.ModuleList()
        for node in NODES:
            # Only what comes from outside of the cell still has to be halved.
            steps = [stride if source < 2 else 1 for _, _, source in node]
            operations = [
                OPERATIONS[kind](channels, kernel, step) for (kind, kernel, _), step in zip(node, steps, strict=True)
            ]
            self.nodes.append(nn.ModuleList(operations))

    def forward(self, before: Tensor, earlier: Tensor) -> Tensor:
        """Outputs of the cell before and of the one before that, sizes equal -> (N, 5 * channels, H, W) / stride."""
        states = [self.inputs[0](before), self.inputs[1](earlier)]
        for node, plan in zip(self.nodes, NODES, strict=True):
            terms = [operation(states[source]) for operation, (_, _, source) in zip(node.children(), plan, strict=True)]
            states.append(terms[0] + terms[1])
        return torch.cat(states[2:], 1)


class AutoDeepLabS(nn.Module):
    """The backbone: the output of the third cell at stride 4, and the last one's at stride 8."""

    channels = tuple(len(NODES) * FILTERS * 2 ** LEVELS[cell] for cell in (LOW_LEVEL_CELL, -1))
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            ConvNormActivation(Conv("", cin, cout, 3, stride, activation=None))
            for cin, cout, stride in ((3, 64, 2), (64, 64, 1), (64, 128, 2))
        )
        self.cells = nn.ModuleList()
        earlier, before, level = 64, 128, 0
        for new in LEVELS:
            channels = FILTERS * 2**new
            self.cells.append(Cell((before, earlier), channels, 2 if new > level else 1))
            earlier, before, level = before, len(NODES) * channels, new

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> (N, 100, H / 4, W / 4) and (N, 200, H / 8, W / 8), sizes rounded up."""
        first, second, third = self.stem
        earlier = second(first(images).relu())
        before = third(earlier.relu())
        sizes: list[Sequence[int]] = [before.shape[2:]]
        outputs = []
        for cell, level, last in zip(self.cells, LEVELS, (0, *LEVELS[:-1]), strict=True):
            if level < last:
                before = upsample(before, sizes[level])
            if earlier.shape[2:] != before.shape[2:]:
                earlier = upsample(earlier, before.shape[2:])
            earlier, before = before, cell(before, earlier)
            if level == len(sizes):
                sizes.append(before.shape[2:])
            outputs.append(before)
        return [outputs[LOW_LEVEL_CELL], before.relu()]
