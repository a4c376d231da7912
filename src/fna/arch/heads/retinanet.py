"""RetinaNet's head for boxes."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, stages_at_stride, tap_channels
from fna.arch.convs import Conv
from fna.arch.heads.kind import At, DetectorKind, Head, HeadConv, Numbers

RETINANET_ANCHORS = 9
"""3 scales x 3 ratios (RetinaNet, arXiv 1708.02002, section 4)."""


def biased(name: str, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> Conv:
    """A convolution with a bias, without norm; what comes after it is the wiring's."""
    return Conv(name, cin, cout, kernel, stride, norm=False, bias=True, activation=None)


def depthwise(name: str, width: int) -> Conv:
    """A 3x3 of every channel by itself, without anything after it."""
    return Conv(name, width, width, 3, groups=width, norm=False, activation=None)


@dataclass(frozen=True, slots=True)
class RetinaNet(DetectorKind):
    """Feature pyramid over strides 8, 16, 32, P6 from C5, P7 from P6, and two towers that all levels share.

    `width` channels and `tower` 3x3 before each output (256 and 4: arXiv 1708.02002, section 4). Every convolution is
    biased and none has a norm, as in torchvision and in the paper's counts (Table 3). `light`: those of the towers and
    the outputs are separable, a depthwise 3x3 and a biased 1x1.
    """

    name: ClassVar[str] = "retinanet"
    module: ClassVar[str] = "retinanet:RetinaNet"
    output_strides: ClassVar[Numbers] = (32,)
    space: ClassVar[str] = "retinanet"
    rules: ClassVar[str] = "retinanet"

    width: int = 256
    tower: int = 4
    light: bool = False

    @property
    def anchors(self) -> Numbers:
        return (RETINANET_ANCHORS,) * 5

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stages at strides 8, 16 and 32."""
        taps = tuple(Tap(stages_at_stride(arch, stride)[-1]) for stride in (8, 16, 32))
        places = tuple(At(i) for i in range(len(taps)))
        levels = (*places, At(-1, 1), At(-1, 2))
        width = self.width
        inner = [biased(f"fpn.inner.{i}", tap_channels(arch, tap), width, 1) for i, tap in enumerate(taps)]
        convs = [HeadConv(conv, (places[i],)) for i, conv in enumerate(inner)]
        convs += [HeadConv(biased(f"fpn.layer.{i}", width, width), (places[i],)) for i in range(3)]
        convs += [
            HeadConv(biased("fpn.p6", tap_channels(arch, taps[-1]), width, stride=2), (levels[3],)),
            HeadConv(biased("fpn.p7", width, width, stride=2), (levels[4],)),
        ]
        for name, outputs in (("class", classes), ("box", 4)):
            couts = {str(i): width for i in range(self.tower)} | {"output": RETINANET_ANCHORS * outputs}
            for part, cout in couts.items():
                convs += [HeadConv(conv, levels) for conv in self._conv(f"{name}.{part}", cout)]
        return Head(self, taps, tuple(convs), levels, self.anchors)

    def _conv(self, name: str, cout: int) -> list[Conv]:
        """One of a tower, or an output."""
        if self.light:
            return [depthwise(f"{name}.depthwise", self.width), biased(f"{name}.pointwise", self.width, cout, 1)]
        return [biased(name, self.width, cout)]

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """Laterals read taps, a map of the pyramid its lateral and all below it, each tower every map."""
        inner, layers = ([f"fpn.{kind}.{i}" for i in range(len(head.taps))] for kind in ("inner", "layer"))
        maps, first = (*layers, "fpn.p6", "fpn.p7"), "0.depthwise" if self.light else "0"
        wiring: dict[str, tuple[str, ...]] = {name: (f"tap.{i}",) for i, name in enumerate(inner)}
        wiring |= {f"{tower}.{first}": maps for tower in ("class", "box")}
        wiring |= {name: tuple(inner[i:]) for i, name in enumerate(layers)}
        return wiring | {"fpn.p6": (f"tap.{len(inner) - 1}",)}
