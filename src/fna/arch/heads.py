"""Heads as data: which convolutions they have, where each one runs, and which stages they read."""

from dataclasses import dataclass

from fna.arch.arch import HW, Arch, Outputs, Tap, deepest, last_conv, shrink, stages_at_stride, tap_channels, tap_stride
from fna.arch.layers import Conv
from fna.errors import UserError, unknown

ASPP_CHANNELS = 256
LOW_LEVEL_CHANNELS = 48
ASPP_RATES = (6, 12, 18)
"""DeepLabv3, arXiv 1706.05587, section 3.3, at output stride 16; doubled at 8."""


@dataclass(frozen=True, slots=True)
class At:
    """The resolution at which a convolution of a head runs: that of a tap, halved so many times, or one vector."""

    tap: int = -1
    halvings: int = 0
    pooled: bool = False


DEEP, LOW, VECTOR = At(-1), At(0), At(pooled=True)


@dataclass(frozen=True, slots=True)
class HeadConv:
    """A convolution of a head and where it runs, several times where levels share it; `linear`: fully connected."""

    conv: Conv
    at: tuple[At, ...]
    linear: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A head as data: `taps` are the places it reads, shallow first.

    A detector also says at which `levels` it predicts, fine to coarse, and how many `anchors` a cell of each has.
    """

    name: str
    taps: tuple[Tap, ...]
    convs: tuple[HeadConv, ...]
    levels: tuple[At, ...] = ()
    anchors: tuple[int, ...] = ()

    def conv(self, name: str) -> Conv:
        """The convolution of this name."""
        return next(part.conv for part in self.convs if part.conv.name == name)


def grid(at: At, taps: tuple[Tap, ...], arch: Outputs, imgsz: HW, output_stride: int = 32) -> HW:
    """Height and width of a head's tensor for images of `imgsz`; every halving rounds up."""
    if at.pooled:
        return (1, 1)
    hw = imgsz
    for _ in range(tap_stride(arch, taps[at.tap], output_stride).bit_length() - 1 + at.halvings):
        hw = shrink(hw, 2)
    return hw


def _last(arch: Outputs, cin: int, at: At) -> HeadConv:
    """The seed's last 1x1 convolution as a part of a head; named so, it starts from the seed's weights."""
    conv = last_conv(cin, arch.last)
    return HeadConv(Conv("last", conv.cin, conv.cout, conv.kernel, activation=conv.activation), (at,))


def _relu(
    name: str, cin: int, cout: int, kernel: int = 1, groups: int = 1, dilation: int | tuple[int, int] = 1
) -> Conv:
    return Conv(name, cin, cout, kernel, groups=groups, dilation=dilation, activation="relu")


def classifier(arch: Outputs, classes: int, output_stride: int = 32) -> Head:
    """Last 1x1 convolution, average pooling, linear layer (MobileNetV2, table 2)."""
    deep = deepest(arch)
    linear = Conv("linear", arch.last, classes, 1, norm=False, bias=True, activation=None)
    last = _last(arch, tap_channels(arch, deep), DEEP)
    return Head("classifier", (deep,), (last, HeadConv(linear, (VECTOR,), linear=True)))


