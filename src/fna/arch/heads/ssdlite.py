"""SSDLite's head for boxes."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Arch, Outputs, Tap, stages_at_stride, tap_channels
from fna.arch.heads.convs import seeds_last
from fna.arch.heads.kind import At, Head, HeadConv, HeadKind, Numbers
from fna.arch.layers import Conv

SSD_EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Squeezed and output channels of the layers after the backbone (MobileNetV2 SSDLite, the authors' configuration)."""
SSD_ANCHORS = (4, 6, 6, 6, 4, 4)
"""Boxes per cell: two squares, and two for every aspect ratio (SSD, arXiv 1512.02325, section 2.2)."""


@dataclass(frozen=True, slots=True)
class SsdLite(HeadKind):
    """Separable predictions on six maps (MobileNetV2, arXiv 1801.04381, section 6.2, in the authors' form).

    The first map is the expanded tensor of the first layer at stride 32 (the 160 stage), itself at stride 16; the
    second the last 1x1 convolution; four extra layers follow. A plain backbone has no expanded tensors: there the first
    map is its output at stride 16. Predictions are a depthwise 3x3 and a 1x1, both with norm. The background is one
    class more.
    """

    name: ClassVar[str] = "ssdlite"
    module: ClassVar[str] = "ssdlite:SsdLite"
    output_strides: ClassVar[Numbers] = (32,)

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads inside the first layer at stride 32, and the last stage."""
        deep = stages_at_stride(arch, 32)
        first = Tap(deep[0], expanded=True) if isinstance(arch, Arch) else Tap(stages_at_stride(arch, 16)[-1])
        taps = (first, Tap(deep[-1]))
        levels = (At(0), *(At(-1, halvings) for halvings in range(len(SSD_EXTRAS) + 1)))
        convs = [seeds_last(arch, tap_channels(arch, taps[-1]), levels[1])]
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
        return Head(self, taps, tuple(convs), levels, SSD_ANCHORS)
