"""Checkpoints of other libraries under our names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fna.arch.arch import Arch
from fna.arch.convs import Conv
from fna.errors import UserError
from fna.families.family import Family, Found, convs_of

NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def renamed(
    state: Mapping[str, Tensor], family: Family, found: Found, source: str
) -> tuple[Arch, dict[str, Tensor], dict[str, Tensor]]:
    """Architecture, weights under our names, and classifier (linear.weight, linear.bias) of another library's.

    Raises UserError for a key that fits nothing, a missing key and a shape that does not belong to the family.
    """
    table, convs = found.table, convs_of(found.variant)
    weights: dict[str, Tensor] = {}
    classifier: dict[str, Tensor] = {}
    for name, tensor in state.items():
        module, _, key = name.rpartition(".")
        if module in family.classifier and key in ("weight", "bias"):
            classifier[f"linear.{key}"] = tensor
            continue
        ours = table.get(module, "")
        if key not in _keys(ours, convs):
            raise UserError(f"{source}: key {name!r} fits no layer of {family.name}")
        if ours == "pooled.conv" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]  # a linear layer is a 1x1 convolution of one pixel
        shape = tuple(tensor.shape)
        convolution = ours.endswith(".conv") and key == "weight"
        if convolution and (len(shape) != 4 or min(shape) < 1 or shape[-1] % 2 == 0):
            raise UserError(f"{source}: {name!r} has shape {shape}, a convolution weight is (out, in, k, k) with odd k")
        weights[f"{ours}.{key}"] = tensor
    for theirs, ours in table.items():
        for key in _keys(ours, convs):
            if f"{ours}.{key}" not in weights and key != NORM_KEYS[-1]:
                raise UserError(f"{source}: key '{theirs}.{key}' is missing")
    try:
        arch = found.arch({name: tuple(tensor.shape) for name, tensor in weights.items()})
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    shapes, back = shapes_of(arch), {ours: theirs for theirs, ours in table.items()}
    for name, tensor in weights.items():
        module, key = name.rsplit(".", 1)
        check_tensor(f"{back[module]}.{key}", tensor, shapes[name], source)
    return arch, weights, classifier


def _keys(module: str, convs: Mapping[str, Conv]) -> tuple[str, ...]:
    """The tensors of one of our modules, such as stem.conv or stem.norm; none for a name that is none of ours."""
    name, _, part = module.rpartition(".")
    if name not in convs:
        return ()
    if part == "norm":
        return NORM_KEYS
    return ("weight", "bias") if convs[name].bias else ("weight",)


def shapes_of(arch: Arch) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of `arch` under our names, last convolution included."""
    convs = convs_of(arch)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, conv in convs.items():
        shapes[f"{name}.conv.weight"] = conv.weight_shape
        if conv.bias:
            shapes[f"{name}.conv.bias"] = (conv.cout,)
        if conv.norm:
            shapes |= {f"{name}.norm.{key}": (conv.cout,) for key in NORM_KEYS[:-1]}
            shapes[f"{name}.norm.{NORM_KEYS[-1]}"] = ()
    return shapes


def check_tensor(name: str, tensor: Tensor, wanted: tuple[int, ...], source: str) -> None:
    """Raise a UserError for a tensor of another shape than `wanted`, or with values that are not finite."""
    if tuple(tensor.shape) != wanted:
        raise UserError(f"{source}: {name!r} has shape {tuple(tensor.shape)}, this architecture needs {wanted}")
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise UserError(f"{source}: {name!r} holds values that are not finite")
