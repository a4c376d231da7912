"""RetinaNet's head for boxes."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, stages_at_stride, tap_channels
from fna.arch.heads.kind import At, Head, HeadConv, HeadKind, Numbers
from fna.arch.layers import Conv

RETINANET_TOWER = 4
RETINANET_ANCHORS = 9
"""3x3 before each output; 3 scales x 3 ratios (RetinaNet, arXiv 1708.02002, section 4)."""


@dataclass(frozen=True, slots=True)
class RetinaNet(HeadKind):
    """Feature pyramid over strides 8, 16, 32, P6 from C5, P7 from P6, and two towers that all levels share.

    256 channels and four 3x3 before each output (arXiv 1708.02002, section 4). Every convolution is biased and none
    has a norm, as in torchvision and in the paper's counts (Table 3).
    """

    name: ClassVar[str] = "retinanet"
    module: ClassVar[str] = "retinanet:RetinaNet"
    output_strides: ClassVar[Numbers] = (32,)

    width: int = 256

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stages at strides 8, 16 and 32."""
        taps = tuple(Tap(stages_at_stride(arch, stride)[-1]) for stride in (8, 16, 32))
        places = tuple(At(i) for i in range(len(taps)))
        levels = (*places, At(-1, 1), At(-1, 2))
        width = self.width

        def biased(name: str, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> Conv:
            return Conv(name, cin, cout, kernel, stride, norm=False, bias=True, activation=None)

        inner = [biased(f"fpn.inner.{i}", tap_channels(arch, tap), width, 1) for i, tap in enumerate(taps)]
        convs = [HeadConv(conv, (places[i],)) for i, conv in enumerate(inner)]
        convs += [HeadConv(biased(f"fpn.layer.{i}", width, width), (places[i],)) for i in range(3)]
        convs += [
            HeadConv(biased("fpn.p6", tap_channels(arch, taps[-1]), width, stride=2), (levels[3],)),
            HeadConv(biased("fpn.p7", width, width, stride=2), (levels[4],)),
        ]
        for tower, outputs in (("class", classes), ("box", 4)):
            convs += [HeadConv(biased(f"{tower}.{i}", width, width), levels) for i in range(RETINANET_TOWER)]
            convs.append(HeadConv(biased(f"{tower}.output", width, RETINANET_ANCHORS * outputs), levels))
        return Head(self, taps, tuple(convs), levels, (RETINANET_ANCHORS,) * len(levels))
