"""SSDLite's head for boxes, and what other heads have of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Arch, Outputs, Tap, stages_at_stride, tap_channels
from fna.arch.convs import Conv
from fna.arch.heads.convs import seeds_last
from fna.arch.heads.kind import At, DetectorKind, Head, HeadConv, Numbers


def ssd_anchors(maps: int) -> Numbers:
    """Boxes per cell of each map: two squares, and two for every aspect ratio.

    The first map and the last two leave out the ratio of 3 (SSD, arXiv 1512.02325, section 2.2).
    """
    return tuple(4 if i in (0, maps - 2, maps - 1) else 6 for i in range(maps))


def ssd_scales(maps: int) -> tuple[float, ...]:
    """Sizes of the boxes of each map, and of the next one, as shares of the image.

    0.1 for the first, the others from 0.2 to 1.1 in equal steps; for six maps those of the authors' configuration.
    """
    return (0.1, *(round(0.2 + 0.9 * i / (maps - 1), 4) for i in range(maps)))


def predictions(channels: Sequence[int], anchors: Sequence[int], levels: Sequence[At], classes: int) -> list[HeadConv]:
    """For every map a depthwise 3x3 and a 1x1, both with norm, for the classes and for the boxes.

    The background is one class more.
    """
    convs = []
    for kind, outputs in (("class", classes + 1), ("box", 4)):
        for i, (width, count, level) in enumerate(zip(channels, anchors, levels, strict=True)):
            convs += [
                HeadConv(Conv(f"{kind}.{i}.depthwise", width, width, 3, groups=width), (level,)),
                HeadConv(Conv(f"{kind}.{i}.project", width, count * outputs, 1, activation=None), (level,)),
            ]
    return convs


def predictions_read(maps: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What the predictions read, from the outputs that are the maps."""
    return {f"{kind}.{i}.depthwise": (name,) for kind in ("class", "box") for i, name in enumerate(maps)}


@dataclass(frozen=True, slots=True)
class SsdLite(DetectorKind):
    """Separable predictions on six maps (MobileNetV2, arXiv 1801.04381, section 6.2, in the authors' form).

    The first map is the expanded tensor of the first layer at stride 32 (the 160 stage), itself at stride 16; the
    second the last 1x1 convolution; the extra layers follow, each with so many `extras` channels and half of them
    squeezed before. A plain backbone has no expanded tensors: there the first map is its output at stride 16.
    `last` is the width of the last 1x1 convolution where it is not the architecture's own.
    """

    name: ClassVar[str] = "ssdlite"
    module: ClassVar[str] = "ssdlite:SsdLite"
    output_strides: ClassVar[Numbers] = (32,)
    space: ClassVar[str] = "ssdlite"
    rules: ClassVar[str] = "ssd"

    last: int | None = None
    extras: Numbers = (512, 256, 256, 128)

    @property
    def anchors(self) -> Numbers:
        return ssd_anchors(2 + len(self.extras))

    @property
    def coarsest_norm(self) -> int:
        return 32 << len(self.extras)

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads inside the first layer at stride 32, and the last stage."""
        deep = stages_at_stride(arch, 32)
        first = Tap(deep[0], expanded=True) if isinstance(arch, Arch) else Tap(stages_at_stride(arch, 16)[-1])
        taps = (first, Tap(deep[-1]))
        levels = (At(0), *(At(-1, halvings) for halvings in range(len(self.extras) + 1)))
        last = seeds_last(arch, tap_channels(arch, taps[-1]), levels[1], self.last)
        channels = (tap_channels(arch, taps[0]), last.conv.cout, *self.extras)
        convs = [last]
        for i, out in enumerate(self.extras):
            squeezed, before, after = max(1, out // 2), levels[i + 1], levels[i + 2]
            convs += [
                HeadConv(Conv(f"extra.{i}.squeeze", channels[i + 1], squeezed, 1), (before,)),
                HeadConv(Conv(f"extra.{i}.depthwise", squeezed, squeezed, 3, 2, squeezed), (after,)),
                HeadConv(Conv(f"extra.{i}.project", squeezed, out, 1), (after,)),
            ]
        convs += predictions(channels, self.anchors, levels, classes)
        return Head(self, taps, tuple(convs), levels, self.anchors)

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """Both predictions of a level read its map."""
        return predictions_read(("tap.0", "last", *(f"extra.{i}.project" for i in range(len(self.extras)))))
