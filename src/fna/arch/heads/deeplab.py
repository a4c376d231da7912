"""The DeepLab heads: atrous spatial pyramid pooling, with and without a decoder."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, deepest, stages_at_stride, tap_channels
from fna.arch.heads.convs import DEEP, LOW, VECTOR, relu, score, separable
from fna.arch.heads.kind import Head, HeadConv, HeadKind, Numbers

ASPP_RATES: Numbers = (6, 12, 18)
"""DeepLabv3, arXiv 1706.05587, section 3.3, at output stride 16; doubled at 8."""


def aspp(cin: int, width: int, rates: Numbers, output_stride: int, light: bool) -> list[HeadConv]:
    """Atrous spatial pyramid pooling: 1x1, dilated 3x3, image pooling, projection; all with norm and ReLU.

    `rates` are those at output stride 16, and are at least 1 at another. `light`: the dilated ones are separable.
    """
    convs = [HeadConv(relu("aspp.0", cin, width), (DEEP,))]
    for i, rate in enumerate(rates, start=1):
        dilation = max(1, rate * 16 // output_stride)
        if light:
            convs += separable(f"aspp.{i}", cin, width, DEEP, dilation)
        else:
            convs.append(HeadConv(relu(f"aspp.{i}", cin, width, 3, dilation=dilation), (DEEP,)))
    convs.append(HeadConv(relu("aspp.pool", cin, width), (VECTOR,)))
    convs.append(HeadConv(relu("aspp.project", (2 + len(rates)) * width, width), (DEEP,)))
    return convs


def aspp_reads(head: Head) -> dict[str, tuple[str, ...]]:
    """What the convolutions of the pyramid read: every branch the deepest tap, the projection all branches."""
    names = [part.conv.name for part in head.convs if part.conv.name.startswith("aspp.")]
    firsts = [name for name in names if not name.endswith((".pointwise", ".project"))]
    lasts = [name for name in names if not name.endswith((".depthwise", ".project"))]
    return {name: (f"tap.{len(head.taps) - 1}",) for name in firsts} | {"aspp.project": tuple(lasts)}


@dataclass(frozen=True, slots=True)
class DeepLabV3(HeadKind):
    """Separable ASPP, then a biased 1x1 (arXiv 1706.05587).

    As it is, with 256 channels at rates 6, 12, 18, its counts reproduce the DeepLabv3 rows of paper Table 1.
    """

    name: ClassVar[str] = "deeplabv3"
    module: ClassVar[str] = "deeplab:DeepLabV3"
    output_stride: ClassVar[int] = 16

    width: int = 256
    rates: Numbers = ASPP_RATES

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stage."""
        deep = deepest(arch)
        convs = aspp(tap_channels(arch, deep), self.width, self.rates, output_stride, light=True)
        return Head(self, (deep,), (*convs, HeadConv(score(self.width, classes), (DEEP,))))

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """The ASPP's branches read the deepest tap."""
        return aspp_reads(head)


@dataclass(frozen=True, slots=True)
class DeepLabV3Plus(HeadKind):
    """ASPP, a stage reduced to `low` channels, two 3x3 of `decoder` channels and a biased 1x1 (arXiv 1802.02611).

    As it is, with full convolutions, its counts reproduce the DeepLabv3+ rows of paper Table 1, but for the bias of one
    decoder convolution. `light`: separable 3x3 in the ASPP and in the decoder. `tap` is the stride of the stage.
    """

    name: ClassVar[str] = "deeplabv3plus"
    module: ClassVar[str] = "deeplab:DeepLabV3Plus"
    output_stride: ClassVar[int] = 16

    width: int = 256
    rates: Numbers = ASPP_RATES
    low: int = 48
    decoder: int = 256
    tap: int = 4
    light: bool = False

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the stage at `tap` and the last one."""
        low, deep = Tap(stages_at_stride(arch, self.tap)[-1]), deepest(arch)
        convs = aspp(tap_channels(arch, deep), self.width, self.rates, output_stride, self.light)
        convs.append(HeadConv(relu("low", tap_channels(arch, low), self.low), (LOW,)))
        for i, cin in enumerate((self.width + self.low, self.decoder)):
            if self.light:
                convs += separable(f"decoder.{i}", cin, self.decoder, LOW)
            else:
                convs.append(HeadConv(relu(f"decoder.{i}", cin, self.decoder, 3), (LOW,)))
        return Head(self, (low, deep), (*convs, HeadConv(score(self.decoder, classes), (LOW,))))

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """The ASPP's branches read the deepest tap, the decoder what they give beside the finer one."""
        first = "decoder.0.depthwise" if self.light else "decoder.0"
        return aspp_reads(head) | {"low": ("tap.0",), first: ("aspp.project", "low")}