def _aspp(cin: int, output_stride: int, separable: bool) -> list[HeadConv]:
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3, image pooling, projection; all with norm and ReLU."""
    width = ASPP_CHANNELS
    convs = [HeadConv(_relu("aspp.0", cin, width), (DEEP,))]
    for i, rate in enumerate(ASPP_RATES, start=1):
        dilation = rate * 16 // output_stride
        if separable:
            convs.append(HeadConv(_relu(f"aspp.{i}.depthwise", cin, cin, 3, cin, dilation), (DEEP,)))
            convs.append(HeadConv(_relu(f"aspp.{i}.pointwise", cin, width), (DEEP,)))
        else:
            convs.append(HeadConv(_relu(f"aspp.{i}", cin, width, 3, dilation=dilation), (DEEP,)))
    convs.append(HeadConv(_relu("aspp.pool", cin, width), (VECTOR,)))
    convs.append(HeadConv(_relu("aspp.project", 5 * width, width), (DEEP,)))
    return convs


def _score(classes: int) -> Conv:
    return Conv("score", ASPP_CHANNELS, classes, 1, norm=False, bias=True, activation=None)


def deeplabv3(arch: Outputs, classes: int, output_stride: int = 16) -> Head:
    """Separable ASPP of 256 channels at rates 6, 12, 18 (times 16 / output stride), then a biased 1x1.

    The form whose counts reproduce the DeepLabv3 rows of paper Table 1.
    """
    deep = deepest(arch)
    aspp = _aspp(tap_channels(arch, deep), output_stride, separable=True)
    return Head("deeplabv3", (deep,), (*aspp, HeadConv(_score(classes), (DEEP,))))


def deeplabv3plus(arch: Outputs, classes: int, output_stride: int = 16) -> Head:
    """Full ASPP, the stride-4 stage reduced to 48 channels, two full 3x3 of 256, a biased 1x1 at stride 4.

    The form whose counts reproduce the DeepLabv3+ rows of paper Table 1, but for the bias of one decoder convolution.
    """
    low, deep = Tap(stages_at_stride(arch, 4)[-1]), deepest(arch)
    width = ASPP_CHANNELS
    decoder = (
        _relu("low", tap_channels(arch, low), LOW_LEVEL_CHANNELS),
        _relu("decoder.0", width + LOW_LEVEL_CHANNELS, width, 3),
        _relu("decoder.1", width, width, 3),
        _score(classes),
    )
    aspp = _aspp(tap_channels(arch, deep), output_stride, separable=False)
    return Head("deeplabv3plus", (low, deep), (*aspp, *(HeadConv(conv, (LOW,)) for conv in decoder)))


DPC_BRANCHES: tuple[tuple[int | None, tuple[int, int]], ...] = (
    (None, (1, 6)),
    (0, (18, 15)),
    (1, (6, 3)),
    (0, (1, 1)),
    (0, (6, 21)),
)
"""What each branch reads (an earlier branch, None: the backbone) and its vertical and horizontal rate at output stride
16: the best dense prediction cell (arXiv 1809.04184, as its authors released it for Cityscapes)."""


def dpc(arch: Outputs, classes: int, output_stride: int = 16) -> Head:
    """Dense prediction cell: five separable 3x3 of 256 channels, joined and projected, then a biased 1x1.

    Rates are those of `DPC_BRANCHES` times 16 / output stride, at least 1; the DPC row of paper Table 1.
    """
    deep = deepest(arch)
    convs = []
    for i, (source, rates) in enumerate(DPC_BRANCHES):
        cin = tap_channels(arch, deep) if source is None else ASPP_CHANNELS
        vertical, horizontal = (max(1, rate * 16 // output_stride) for rate in rates)
        convs.append(_relu(f"cell.{i}.depthwise", cin, cin, 3, cin, (vertical, horizontal)))
        convs.append(_relu(f"cell.{i}.pointwise", cin, ASPP_CHANNELS))
    convs.append(_relu("project", len(DPC_BRANCHES) * ASPP_CHANNELS, ASPP_CHANNELS))
    convs.append(_score(classes))
    return Head("dpc", (deep,), tuple(HeadConv(conv, (DEEP,)) for conv in convs))


FPN_CHANNELS = 256
RETINANET_TOWER = 4
RETINANET_ANCHORS = 9
"""RetinaNet, arXiv 1708.02002, section 4: 256 channels, four 3x3 before each output, 3 scales x 3 ratios."""


def retinanet(arch: Outputs, classes: int, output_stride: int = 32) -> Head:
    """Feature pyramid over strides 8, 16, 32, P6 from C5, P7 from P6, and two towers that all levels share.

    Every convolution is biased and none has a norm, as in torchvision and in the paper's counts (Table 3).
    """
    taps = tuple(Tap(stages_at_stride(arch, stride)[-1]) for stride in (8, 16, 32))
    places = tuple(At(i) for i in range(len(taps)))
    levels = (*places, At(-1, 1), At(-1, 2))
    width = FPN_CHANNELS

    def biased(name: str, cin: int, cout: int, kernel: int = 3, stride: int = 1) -> Conv:
        return Conv(name, cin, cout, kernel, stride, norm=False, bias=True, activation=None)

    convs = [HeadConv(biased(f"fpn.inner.{i}", tap_channels(arch, taps[i]), width, 1), (places[i],)) for i in range(3)]
    convs += [HeadConv(biased(f"fpn.layer.{i}", width, width), (places[i],)) for i in range(3)]
    convs += [
        HeadConv(biased("fpn.p6", tap_channels(arch, taps[-1]), width, stride=2), (levels[3],)),
        HeadConv(biased("fpn.p7", width, width, stride=2), (levels[4],)),
    ]
    for tower, outputs in (("class", classes), ("box", 4)):
        convs += [HeadConv(biased(f"{tower}.{i}", width, width), levels) for i in range(RETINANET_TOWER)]
        convs.append(HeadConv(biased(f"{tower}.output", width, RETINANET_ANCHORS * outputs), levels))
    return Head("retinanet", taps, tuple(convs), levels, (RETINANET_ANCHORS,) * len(levels))


SSD_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Squeezed and output channels of the layers after the backbone (MobileNetV2 SSDLite, the authors' configuration)."""
SSD_ANCHORS = (4, 6, 6, 6, 4, 4)
"""Boxes per cell: two squares, and two for every aspect ratio (SSD, arXiv 1512.02325, section 2.2)."""


