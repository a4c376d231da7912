"""RetinaNet's head."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from fna.arch.heads import Head
from fna.nn.heads.detection import Outputs, grids
from fna.nn.layers import StridedConv2d


class RetinaNet(nn.Module):
    """Feature pyramid and two shared towers, both torchvision's (arXiv 1708.02002).

    P6 is made from C5, as in the paper's counts. torchvision has a ReLU between P6 and P7, the authors had none.
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
        anchors = head.anchors[0]
        self.outputs = RetinaNetHead(width, anchors, head.conv("class.output").cout // anchors)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """Taps at strides 8, 16, 32 -> raw outputs."""
        named = OrderedDict((str(i), tap) for i, tap in enumerate(taps))
        maps = list(self.fpn(named).values())
        return self.outputs(maps) | {"grids": grids(maps)}
