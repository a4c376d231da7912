"""Convolutions that heads are made of, and where they run."""

from itertools import pairwise

from fna.arch.arch import HW, Arch, Outputs, Tap, shrink, tap_stride
from fna.arch.convs import Conv
from fna.arch.frame import MOBILENET_V2
from fna.arch.heads.kind import At, HeadConv, Numbers
from fna.errors import UserError

Dilation = int | tuple[int, int]
DEEP, LOW, VECTOR = At(-1), At(0), At(pooled=True)


def grid(at: At, taps: tuple[Tap, ...], arch: Outputs, imgsz: HW, output_stride: int = 32) -> HW:
    """Height and width of a head's tensor for images of `imgsz`; every halving rounds up."""
    if at.pooled:
        return (1, 1)
    hw = imgsz
    for _ in range(tap_stride(arch, taps[at.tap], output_stride).bit_length() - 1 + at.halvings):
        hw = shrink(hw, 2)
    return hw


def seeds_last(arch: Outputs, cin: int, at: At, width: int | None = None) -> HeadConv:
    """The seed's last 1x1 convolution as a part of a head; named so, it starts from the seed's weights.

    `width` in place of the architecture's own number of channels. MobileNetV2's where the seed has none.
    """
    channels, frame = width or arch.last, arch.frame if isinstance(arch, Arch) else MOBILENET_V2
    conv, *_ = frame.last(cin, channels) or MOBILENET_V2.last(cin, channels)
    return HeadConv(conv, (at,))


def rising(name: str, taps: Numbers) -> None:
    """A UserError where the strides that a head of this name reads do not rise."""
    if any(fine >= coarse for fine, coarse in pairwise(taps)):
        raise UserError(f"{name}: taps are strides from fine to coarse, such as 4+8+16, got {taps}")


def relu(
    name: str, cin: int, cout: int, kernel: int = 1, groups: int = 1, dilation: Dilation = 1, stride: int = 1
) -> Conv:
    """A convolution with norm and ReLU."""
    return Conv(name, cin, cout, kernel, stride=stride, groups=groups, dilation=dilation, activation="relu")


def separable(name: str, cin: int, cout: int, at: At, dilation: Dilation = 1, stride: int = 1) -> list[HeadConv]:
    """A depthwise 3x3 and a 1x1, both with norm and ReLU, that make a tensor at `at`."""
    return [
        HeadConv(relu(f"{name}.depthwise", cin, cin, 3, cin, dilation, stride), (at,)),
        HeadConv(relu(f"{name}.pointwise", cin, cout), (at,)),
    ]


def score(cin: int, classes: int, name: str = "score") -> Conv:
    """The classifier of pixels: a biased 1x1."""
    return Conv(name, cin, classes, 1, norm=False, bias=True, activation=None)
