"""SSDLite's predictions on a light feature pyramid."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, deepest, stages_at_stride, tap_channels
from fna.arch.convs import Conv
from fna.arch.heads.convs import rising, separable
from fna.arch.heads.kind import At, DetectorKind, Head, HeadConv, HeadKind, Numbers
from fna.arch.heads.ssdlite import predictions, predictions_read, ssd_anchors
from fna.errors import UserError

DEEPEST = 32
"""Stride of the deepest map of a backbone."""


@dataclass(frozen=True, slots=True)
class SsdLiteFpn(DetectorKind):
    """SSDLite's separable predictions (arXiv 1801.04381) on a feature pyramid (arXiv 1612.03144) of `width` channels.

    A 1x1 on the last stage of every stride in `taps` and on the deepest one; from there up, sums with bilinear
    interpolation, and a separable 3x3 on each. From the deepest on, `extra` further maps by separable 3x3 of stride 2.
    All have norms; all but the 1x1 on stages and the predictions have activations. Anchors are SSD's.
    """

    name: ClassVar[str] = "ssdlite_fpn"
    module: ClassVar[str] = "ssdlite_fpn:SsdLiteFpn"
    output_strides: ClassVar[Numbers] = (32,)
    space: ClassVar[str] = "retinanet"
    rules: ClassVar[str] = "ssd"

    width: int = 128
    taps: Numbers = (8, 16)
    extra: int = 3

    def __post_init__(self) -> None:
        HeadKind.__post_init__(self)
        rising(self.name, self.taps)
        if self.taps[-1] >= DEEPEST:
            raise UserError(f"{self.name}: taps are strides below {DEEPEST}, whose map it has anyway, got {self.taps}")

    @property
    def maps(self) -> int:
        """How many maps it predicts on."""
        return len(self.taps) + 1 + self.extra

    @property
    def anchors(self) -> Numbers:
        return ssd_anchors(self.maps)

    @property
    def coarsest_norm(self) -> int:
        return 32 << self.extra

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stage at every stride of `taps`, and the deepest one."""
        width = self.width
        taps = (*(Tap(stages_at_stride(arch, stride)[-1]) for stride in self.taps), deepest(arch))
        levels = (*(At(i) for i in range(len(taps))), *(At(-1, halvings + 1) for halvings in range(self.extra)))
        convs = []
        for i, tap in enumerate(taps):
            convs.append(HeadConv(Conv(f"lateral.{i}", tap_channels(arch, tap), width, 1, activation=None), (At(i),)))
        for i in range(len(taps)):
            convs += separable(f"smooth.{i}", width, width, At(i))
        for i, level in enumerate(levels[len(taps) :]):
            convs += separable(f"extra.{i}", width, width, level, stride=2)
        convs += predictions((width,) * self.maps, self.anchors, levels, classes)
        return Head(self, taps, tuple(convs), levels, self.anchors)

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """Every sum is one of a lateral and of the map below it; predictions read all maps."""
        deep = len(head.taps) - 1
        maps = [f"smooth.{i}.pointwise" for i in range(deep + 1)]
        wiring: dict[str, tuple[str, ...]] = {f"lateral.{i}": (f"tap.{i}",) for i in range(deep + 1)}
        wiring |= {f"smooth.{i}.depthwise": (f"lateral.{i}", *maps[i + 1 : i + 2]) for i in range(deep + 1)}
        return wiring | predictions_read([*maps, *(f"extra.{i}.pointwise" for i in range(self.extra))])
