"""Published architectures by name, at any width."""

import math
import re

from fna.arch.arch import Arch, Stage
from fna.arch.layers import MBConv, divisible_by_8, parse_op
from fna.errors import UserError, unknown

CHANNELS = (16, 24, 32, 64, 96, 160, 320)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""MobileNetV2, arXiv 1801.04381, table 2."""

LAYERS: dict[str, tuple[str, ...]] = {
    # MobileNetV2, table 2: depths 1 2 3 4 3 3 1.
    "mobilenet_v2": (
        "k3_e1",
        "k3_e6 k3_e6",
        "k3_e6 k3_e6 k3_e6",
        "k3_e6 k3_e6 k3_e6 k3_e6",
        "k3_e6 k3_e6 k3_e6",
        "k3_e6 k3_e6 k3_e6",
        "k3_e6",
    ),
    # The three architectures of the FNA paper, figure 4, as the authors released them.
    "fna_deeplabv3": (
        "k3_e1",
        "k3_e6 k3_e6",
        "k7_e6 k3_e6 k3_e6 k3_e6",
        "k7_e6 k7_e6 k5_e6 k7_e6 k7_e6 k5_e6",
        "k7_e6 k7_e6 k7_e6 k7_e6",
        "k7_e6 k5_e6",
        "k7_e3",
    ),
    "fna_retinanet": (
        "k3_e1",
        "k3_e6 k3_e6",
        "k7_e6 k5_e6",
        "k3_e6 k5_e6 k7_e6 k3_e6",
        "k5_e6 k7_e6",
        "k7_e6 k7_e6 k7_e3 k7_e6",
        "k7_e6",
    ),
    "fna_ssdlite": (
        "k3_e1",
        "k5_e6",
        "k5_e6 k5_e6 k3_e6 k5_e6",
        "k5_e6 k7_e6 k3_e6",
        "k7_e6 k7_e6 k7_e6 k7_e6",
        "k5_e6 k7_e6 k7_e6",
        "k7_e6",
    ),
}


def scaled_channels(channels: int, width: float) -> int:
    """`channels` times `width` by MobileNetV2's width rule."""
    return divisible_by_8(channels * width)


def build(name: str, width: float = 1.0) -> Arch:
    """The architecture `name` with every channel number scaled by `width`; the last convolution never shrinks."""
    if name not in LAYERS:
        raise unknown("architecture", name, LAYERS)
    if not 0 < width < math.inf:
        raise UserError(f"the width of {name} must be a positive number, got {width!r}")
    stages = tuple(
        Stage(scaled_channels(channels, width), stride, tuple(_mbconv(op) for op in ops.split()))
        for channels, stride, ops in zip(CHANNELS, STRIDES, LAYERS[name], strict=True)
    )
    return Arch(scaled_channels(32, width), stages, scaled_channels(1280, max(1.0, width)))


def _mbconv(text: str) -> MBConv:
    op = parse_op(text)
    assert isinstance(op, MBConv)
    return op


def lookup(name: str) -> Arch:
    """A zoo name, with an optional width in percent: `mobilenet_v2`, `mobilenet_v2_w035`, `fna_deeplabv3_w050`."""
    found = re.fullmatch(r"(.+)_w(\d{3})", name)
    return build(found[1], int(found[2]) / 100) if found else build(name)


def is_name(text: str) -> bool:
    """Whether this is a zoo name, at whatever width."""
    return re.sub(r"_w\d{3}$", "", text) in LAYERS


def mobilenet_v2(width: float = 1.0) -> Arch:
    """The seed of the paper."""
    return build("mobilenet_v2", width)
