"""Heads as data: which convolutions they have, where each one runs, and which stages they read."""

from dataclasses import dataclass
from enum import StrEnum

from fna.arch.arch import Arch, Tap, last_conv, stage_at_stride, tap_channels
from fna.arch.layers import Conv
from fna.errors import unknown

ASPP_CHANNELS = 256
LOW_LEVEL_CHANNELS = 48
ASPP_RATES = (6, 12, 18)
"""DeepLabv3, arXiv 1706.05587, section 3.3, at output stride 16; doubled at 8."""


class At(StrEnum):
    """The resolution at which a convolution of a head runs."""

    DEEP = "deep"  # the last tap's
    LOW = "low"  # the first tap's
    VECTOR = "vector"  # 1x1, after pooling


@dataclass(frozen=True, slots=True)
class HeadConv:
    """A convolution of a head and the resolution it runs at; `linear` marks a fully connected layer."""

    conv: Conv
    at: At
    linear: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A head as data: `taps` are the stages it reads, shallow first."""

    name: str
    taps: tuple[Tap, ...]
    convs: tuple[HeadConv, ...]

    def conv(self, name: str) -> Conv:
        """The convolution of this name."""
        return next(part.conv for part in self.convs if part.conv.name == name)


def _named(name: str, conv: Conv) -> Conv:
    return Conv(name, conv.cin, conv.cout, conv.kernel, conv.stride, activation=conv.activation)


def _relu(name: str, cin: int, cout: int, kernel: int = 1, groups: int = 1, dilation: int = 1) -> Conv:
    return Conv(name, cin, cout, kernel, groups=groups, dilation=dilation, activation="relu")


def classifier(arch: Arch, classes: int, output_stride: int = 32) -> Head:
    """Last 1x1 convolution, average pooling, linear layer (MobileNetV2, table 2)."""
    deep = Tap(len(arch.stages) - 1)
    linear = Conv("linear", arch.last, classes, 1, norm=False, bias=True, activation=None)
    last = _named("last", last_conv(tap_channels(arch, deep), arch.last))
    return Head("classifier", (deep,), (HeadConv(last, At.DEEP), HeadConv(linear, At.VECTOR, linear=True)))


def _aspp(cin: int, output_stride: int, separable: bool) -> list[HeadConv]:
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3, image pooling, projection; all with norm and ReLU."""
    width = ASPP_CHANNELS
    convs = [HeadConv(_relu("aspp.0", cin, width), At.DEEP)]
    for i, rate in enumerate(ASPP_RATES, start=1):
        dilation = rate * 16 // output_stride
        if separable:
            convs.append(HeadConv(_relu(f"aspp.{i}.depthwise", cin, cin, 3, cin, dilation), At.DEEP))
            convs.append(HeadConv(_relu(f"aspp.{i}.pointwise", cin, width), At.DEEP))
        else:
            convs.append(HeadConv(_relu(f"aspp.{i}", cin, width, 3, dilation=dilation), At.DEEP))
    convs.append(HeadConv(_relu("aspp.pool", cin, width), At.VECTOR))
    convs.append(HeadConv(_relu("aspp.project", 5 * width, width), At.DEEP))
    return convs


def deeplabv3(arch: Arch, classes: int, output_stride: int = 16) -> Head:
    """Separable ASPP of 256 channels at rates 6, 12, 18 (times 16 / output stride), then a biased 1x1.

    The form whose counts reproduce the DeepLabv3 rows of paper Table 1.
    """
    deep = Tap(len(arch.stages) - 1)
    score = Conv("score", ASPP_CHANNELS, classes, 1, norm=False, bias=True, activation=None)
    aspp = _aspp(tap_channels(arch, deep), output_stride, separable=True)
    return Head("deeplabv3", (deep,), (*aspp, HeadConv(score, At.DEEP)))


def deeplabv3plus(arch: Arch, classes: int, output_stride: int = 16) -> Head:
    """Full ASPP, the stride-4 stage reduced to 48 channels, two full 3x3 of 256, a biased 1x1 at stride 4.

    The form whose counts reproduce the DeepLabv3+ rows of paper Table 1, but for the bias of one decoder convolution.
    """
    low, deep = Tap(stage_at_stride(arch, 4)), Tap(len(arch.stages) - 1)
    width = ASPP_CHANNELS
    decoder = (
        _relu("low", tap_channels(arch, low), LOW_LEVEL_CHANNELS),
        _relu("decoder.0", width + LOW_LEVEL_CHANNELS, width, 3),
        _relu("decoder.1", width, width, 3),
        Conv("score", width, classes, 1, norm=False, bias=True, activation=None),
    )
    aspp = _aspp(tap_channels(arch, deep), output_stride, separable=False)
    return Head("deeplabv3plus", (low, deep), (*aspp, *(HeadConv(conv, At.LOW) for conv in decoder)))


HEADS = {"classifier": classifier, "deeplabv3": deeplabv3, "deeplabv3plus": deeplabv3plus}
DEFAULT_OUTPUT_STRIDE = {"classifier": 32, "deeplabv3": 16, "deeplabv3plus": 16}


def describe(name: str, arch: Arch, classes: int, output_stride: int) -> Head:
    """The head `name` as data for `arch`; an unknown name is a UserError."""
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    return HEADS[name](arch, classes, output_stride)