def ssdlite(arch: Outputs, classes: int, output_stride: int = 32) -> Head:
    """Separable predictions on six maps (MobileNetV2, arXiv 1801.04381, section 6.2, in the authors' form).

    The first map is the expanded tensor of the first layer at stride 32 (the 160 stage), itself at stride 16; the
    second the last 1x1 convolution; four extra layers follow. A plain backbone has no expanded tensors: there the first
    map is its output at stride 16. Predictions are a depthwise 3x3 and a 1x1, both with norm. The background is one
    class more.
    """
    deep = stages_at_stride(arch, 32)
    first = Tap(deep[0], expanded=True) if isinstance(arch, Arch) else Tap(stages_at_stride(arch, 16)[-1])
    taps = (first, Tap(deep[-1]))
    levels = (At(0), *(At(-1, halvings) for halvings in range(len(SSD_EXTRAS) + 1)))
    convs = [_last(arch, tap_channels(arch, taps[-1]), levels[1])]
    channels = [tap_channels(arch, taps[0]), arch.last]
    for i, (squeezed, out) in enumerate(SSD_EXTRAS):
        before, after = levels[i + 1], levels[i + 2]
        convs += [
            HeadConv(Conv(f"extra.{i}.squeeze", channels[-1], squeezed, 1), (before,)),
            HeadConv(Conv(f"extra.{i}.depthwise", squeezed, squeezed, 3, 2, squeezed), (after,)),
            HeadConv(Conv(f"extra.{i}.project", squeezed, out, 1), (after,)),
        ]
        channels.append(out)
    for kind, outputs in (("class", classes + 1), ("box", 4)):
        for i, (width, anchors) in enumerate(zip(channels, SSD_ANCHORS, strict=True)):
            convs += [
                HeadConv(Conv(f"{kind}.{i}.depthwise", width, width, 3, groups=width), (levels[i],)),
                HeadConv(Conv(f"{kind}.{i}.project", width, anchors * outputs, 1, activation=None), (levels[i],)),
            ]
    return Head("ssdlite", taps, tuple(convs), levels, SSD_ANCHORS)


HEADS = {
    "classifier": classifier,
    "deeplabv3": deeplabv3,
    "deeplabv3plus": deeplabv3plus,
    "dpc": dpc,
    "retinanet": retinanet,
    "ssdlite": ssdlite,
}
SEGMENTERS = frozenset({"deeplabv3", "deeplabv3plus", "dpc"})
DEFAULT_OUTPUT_STRIDE = {name: 16 if name in SEGMENTERS else 32 for name in HEADS}
DETECTORS = frozenset({"retinanet", "ssdlite"})
"""Heads that need a map at stride 32, so a backbone without dilation."""


def describe(name: str, arch: Outputs, classes: int, output_stride: int) -> Head:
    """The head `name` as data for `arch`; a UserError for an unknown name or an output stride that it cannot have."""
    if name not in HEADS:
        raise unknown("head", name, HEADS)
    if output_stride != 32 and name in DETECTORS:
        raise UserError(f"the head {name} needs output stride 32, got {output_stride}")
    return HEADS[name](arch, classes, output_stride)
