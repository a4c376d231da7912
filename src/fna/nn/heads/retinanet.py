"""RetinaNet's head."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from fna.arch.heads import Head
from fna.arch.heads.retinanet import RetinaNet as RetinaNetKind
from fna.nn.heads.detection import Outputs, grids
from fna.nn.layers import StridedConv2d

INITIAL_DEVIATION = 0.01
"""Of the random weights of towers and outputs (arXiv 1708.02002, section 4.1), as torchvision has them."""


class RetinaNet(nn.Module):
    """Feature pyramid and two shared towers, both torchvision's (arXiv 1708.02002).

    P6 is made from C5, as in the paper's counts. torchvision has a ReLU between P6 and P7, the authors had none. Towers
    of another depth, and separable ones, take the place of torchvision's.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        width = head.conv("fpn.p6").cout
        channels = [head.conv(f"fpn.inner.{i}").cin for i in range(len(head.taps))]
        last = LastLevelP6P7(channels[-1], width)
        last.use_P5 = False  # torchvision would take P5 where C5 happens to have 256 channels
        for conv in (last.p6, last.p7):
            conv.__class__ = StridedConv2d  # with the weights and the names that torchvision gave it
        self.fpn = FeaturePyramidNetwork(channels, width, last)
        anchors, kind = head.anchors[0], head.kind
        assert isinstance(kind, RetinaNetKind)
        scores = next(part.conv for part in head.convs if part.conv.name.startswith("class.output") and part.conv.bias)
        self.outputs = RetinaNetHead(width, anchors, scores.cout // anchors)
        if kind.light or kind.tower != len(self.outputs.classification_head.conv):
            for part, output in (("classification_head", "cls_logits"), ("regression_head", "bbox_reg")):
                _replace(self.outputs.get_submodule(part), output, kind)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """Taps at strides 8, 16, 32 -> raw outputs."""
        named = OrderedDict((str(i), tap) for i, tap in enumerate(taps))
        maps = list(self.fpn(named).values())
        return self.outputs(maps) | {"grids": grids(maps)}


def _replace(part: nn.Module, output: str, kind: RetinaNetKind) -> None:
    """Give one of torchvision's two heads the tower of `kind`, and its output where that is separable."""
    part.conv = nn.Sequential(
        *(nn.Sequential(*_convs(kind, kind.width), nn.ReLU(inplace=True)) for _ in range(kind.tower))
    )
    if kind.light:
        theirs: Any = part.get_submodule(output)
        *depthwise, pointwise = _convs(kind, theirs.out_channels)
        nn.init.normal_(pointwise.weight, std=INITIAL_DEVIATION)
        pointwise.bias = theirs.bias  # classes start as rare as torchvision has them
        setattr(part, output, nn.Sequential(*depthwise, pointwise))


def _convs(kind: RetinaNetKind, cout: int) -> list[nn.Conv2d]:
    """A 3x3 as torchvision's towers have it, or the two of a separable one.

    Those come one after the other and without norms: a deviation of 0.01 would leave nothing of what goes in, so theirs
    is the one that keeps it (Kaiming's).
    """
    width = kind.width
    if not kind.light:
        convs = [nn.Conv2d(width, cout, 3, padding=1)]
        nn.init.normal_(convs[0].weight, std=INITIAL_DEVIATION)
    else:
        convs = [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.Conv2d(width, cout, 1)]
        nn.init.kaiming_normal_(convs[0].weight, nonlinearity="linear")
        nn.init.kaiming_normal_(convs[1].weight, nonlinearity="relu")
    assert convs[-1].bias is not None
    nn.init.zeros_(convs[-1].bias)
    return convs
