"""The backbone of an architecture: stem and stages, returning the taps that a head asked for."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from fna.arch.arch import Arch, Tap, placed, tap_channels, tap_stride
from fna.nn.layers import Layer, Stem


class Backbone(nn.Module):
    """`arch` as a module.

    `channels` and `strides` say what each tap is: a list in the order of `taps` (default: the last stage).
    """

    def __init__(self, arch: Arch, taps: Sequence[Tap] = (), output_stride: int = 32) -> None:
        super().__init__()
        self.arch = arch
        self.taps = tuple(taps) or (Tap(len(arch.stages) - 1),)
        self.channels = [tap_channels(arch, tap) for tap in self.taps]
        self.strides = [tap_stride(arch, tap, output_stride) for tap in self.taps]
        self.stem = Stem(arch.frame, arch.stem)
        stages: list[list[Layer]] = [[] for _ in arch.stages]
        for place, op in placed(arch, output_stride=output_stride):
            stages[place.stage].append(Layer(place, op))
        self.stages = nn.ModuleList(nn.Sequential(*layers) for layers in stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, channels, H / stride, W / stride) per tap, sizes rounded up."""
        outputs: dict[Tap, Tensor] = {}
        x = self.stem(images)
        for s, stage in enumerate(self.stages):
            layers: Iterator[Layer] = stage.children()  # type: ignore[assignment]  # a Sequential of them
            for i, layer in enumerate(layers):
                expanded, x = layer.both(x)
                if i == 0 and Tap(s, expanded=True) in self.taps:
                    outputs[Tap(s, expanded=True)] = expanded
            outputs[Tap(s)] = x
        return [outputs[tap] for tap in self.taps]
