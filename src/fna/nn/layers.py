"""Modules of a layer, built from its convolutions as data."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.arch.arch import Place
from fna.arch.convs import Block, Conv, Gate
from fna.arch.frame import Frame
from fna.arch.heads import Head
from fna.arch.layers import LayerOp

ACTIVATIONS: dict[str | None, Callable[[], nn.Module]] = {
    "relu6": partial(nn.ReLU6, inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "sigmoid": nn.Sigmoid,
    "hardswish": partial(nn.Hardswish, inplace=True),
    "hardsigmoid": partial(nn.Hardsigmoid, inplace=True),
    None: nn.Identity,
}


class StridedConv2d(nn.Conv2d):
    """A convolution with a stride, in single precision where bf16 on a CPU has no gradient.

    Where the kernel reaches over the whole of a tiny image, torch 2.15 leaves the gradient of the weights that meet
    nothing but padding as whatever was in memory, often infinite (oneDNN in bf16, stride 2, one pixel: the last layers
    of SSDLite).
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        mixed = input.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if mixed and min(input.shape[-2:]) < max(self.kernel_size):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


class SameConv2d(StridedConv2d):
    """TensorFlow's SAME padding: as many zeros as the stride needs, an odd one at the end."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        return super().forward(pad_same(input, self.kernel_size[0], self.stride[0], self.dilation))


def pad_same(x: Tensor, kernel: int, stride: int, dilation: tuple[int, ...]) -> Tensor:
    """(N, C, H, W) with the zeros of TensorFlow's SAME padding around it."""
    margins: list[int] = []
    for size, step in zip(x.shape[:1:-1], dilation[::-1], strict=True):
        missing = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * step + 1 - size)
        margins += [missing // 2, missing - missing // 2]
    return F.pad(x, margins)


class ConvNormActivation(nn.Module):
    """One `Conv` record as a module: `conv`, `norm`, `activation`.

    `bare_norm` makes the norm one of batch statistics without scale, shift and running statistics, as the authors'
    super network has it.
    """

    def __init__(self, conv: Conv, bare_norm: bool = False) -> None:
        super().__init__()
        dilation = conv.dilation if isinstance(conv.dilation, tuple) else (conv.dilation, conv.dilation)
        padding: tuple[int, int] = (0, 0) if conv.uneven else conv.padding
        strided = StridedConv2d if conv.stride > 1 and conv.kernel > 1 else nn.Conv2d
        kind = SameConv2d if conv.uneven else strided
        self.conv = kind(conv.cin, conv.cout, conv.kernel, conv.stride, padding, dilation, conv.groups, bias=conv.bias)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm: nn.Module = nn.Identity()
        if conv.norm:
            self.norm = nn.BatchNorm2d(conv.cout, conv.epsilon, affine=not bare_norm, track_running_stats=not bare_norm)
        self.activation = ACTIVATIONS[conv.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        return self.activation(self.norm(self.conv(x)))


class Stem(ConvNormActivation):
    """The first convolution, and the maximum after it where the family has one."""

    def __init__(self, frame: Frame, channels: int) -> None:
        super().__init__(frame.stem(channels))
        self.pool = frame.stem_pool

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride)), the stride being the frame's."""
        y = super().forward(x)
        return F.max_pool2d(y, 3, 2, 1) if self.pool else y


class Layer(nn.Module):
    """A layer at its place: its convolutions by name, run as its block says."""

    def __init__(self, place: Place, op: LayerOp, bare_norm: bool = False) -> None:
        super().__init__()
        self.block = place.block(op)
        for conv in self.block.convs:
            self.add_module(conv.name, ConvNormActivation(conv, bare_norm))

    @property
    def residual(self) -> bool:
        """Whether the input itself is added."""
        return self.block.shortcut is True

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The expanded tensor (N, channels, H, W), and the output as `forward`."""
        return run_block(self.block, x, lambda conv, y: self._modules[conv.name](y))  # type: ignore[misc]

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        return self.both(x)[1]


def run_block(block: Block, x: Tensor, apply: Callable[[Conv, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The expanded tensor and the output of a block, each of whose convolutions `apply` runs; (N, C, H, W) each."""
    inside = y = x
    for part in block.parts:
        if isinstance(part, Gate):
            y = y * apply(part.excite, apply(part.squeeze, y.mean((2, 3), keepdim=True)))
        else:
            y = apply(part, y)
            inside = y if part.name == block.inside else inside
    if block.shortcut is True:
        y = x + y
    elif isinstance(block.shortcut, Conv):
        y = apply(block.shortcut, x) + y
    # Activations go by the names of torch's functions.
    return inside, getattr(F, block.activation)(y) if block.activation else y


def build_convs(head: Head) -> nn.ModuleDict:
    """The head's convolutions as nested module dicts along their dotted names."""
    root = nn.ModuleDict()
    for part in head.convs:
        *parents, name = part.conv.name.split(".")
        node = root
        for parent in parents:
            if parent not in node:
                node[parent] = nn.ModuleDict()
            node = node[parent]  # type: ignore[assignment]  # a ModuleDict by construction
        node[name] = nn.Linear(part.conv.cin, part.conv.cout) if part.linear else ConvNormActivation(part.conv)
    return root
