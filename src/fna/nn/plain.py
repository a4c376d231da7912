"""Plain backbones as modules: networks that are trained as they are, under the same heads."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fna.arch.arch import HW, Tap
from fna.arch.plain import PlainBackbone, commas
from fna.arch.zoo import LAYERS
from fna.errors import UserError, unknown
from fna.nn.comparators import COMPARATORS, builder
from fna.nn.timm_features import same_in_timm, timm_features

BUILDERS: dict[str, Callable[[str, int], nn.Module]] = {
    "timm": timm_features,
    **{name: builder(name) for name in COMPARATORS},
}
"""By the part of a backbone's name before the colon: what makes it, from the part after the colon and an output stride.

The module has `channels` and `strides`, one entry an output; its forward takes images (N, 3, H, W) and gives the list
of outputs (N, channels, H / stride, W / stride), strides ascending. An output stride that it cannot have is a
UserError, or visible in its `strides`.
"""
PROBES: tuple[HW, ...] = ((128, 160), (192, 128))
"""Image sizes at which a backbone must work: two, so that it is not bound to one size; no squares."""


class PlainTaps(nn.Module):
    """The outputs of a plain backbone that a head reads."""

    def __init__(self, features: nn.Module, taps: Sequence[Tap]) -> None:
        super().__init__()
        self.features = features
        self.taps = tuple(taps)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, channels, H / stride, W / stride) per tap."""
        outputs = self.features(images)
        return [outputs[tap.stage] for tap in self.taps]


def is_plain(name: str) -> bool:
    """Whether the backbone of this name is a plain one."""
    return name.partition(":")[0] in BUILDERS


def build_features(name: str, output_stride: int = 32) -> nn.Module:
    """The module of a name, with initial weights; see `BUILDERS` for what it gives. Raises UserError."""
    kind, _, rest = name.partition(":")
    if kind not in BUILDERS:
        raise unknown("backbone", name, [*LAYERS, *BUILDERS, *same_in_timm(rest or name)])
    return BUILDERS[kind](rest, output_stride)


def outputs_of(features: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and strides of what a builder made."""
    return tuple(features.channels), tuple(features.strides)  # type: ignore[arg-type]  # attributes of any module


def describe_plain(name: str) -> PlainBackbone:
    """The plain backbone of a name as data; a UserError where it does not take images of any size."""
    with torch.random.fork_rng():
        features = build_features(name)
    backbone = PlainBackbone(name, *outputs_of(features))
    for hw in PROBES:
        _probe(backbone, features.to("meta").eval(), hw)
    return backbone


@torch.no_grad()
def _probe(backbone: PlainBackbone, features: nn.Module, hw: HW) -> None:
    try:
        sizes = [tuple(x.shape) for x in features(torch.empty(1, 3, *hw, device="meta"))]
    except Exception as error:  # a fixed image size shows as whatever assertion or shape error comes first
        text = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{backbone.name} does not take images of {hw[0]}x{hw[1]} ({text}); choose another") from error
    for size, channels, stride in zip(sizes, backbone.channels, backbone.strides, strict=True):
        wanted = (1, channels, hw[0] // stride, hw[1] // stride)
        if size != wanted:
            raise UserError(
                f"{backbone.name}: for an image of {hw[0]}x{hw[1]} its output at stride {stride} has the shape {size}, "
                f"heads need {wanted}; choose another"
            )


def build_plain(backbone: PlainBackbone, taps: Sequence[Tap], output_stride: int) -> PlainTaps:
    """The module of a plain backbone under a head that reads `taps`.

    Raises UserError where it cannot have the output stride, or is not what its description says.
    """
    features = build_features(backbone.name, output_stride)
    channels, strides = outputs_of(features)
    there = f"{backbone.name} has {commas(channels)} channels at strides {commas(strides)}"
    wanted = tuple(min(stride, output_stride) for stride in backbone.strides)
    if strides != wanted or strides[taps[-1].stage] != output_stride:
        raise UserError(f"output stride {output_stride} is not to be had: {there}")
    if channels != backbone.channels:
        raise UserError(f"{there}, but its description says {commas(backbone.channels)} channels")
    return PlainTaps(features, taps)
