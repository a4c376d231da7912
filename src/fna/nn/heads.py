"""Modules of the heads described in `fna.arch.heads`; they upsample as the authors' segmentation model."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.arch.heads import DPC_BRANCHES, Head
from fna.nn.detection import RetinaNet, SSDLite, in_turn
from fna.nn.layers import ConvNormActivation, build_convs
from fna.nn.repeatable import upsample
from fna.nn.sync_norm import SyncBatchNorm2d

DROPOUT = 0.1
"""Of whole channels, before the classifier (the authors' segmentation model)."""


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling (arXiv 1706.05587, section 3.3)."""

    def __init__(self, convs: nn.ModuleDict) -> None:
        super().__init__()
        self.convs = convs
        self.dropout = nn.Dropout2d(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 256, H, W)."""
        branches = [self.convs["0"](x)]
        for rate in "123":
            branch = self.convs[rate]
            if isinstance(branch, nn.ModuleDict):
                branches.append(branch["pointwise"](branch["depthwise"](x)))
            else:
                branches.append(branch(x))
        pooled = self._pool(x.mean((2, 3), keepdim=True))
        branches.append(pooled.expand(-1, -1, *x.shape[2:]))
        return self.dropout(self.convs["project"](torch.cat(branches, 1)))

    def _pool(self, pooled: Tensor) -> Tensor:
        # One value per channel and image: with a single image there is no variance, so the running statistics serve.
        pool = self.convs["pool"]
        assert isinstance(pool, ConvNormActivation)
        norm = pool.norm
        assert isinstance(norm, nn.BatchNorm2d)
        if self.training and len(pooled) == 1 and not isinstance(norm, SyncBatchNorm2d):
            scaled = F.batch_norm(
                pool.conv(pooled), norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
            )
            return pool.activation(scaled)
        return pool(pooled)


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
        self.decoder = nn.Sequential(*convs["decoder"].values())  # type: ignore[operator]
        self.score = convs["score"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """(low-level tap, deep tap) -> logits (N, classes, *size)."""
        low = self.low(taps[0])
        deep = upsample(self.aspp(taps[-1]), low.shape[2:])
        return upsample(self.score(self.decoder(torch.cat([deep, low], 1))), size)


class DensePredictionCell(nn.Module):
    """Five branches that read each other, joined, projected and classified (arXiv 1809.04184)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.cell, self.project, self.score = convs["cell"], convs["project"], convs["score"]
        # Single values, and before the projection: the published cell, not the ASPP's whole channels after it.
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The deep tap -> logits (N, classes, *size)."""
        branches: list[Tensor] = []
        for branch, (source, _) in zip(self.cell.children(), DPC_BRANCHES, strict=True):
            branches.append(in_turn(branch, taps[-1] if source is None else branches[source]))
        return upsample(self.score(self.project(self.dropout(torch.cat(branches, 1)))), size)


class Classifier(nn.Module):
    """Last 1x1 convolution, average pooling, linear layer (MobileNetV2)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        convs = build_convs(head)
        self.last, self.linear = convs["last"], convs["linear"]

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The deep tap -> logits (N, classes)."""
        return self.linear(self.last(taps[-1]).mean((2, 3)))


HEADS: dict[str, type[nn.Module]] = {
    "classifier": Classifier,
    "deeplabv3": DeepLabV3,
    "deeplabv3plus": DeepLabV3Plus,
    "dpc": DensePredictionCell,
    "retinanet": RetinaNet,
    "ssdlite": SSDLite,
}


def build_head(head: Head) -> nn.Module:
    """The module of a head; forward takes the taps and the size of the images."""
    return HEADS[head.name](head)
