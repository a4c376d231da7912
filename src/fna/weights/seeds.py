"""Seeds: pretrained MobileNetV2 weights of any width, from torchvision, timm or a file, under our names.

Torchvision's and timm's key names are recognised by themselves; the width comes from the tensors; the input mean and
std travel with the seed.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fna.arch.arch import Arch, Stage
from fna.arch.layers import MBConv
from fna.arch.zoo import LAYERS, STRIDES
from fna.errors import UserError, unknown

DEPTHS = tuple(len(ops.split()) for ops in LAYERS["mobilenet_v2"])
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision and timm state for their MobileNetV2 weights."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Seed:
    """A pretrained network as data: architecture, weights under our names, and how its input was normalised.

    `mean` and `std` are per channel, of RGB scaled to [0, 1].
    """

    arch: Arch
    weights: Mapping[str, Tensor]
    mean: Triple
    std: Triple
    source: str


def torchvision_names() -> Iterator[tuple[str, str]]:
    """(torchvision's module name, ours) of every convolution and norm of MobileNetV2."""
    yield from (("features.0.0", "stem.conv"), ("features.0.1", "stem.norm"))
    index = 1
    for s, depth in enumerate(DEPTHS):
        for i in range(depth):
            parts = ("depthwise", "project") if s == 0 else ("expand", "depthwise", "project")
            for p, part in enumerate(parts):
                theirs = f"features.{index}.conv.{p}"
                conv, norm = (theirs, f"features.{index}.conv.{p + 1}") if part == "project" else (f"{theirs}.0", f"{theirs}.1")
                yield from ((conv, f"stages.{s}.{i}.{part}.conv"), (norm, f"stages.{s}.{i}.{part}.norm"))
            index += 1
    yield from ((f"features.{index}.0", "last.conv"), (f"features.{index}.1", "last.norm"))


def timm_names() -> Iterator[tuple[str, str]]:
    """(timm's module name, ours) of every convolution and norm of MobileNetV2."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"))
    for s, depth in enumerate(DEPTHS):
        separable = (("conv_dw", "depthwise"), ("conv_pw", "project"))
        inverted = (("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project"))
        for i in range(depth):
            for n, (conv, ours) in enumerate(separable if s == 0 else inverted, start=1):
                yield f"blocks.{s}.{i}.{conv}", f"stages.{s}.{i}.{ours}.conv"
                yield f"blocks.{s}.{i}.bn{n}", f"stages.{s}.{i}.{ours}.norm"
    yield from (("conv_head", "last.conv"), ("bn2", "last.norm"))


CONV_KEYS = ("weight",)
NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LIBRARIES = {"torchvision": (torchvision_names, "features.0.0.weight"), "timm": (timm_names, "conv_stem.weight")}
CLASSIFIER_KEYS = ("classifier.1.weight", "classifier.1.bias", "classifier.weight", "classifier.bias")


def from_state_dict(
    state: Mapping[str, Tensor], mean: Triple = IMAGENET_MEAN, std: Triple = IMAGENET_STD, source: str = "state dict"
) -> Seed:
    """A seed from a state dict with torchvision's or timm's MobileNetV2 names, at any width.

    A `module.` prefix and a missing classifier are fine. Raises UserError for a key that fits nothing, a missing key
    and a shape that does not belong to the family, naming it.
    """
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for name, tensor in plain.items():
        if not isinstance(tensor, Tensor):
            raise UserError(f"{source}: {name!r} is a {type(tensor).__name__}, a state dict holds tensors only")
    for names, mark in LIBRARIES.values():
        if mark in plain:
            return _renamed(plain, dict(names()), mean, std, source)
    shown = ", ".join(list(plain)[:4]) or "none"
    raise UserError(f"{source}: not MobileNetV2 in torchvision's or timm's names; its first keys are: {shown}")


def _renamed(state: dict[str, Tensor], table: dict[str, str], mean: Triple, std: Triple, source: str) -> Seed:
    weights: dict[str, Tensor] = {}
    for name, tensor in state.items():
        module, _, key = name.rpartition(".")
        if name in CLASSIFIER_KEYS:
            continue
        ours = table.get(module)
        if ours is None or key not in (NORM_KEYS if ours.endswith(".norm") else CONV_KEYS):
            raise UserError(f"{source}: key {name!r} fits no layer of MobileNetV2")
        weights[f"{ours}.{key}"] = tensor
    back = {ours: theirs for theirs, ours in table.items()}
    for ours, theirs in back.items():
        for key in NORM_KEYS[:-1] if ours.endswith(".norm") else CONV_KEYS:
            if f"{ours}.{key}" not in weights:
                raise UserError(f"{source}: key '{theirs}.{key}' is missing")
    arch = _arch_of(weights, source)
    check_shapes(arch, weights, source, back)
    return Seed(arch, weights, mean, std, source)


def _arch_of(weights: Mapping[str, Tensor], source: str) -> Arch:
    """Channel numbers, kernels and expansions as the tensors have them."""
    stages = []
    for s, depth in enumerate(DEPTHS):
        layers = []
        for i in range(depth):
            hidden, _, kernel, _ = _shape(weights, f"stages.{s}.{i}.depthwise.conv.weight", source)
            expand = f"stages.{s}.{i}.expand.conv.weight"
            cin = _shape(weights, expand, source)[1] if expand in weights else hidden
            if hidden % max(cin, 1):
                raise UserError(f"{source}: stages.{s}.{i} expands {cin} channels to {hidden}, not a whole multiple")
            layers.append(MBConv(kernel, hidden // cin))
        channels = _shape(weights, f"stages.{s}.0.project.conv.weight", source)[0]
        stages.append(Stage(channels, STRIDES[s], tuple(layers)))
    stem = _shape(weights, "stem.conv.weight", source)[0]
    return Arch(stem, tuple(stages), _shape(weights, "last.conv.weight", source)[0])


def _shape(weights: Mapping[str, Tensor], name: str, source: str) -> tuple[int, ...]:
    shape = tuple(weights[name].shape)
    if len(shape) != 4 or min(shape) < 1:
        raise UserError(f"{source}: {name} has shape {shape}, a convolution weight has 4 dimensions")
    return shape


def check_shapes(arch: Arch, weights: Mapping[str, Tensor], source: str, names: Mapping[str, str] | None = None) -> None:
    """Every tensor has the shape that `arch` asks for; a UserError names the first that has not."""
    from fna.arch.arch import last_conv, placed, stem_conv

    convs = {"stem": stem_conv(arch.stem), "last": last_conv(arch.stages[-1].channels, arch.last)}
    for place, op in placed(arch):
        convs |= {f"{place.name}.{conv.name}": conv for conv in place.convs(op)}
    for name, tensor in weights.items():
        module, key = name.rsplit(".", 1)
        layer, kind = module.rsplit(".", 1)
        wanted = convs[layer].weight_shape if kind == "conv" else (() if key == NORM_KEYS[-1] else (convs[layer].cout,))
        if tuple(tensor.shape) != wanted:
            shown = f"{names[module]}.{key}" if names else name
            raise UserError(f"{source}: {shown!r} has shape {tuple(tensor.shape)}, a MobileNetV2 of this width needs {wanted}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{source}: {name!r} holds values that are not finite")


def load_file(path: str | Path, mean: Triple | None = None, std: Triple | None = None) -> Seed:
    """A seed from a safetensors file, or a .pth file read weights-only.

    `mean` and `std` given here win over the file's metadata (keys `mean` and `std`, JSON lists), which win over
    ImageNet's. Raises UserError for a file that is missing, truncated, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no weights file at {path}")
    state, metadata = _read(path)
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    mean = mean or _metadata_triple(metadata, "mean", path) or _input_triple(metadata, 0) or IMAGENET_MEAN
    std = std or _metadata_triple(metadata, "std", path) or _input_triple(metadata, 1) or IMAGENET_STD
    if "fna_arch" in metadata:
        arch = Arch.from_json(metadata["fna_arch"], source=f"{path} metadata")
        backbone = {n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")}
        check_shapes(arch, backbone, str(path))
        return Seed(arch, backbone, mean, std, str(path))
    return from_state_dict(state, mean, std, str(path))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: not a whole safetensors file ({error})") from error
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types for a damaged or unsafe file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read as plain tensors ({reason})") from error
    if isinstance(data, dict) and isinstance(data.get("state_dict"), dict):
        data = data["state_dict"]
    if not isinstance(data, dict):
        raise UserError(f"{path}: holds a {type(data).__name__}, a state dict was expected")
    return data, {}


def _metadata_triple(metadata: Mapping[str, str], key: str, path: Path) -> Triple | None:
    if key not in metadata:
        return None
    try:
        r, g, b = (float(x) for x in json.loads(metadata[key]))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: metadata {key!r} is {metadata[key]!r}, three numbers were expected") from error
    return (r, g, b)


def _input_triple(metadata: Mapping[str, str], which: int) -> Triple | None:
    """Mean (0) or std (1) from a free-text `input` entry such as "RGB/255, mean .485 .456 .406, std .229 .224 .225"."""
    import re

    text = metadata.get("input", "")
    found = re.search((r"mean", r"std")[which] + r"[^\d.]*((?:\d*\.\d+[\s,]*)+)", text)
    numbers = [float(x) for x in re.findall(r"\d*\.\d+", found[1])] if found else []
    if len(numbers) == 1:
        numbers *= 3
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def load_named(name: str) -> Seed:
    """Weights by library and name, downloaded by the library's own mechanism: `torchvision` or `timm:mobilenetv2_100`."""
    library, _, model = name.partition(":")
    try:
        if library == "torchvision":
            from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

            weights = MobileNet_V2_Weights[model or "IMAGENET1K_V1"]
            state = mobilenet_v2(weights=weights).state_dict()
            return from_state_dict(state, source=f"torchvision {weights}")
        if library == "timm":
            import timm

            net = timm.create_model(model or "mobilenetv2_100", pretrained=True)
            config = net.pretrained_cfg
            return from_state_dict(net.state_dict(), config["mean"], config["std"], f"timm {model}")
    except KeyError as error:
        raise UserError(f"torchvision has no MobileNetV2 weights named {error}") from error
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the weights {name!r} could not be downloaded ({type(error).__name__}). Without a network, give a file: "
            "--weights path/to/mobilenet_v2.safetensors (torchvision's or timm's names)"
        ) from error
    raise unknown("weights library", library, ("torchvision", "timm"))
