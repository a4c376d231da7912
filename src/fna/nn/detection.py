"""Detection heads: raw class scores and box offsets for every anchor; what they mean is in `fna.tasks.detectors`."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from fna.arch.heads import FPN_CHANNELS, Head
from fna.nn.layers import StridedConv2d, build_convs

Outputs = dict[str, Tensor]
"""`cls_logits` (N, anchors, classes) and `bbox_regression` (N, anchors, 4), cells row by row, level after level; and
`grids` (levels, 2), height and width of each level."""

INITIAL_DEVIATION = 0.03
"""Of the random weights of SSDLite's extra layers and predictions (the authors; torchvision has the same)."""


def grids(maps: Sequence[Tensor]) -> Tensor:
    """(levels, 2): height and width of each feature map."""
    return torch.tensor([feature.shape[2:] for feature in maps])


class RetinaNet(nn.Module):
    """Feature pyramid and two shared towers, both torchvision's (arXiv 1708.02002).

    P6 is made from C5, as in the paper's counts. torchvision has a ReLU between P6 and P7, the authors had none.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        channels = [head.conv(f"fpn.inner.{i}").cin for i in range(len(head.taps))]
        last = LastLevelP6P7(channels[-1], FPN_CHANNELS)
        last.use_P5 = False  # torchvision would take P5 where C5 happens to have 256 channels
        for conv in (last.p6, last.p7):
            conv.__class__ = StridedConv2d  # with the weights and the names that torchvision gave it
        self.fpn = FeaturePyramidNetwork(channels, FPN_CHANNELS, last)
        anchors = head.anchors[0]
        self.outputs = RetinaNetHead(FPN_CHANNELS, anchors, head.conv("class.output").cout // anchors)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """Taps at strides 8, 16, 32 -> raw outputs."""
        named = OrderedDict((str(i), tap) for i, tap in enumerate(taps))
        maps = list(self.fpn(named).values())
        return self.outputs(maps) | {"grids": grids(maps)}


class SSDLite(nn.Module):
    """Six maps with separable predictions (arXiv 1801.04381, section 6.2), norms on the predictions as the authors."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.convs = build_convs(head)
        self.last = self.convs.pop("last")
        self.classes = head.conv("class.0.project").cout // head.anchors[0]
        for part in self.convs.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=INITIAL_DEVIATION)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """(expanded tensor at stride 16, deep tap) -> raw outputs; class 0 is the background."""
        maps = [taps[0], self.last(taps[1])]
        for extra in self._children("extra"):
            maps.append(in_turn(extra, maps[-1]))
        logits, boxes = (
            torch.cat([per_anchor(in_turn(part, m), n) for part, m in zip(self._children(kind), maps, strict=True)], 1)
            for kind, n in (("class", self.classes), ("box", 4))
        )
        return {"cls_logits": logits, "bbox_regression": boxes, "grids": grids(maps)}

    def _children(self, name: str) -> list[nn.Module]:
        return list(self.convs[name].children())


def in_turn(parts: nn.Module, x: Tensor) -> Tensor:
    """The children of a module dict, one after the other."""
    for part in parts.children():
        x = part(x)
    return x


def per_anchor(x: Tensor, values: int) -> Tensor:
    """(N, anchors * values, H, W) -> (N, H * W * anchors, values)."""
    n, _, height, width = x.shape
    return x.view(n, -1, values, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, values)
