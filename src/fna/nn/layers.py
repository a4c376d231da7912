"""Modules of a layer, built from its convolutions as data."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from fna.arch.arch import Place
from fna.arch.heads import Head
from fna.arch.layers import Conv, MBConv

ACTIVATIONS: dict[str | None, Callable[[], nn.Module]] = {
    "relu6": partial(nn.ReLU6, inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "sigmoid": nn.Sigmoid,
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


class ConvNormActivation(nn.Module):
    """One `Conv` record as a module: `conv`, `norm`, `activation`.

    `plain_norm` makes the norm one of batch statistics without scale, shift and running statistics, as the authors'
    super network has it.
    """

    def __init__(self, conv: Conv, plain_norm: bool = False) -> None:
        super().__init__()
        kind = StridedConv2d if conv.stride > 1 and conv.kernel > 1 else nn.Conv2d
        self.conv = kind(
            conv.cin,
            conv.cout,
            conv.kernel,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            bias=conv.bias,
        )
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        self.norm: nn.Module = nn.Identity()
        if conv.norm:
            self.norm = nn.BatchNorm2d(conv.cout, affine=not plain_norm, track_running_stats=not plain_norm)
        self.activation = ACTIVATIONS[conv.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        return self.activation(self.norm(self.conv(x)))


class Layer(nn.Module):
    """An inverted residual layer at its place; the input is added where shapes allow."""

    def __init__(self, place: Place, op: MBConv, plain_norm: bool = False) -> None:
        super().__init__()
        for conv in place.convs(op):
            self.add_module(conv.name, ConvNormActivation(conv, plain_norm))
        self.residual = place.stride == 1 and place.cin == place.cout

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The expanded tensor (N, cin * expansion, H, W), and the output as `forward`."""
        expanded = y = self.get_submodule("expand")(x) if hasattr(self, "expand") else x
        for name, part in self.named_children():
            y = y if name == "expand" else part(y)
        return expanded, x + y if self.residual else y

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, ceil(H / stride), ceil(W / stride))."""
        return self.both(x)[1]


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
