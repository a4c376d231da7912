"""Networks of DetNAS's space (arXiv 1903.10979): stages of ShuffleNetV2 units, each unit of one of four kinds."""

import torch
from torch import Tensor, nn
from torchvision.models.shufflenetv2 import channel_shuffle

from fna.arch.convs import Conv
from fna.nn.layers import ConvNormActivation

STEM = 16
CHANNELS = (64, 160, 320, 640)
"""The larger space of DetNAS, the one of its RetinaNet results."""
KERNELS = (3, 5, 7)
XCEPTION = 3
"""Unit kinds 0, 1, 2 have one depthwise convolution of these kernels, kind 3 has three of 3x3."""
SHUFFLENET_V2_20 = ("0000", "0000", "00000000", "0000")
DETNASNET = ("2311", "3213", "31113320", "3333")
"""The kind of every unit of every stage: all plain 3x3, and DetNAS's 300M network for RetinaNet as it was released."""


def _pointwise(cin: int, cout: int) -> ConvNormActivation:
    return ConvNormActivation(Conv("", cin, cout, 1, activation="relu"))


def _depthwise(channels: int, kernel: int, stride: int = 1) -> ConvNormActivation:
    return ConvNormActivation(Conv("", channels, channels, kernel, stride, channels, activation=None))


class Unit(nn.Module):
    """A ShuffleNetV2 unit: half of the shuffled channels pass, or at stride 2 all of them through a short branch."""

    def __init__(self, kind: int, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        kernel = 3 if kind == XCEPTION else KERNELS[kind]
        passed = cin if stride == 2 else cin // 2
        self.short = nn.Sequential(_depthwise(cin, kernel, 2), _pointwise(cin, cin)) if stride == 2 else None
        hidden, out = cout // 2, cout - passed
        if kind == XCEPTION:
            widths = (passed, hidden, hidden, out)
            parts = [
                part
                for i in range(3)
                for part in (_depthwise(widths[i], 3, stride if i == 0 else 1), _pointwise(widths[i], widths[i + 1]))
            ]
        else:
            parts = [_pointwise(passed, hidden), _depthwise(hidden, kernel, stride), _pointwise(hidden, out)]
        self.long = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        if self.short is not None:
            return torch.cat([self.short(x), self.long(x)], 1)
        passed, rest = channel_shuffle(x, 2).chunk(2, 1)
        return torch.cat([passed, self.long(rest)], 1)


class DetNAS(nn.Module):
    """The network in which unit i of stage s is of the kind `kinds[s][i]`; the first unit of a stage has stride 2."""

    channels = CHANNELS
    strides = (4, 8, 16, 32)

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self.stem = ConvNormActivation(Conv("", 3, STEM, 3, 2, bias=True, activation="relu"))
        self.stages = nn.ModuleList()
        cin = STEM
        for cout, units in zip(CHANNELS, kinds, strict=True):
            stage = [Unit(int(kind), cin if i == 0 else cout, cout, 2 if i == 0 else 1) for i, kind in enumerate(units)]
            self.stages.append(nn.Sequential(*stage))
            cin = cout

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, channels, H / stride, W / stride) per stage, sizes rounded up."""
        outputs, x = [], self.stem(images)
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return outputs


def shufflenet_v2_20() -> DetNAS:
    """20 units, all ShuffleNetV2's own: the hand-made network that DetNAS compares with."""
    return DetNAS(SHUFFLENET_V2_20)


def detnasnet() -> DetNAS:
    """DetNAS's 300M network for RetinaNet."""
    return DetNAS(DETNASNET)
