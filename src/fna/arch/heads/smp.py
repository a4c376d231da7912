"""Decoders of segmentation-models-pytorch as heads for masks, to compare with.

Those of its decoders that read any backbone: its PSPNet reads stride 8 alone and would leave the rest of a backbone
idle, its DPT needs a vision transformer.
"""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, stages_at_stride, tap_channels
from fna.arch.heads.kind import Head, HeadKind, Numbers, OutsideHead

STRIDES = (2, 4, 8, 16, 32)
"""What the library's decoders read, before any dilation."""


@dataclass(frozen=True, slots=True)
class Smp(HeadKind):
    """A decoder as the library makes it, on the last stage of every stride."""

    module: ClassVar[str] = "smp:Decoder"
    output_strides: ClassVar[Numbers] = (32,)

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stages at strides 2, 4, 8, 16 and 32."""
        taps = tuple(Tap(stages_at_stride(arch, stride)[-1]) for stride in STRIDES)
        channels = tuple(tap_channels(arch, tap) for tap in taps)
        return OutsideHead(self, taps, (), channels=channels, classes=classes, output_stride=output_stride)


class Unet(Smp):
    """U-Net's decoder (arXiv 1505.04597)."""

    __slots__ = ()
    name = "smp:unet"


class UnetPlusPlus(Smp):
    """U-Net++'s decoder (arXiv 1807.10165)."""

    __slots__ = ()
    name = "smp:unetplusplus"


class MAnet(Smp):
    """MA-Net's decoder (doi 10.1109/ACCESS.2020.3025372)."""

    __slots__ = ()
    name = "smp:manet"


class Linknet(Smp):
    """LinkNet's decoder (arXiv 1707.03718)."""

    __slots__ = ()
    name = "smp:linknet"


class SmpFpn(Smp):
    """A feature pyramid of full convolutions (arXiv 1612.03144)."""

    __slots__ = ()
    name = "smp:fpn"


class Upernet(Smp):
    """UPerNet's decoder (arXiv 1807.10221)."""

    __slots__ = ()
    name = "smp:upernet"


class Segformer(Smp):
    """SegFormer's decoder (arXiv 2105.15203)."""

    __slots__ = ()
    name = "smp:segformer"


class Pan(Smp):
    """The pyramid attention network's decoder (arXiv 1805.10180)."""

    __slots__ = ()
    name = "smp:pan"
    output_stride = 16
    output_strides = (16, 32)


class SmpDeepLabV3(Smp):
    """DeepLabv3's decoder (arXiv 1706.05587)."""

    __slots__ = ()
    name = "smp:deeplabv3"
    output_stride = 8
    output_strides = (8, 16)


class SmpDeepLabV3Plus(Smp):
    """DeepLabv3+'s decoder (arXiv 1802.02611)."""

    __slots__ = ()
    name = "smp:deeplabv3plus"
    output_stride = 16
    output_strides = (8, 16)
