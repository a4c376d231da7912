"""Which channels of a layer are kept: selections of its named widths, applied to every tensor that carries them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fna.arch.arch import Arch
from fna.arch.convs import Block
from fna.errors import UserError
from fna.weights.plan import layers

Weights = Mapping[str, Tensor]

VECTOR_KEYS = ("conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
Axes = tuple[str | None, ...]
"""The names of the widths that a tensor's axes carry."""


def axes_of(block: Block) -> dict[str, Axes]:
    """The widths that the axes of each tensor of a layer carry, as far as there are any, by its name in the layer."""
    found: dict[str, Axes] = {}
    for conv in block.convs:
        prefix = f"{conv.name}." if conv.name else ""
        found[f"{prefix}conv.weight"] = conv.axes
        found |= {f"{prefix}{key}": (conv.makes,) for key in VECTOR_KEYS}
    return found


def _weight(layer: Weights, block: Block, width: str) -> Tensor:
    """The convolution that first makes the channels of a width, such as expand: (channels, rest)."""
    name = next(conv.name for conv in block.convs if conv.makes == width)
    return layer[f"{name}.conv.weight"].flatten(1)


def _norm_scale(layer: Weights, block: Block, width: str) -> Tensor | None:
    """The scale of the last norm over a width, such as depthwise's; a gate has none."""
    names = [conv.name for conv in block.convs if conv.makes == width and conv.norm]
    return layer[f"{names[-1]}.norm.weight"].abs() if names else None


WIDTHS: dict[str, Callable[[Weights, Block, str], Tensor | None]] = {
    "first": lambda layer, block, width: None,  # the paper's choice: the leading channels (Eq. 2)
    "norm_scale": _norm_scale,  # Width-BN
    "std": lambda layer, block, width: _weight(layer, block, width).std(1),  # Width-Std
    "l1": lambda layer, block, width: _weight(layer, block, width).abs().sum(1),  # Width-L1
}
"""Width strategies by name: the reference vector of Algorithm 1 over a layer's inner channels (paper 4.4), or none."""


def select_channels(layer: Weights, block: Block, wanted: Mapping[str, int], strategy: str) -> Weights:
    """The layer with only so many channels of each inner width: the top ones of the reference vector, ascending.

    One set of channels for every tensor that carries the width (Algorithm 1, indices sorted), whole groups where a
    convolution has any. A width with nothing to choose (as many channels, or more wanted than there are) stays whole.
    Which channels a layer reads and makes is not its own affair, so of those the leading ones stay.
    """
    keep = {}
    for width, channels in wanted.items():
        ranks = _ranks(layer, block, width, strategy)
        if ranks is not None and channels < len(ranks) * _group(block, width):
            chosen = ranks.topk(channels // _group(block, width)).indices.sort().values
            keep[width] = _members(chosen, _group(block, width))
    return take_channels(layer, block, keep) if keep else layer


def _ranks(layer: Weights, block: Block, width: str, strategy: str) -> Tensor | None:
    """The reference vector of a layer's inner width, one number a group; None where there is nothing to rank by."""
    if width in ("in", "out"):
        return None
    reference = WIDTHS[strategy](layer, block, width)
    group = _group(block, width)
    return reference if reference is None or group == 1 else reference.view(-1, group).sum(1)


def _group(block: Block, width: str) -> int:
    """How many channels of a width belong together."""
    return max(conv.weight_shape[1] if conv.groups > 1 and conv.makes == width else 1 for conv in block.convs)


def _members(groups: Tensor, size: int) -> Tensor:
    """The channels of groups of so many, in order."""
    return groups if size == 1 else (groups[:, None] * size + torch.arange(size)).flatten()


def take_channels(layer: Weights, block: Block, keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layer with the channels `keep[width]` (indices) of each of these widths, in that order."""
    axes = axes_of(block)
    chosen = {}
    for name, tensor in layer.items():
        for axis, width in enumerate(axes.get(name, ())):
            if width is not None and width in keep:
                tensor = tensor.index_select(axis, keep[width])
        chosen[name] = tensor
    return chosen


def sort_channels(arch: Arch, weights: Weights, strategy: str) -> dict[str, Tensor]:
    """The same network with every layer's inner channels in falling order of the strategy's reference vector.

    What it computes does not change. A super network whose narrow candidates are the leading channels of the wide one
    thereby contains exactly the channels that remapping with `strategy` would choose. `first` changes nothing.
    """
    new = dict(weights)
    for name, described in layers(arch).items():
        layer, block, order = under(weights, name), described.block, {}
        for width in sorted({conv.makes for conv in block.convs}):
            ranks = _ranks(layer, block, width, strategy)
            if ranks is not None:
                order[width] = _members(ranks.argsort(descending=True, stable=True), _group(block, width))
        new |= {f"{name}.{key}": tensor for key, tensor in take_channels(layer, block, order).items()}
    return new


def wanted_channels(block: Block, goal: Block) -> dict[str, int]:
    """How many channels of each of a layer's widths another one has; a UserError where their groups differ in size."""
    goals = {conv.name: conv for conv in goal.convs}
    wanted = {}
    for conv in block.convs:
        other = goals.get(conv.name)
        if other is None:
            continue
        sizes = conv.weight_shape[1], other.weight_shape[1]
        if max(conv.groups, other.groups) > 1 and sizes[0] != sizes[1]:
            raise UserError(
                f"a convolution with groups of {sizes[0]} channels cannot start one with groups of {sizes[1]}; "
                "keep the size of the groups and change their number"
            )
        wanted[conv.makes] = other.cout
        if conv.groups == 1:
            wanted[conv.reads] = other.cin
    return wanted


def under(weights: Weights, prefix: str) -> dict[str, Tensor]:
    """The tensors of a part of a network, by their names in it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in weights.items() if name.startswith(f"{prefix}.")}
