"""Seeds: pretrained weights of any width, from torchvision, timm or a file, under our names.

The family and the library are recognised by the names of the keys; the width comes from the tensors; the input mean and
std travel with the seed.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.errors import UserError, unknown
from fna.families import mobilenet_v2
from fna.families.family import Family
from fna.weights.checkpoint import ARCH_KEY, DESIGN_KEY
from fna.weights.renaming import NORM_KEYS, check_tensor, renamed, shapes_of

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision and timm state for their MobileNetV2 weights."""

Triple = tuple[float, float, float]
FAMILIES: tuple[Family, ...] = (mobilenet_v2.FAMILY,)
"""Those whose checkpoints are seeds as they come."""


@dataclass(frozen=True)
class Seed:
    """A pretrained network as data: architecture, weights under our names, and how its input was normalised.

    `mean` and `std` are per channel, of RGB scaled to [0, 1]. `classifier` is the last linear layer where the seed has
    one: linear.weight (classes, last) and linear.bias (classes,).
    """

    arch: Arch
    weights: Mapping[str, Tensor]
    mean: Triple
    std: Triple
    source: str
    classifier: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_statistics(self.mean, self.std, self.source)

    @property
    def name(self) -> str:
        """What designs call it."""
        return seed_name(self.source)


def seed_name(source: str) -> str:
    """The name of a seed in designs: of a file its name without folder and suffix."""
    path = Path(source)
    return path.stem if path.suffix in (".safetensors", ".pth", ".pt") else source


def check_statistics(mean: Triple, std: Triple, source: str) -> None:
    """Raise a UserError where mean and std of an input are not three finite numbers each, std above 0."""
    for name, values, least in (("mean", mean, -math.inf), ("std", std, 0.0)):
        if len(values) != 3 or not all(math.isfinite(v) and v > least for v in values):
            raise UserError(f"{source}: {name} must be three numbers{' above 0' * (name == 'std')}, got {values}")


def from_state_dict(
    state: Mapping[str, Tensor], mean: Triple = IMAGENET_MEAN, std: Triple = IMAGENET_STD, source: str = "state dict"
) -> Seed:
    """A seed from a state dict with torchvision's or timm's MobileNetV2 names, at any width.

    A `module.` prefix and a missing classifier are fine. Raises UserError for a key that fits nothing, a missing key
    and a shape that does not belong to the family, naming it.
    """
    _check_tensors(state, source)
    unwrapped = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    for family in FAMILIES:
        found = family.find(unwrapped)
        if found is not None:
            arch, weights, linear = renamed(unwrapped, family, found, source)
            return Seed(arch, weights, mean, std, source, _checked_classifier(linear, arch, source))
    shown = ", ".join(list(unwrapped)[:4]) or "none"
    raise UserError(
        f"{source}: not {' or '.join(f.name for f in FAMILIES)} in torchvision's or timm's names; its first keys are: "
        f"{shown}. Weights of another network need its name, too, as in --backbone timm:resnet18"
    )


def _check_tensors(state: Mapping[str, object], source: str) -> None:
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UserError(f"{source}: {name!r} is a {type(tensor).__name__}, a state dict holds named tensors only")


def _checked_classifier(classifier: dict[str, Tensor], arch: Arch, source: str) -> dict[str, Tensor]:
    for name, tensor in classifier.items():
        wanted = (*tensor.shape[:1], arch.last) if name == "linear.weight" else tuple(tensor.shape[:1])
        check_tensor(f"classifier: {name}", tensor, wanted, source)
    return classifier


def _from_network(state: Mapping[str, Tensor], arch: Arch, mean: Triple, std: Triple, source: str) -> Seed:
    """The backbone of a network that this library wrote, whole; its head is left, but for a classifier's."""
    weights = {n.removeprefix("backbone."): t for n, t in state.items() if n.startswith("backbone.")}
    linear = {n.removeprefix("head."): t for n, t in state.items() if n.startswith("head.linear.")}
    if linear:
        weights |= {
            n.removeprefix("head."): t for n, t in state.items() if n.startswith(("head.last.", "head.pooled."))
        }
    shapes = shapes_of(arch)
    for name, tensor in weights.items():
        if name not in shapes:
            raise UserError(f"{source}: key 'backbone.{name}' fits no layer of the architecture in its metadata")
        check_tensor(f"backbone.{name}", tensor, shapes[name], source)
    for name in shapes:
        if name not in weights and not name.startswith(("last.", "pooled.")) and not name.endswith(NORM_KEYS[-1]):
            raise UserError(f"{source}: key 'backbone.{name}' is missing")
    return Seed(arch, weights, mean, std, source, _checked_classifier(linear, arch, source))


def load_file(path: str | Path, mean: Triple | None = None, std: Triple | None = None) -> Seed:
    """A seed from a safetensors file, or a .pth file read weights-only.

    `mean` and `std` given here win over the file's metadata (keys `mean` and `std`, JSON lists), which win over
    ImageNet's. Raises UserError for a file that is missing, truncated, or holds anything but tensors.
    """
    path = Path(path)
    state, metadata = read_state(path)
    mean = mean or metadata_triple(metadata, "mean", path) or _input_triple(metadata, "mean", path) or IMAGENET_MEAN
    std = std or metadata_triple(metadata, "std", path) or _input_triple(metadata, "std", path) or IMAGENET_STD
    if ARCH_KEY in metadata:
        arch = Arch.from_json(metadata[ARCH_KEY], source=f"{path} metadata")
        return _from_network(state, arch, mean, std, str(path))
    if DESIGN_KEY in metadata:
        written = Design.from_json(metadata[DESIGN_KEY], source=f"{path} metadata").arch
        if not isinstance(written, Arch):
            name = written.name
            raise UserError(f"{path} holds {name}, whose layers are not data; give --backbone {name} with it")
        return _from_network(state, written, mean, std, str(path))
    return from_state_dict(state, mean, std, str(path))


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors or .pth file, floating ones in single precision, and its metadata.

    Raises UserError for a file that is missing, truncated, or holds anything but tensors.
    """
    if not path.is_file():
        raise UserError(f"no weights file at {path}")
    state, metadata = _read(path)
    _check_tensors(state, str(path))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}, metadata


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
        lines = str(error).splitlines() or [type(error).__name__]
        reason = next((line.strip() for line in lines if "Unsupported" in line), lines[0])
        raise UserError(f"{path}: cannot be read as tensors alone ({reason})") from error
    if isinstance(data, dict) and isinstance(data.get("state_dict"), dict):
        data = data["state_dict"]
    if not isinstance(data, dict):
        raise UserError(f"{path}: holds a {type(data).__name__}, a state dict was expected")
    return data, {}


def metadata_triple(metadata: Mapping[str, str], key: str, path: Path) -> Triple | None:
    """Mean or std as a JSON list in a file's metadata; None where it is not there."""
    if key not in metadata:
        return None
    try:
        r, g, b = (float(x) for x in json.loads(metadata[key]))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: metadata {key!r} is {metadata[key]!r}, three numbers were expected") from error
    return (r, g, b)


def _input_triple(metadata: Mapping[str, str], key: str, path: Path) -> Triple | None:
    """Mean or std from a free-text `input` entry such as "RGB/255, mean .485 .456 .406, std .229 .224 .225"."""
    if "input" not in metadata:
        return None
    number = r"(?:\d+\.?\d*|\.\d+)"
    found = re.search(rf"{key}[^\d.]*({number}(?:[\s,]+{number})*)", metadata["input"])
    numbers = [float(x) for x in re.findall(number, found[1])] if found else []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise UserError(
            f"{path}: metadata 'input' is {metadata['input']!r}, which does not say {key} as one or three numbers; "
            f"give mean and std with the file"
        )
    return (numbers[0], numbers[1], numbers[2])


def load_named(name: str) -> Seed:
    """Weights by library and name, downloaded by the library itself: `torchvision` or `timm:mobilenetv2_100`."""
    library, _, model = name.partition(":")
    try:
        if library == "torchvision":
            return _from_torchvision(model or "IMAGENET1K_V1")
        if library == "timm":
            return _from_timm(model or "mobilenetv2_100")
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the weights {name!r} could not be downloaded ({type(error).__name__}: {error}). Without a network, give "
            "a file: --weights path/to/mobilenet_v2.safetensors (torchvision's or timm's names)"
        ) from error
    raise unknown("weights library", library, ("torchvision", "timm"))


def _from_torchvision(name: str) -> Seed:
    from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

    if name not in MobileNet_V2_Weights.__members__:
        raise unknown("torchvision MobileNetV2 weights", name, MobileNet_V2_Weights.__members__)
    weights = MobileNet_V2_Weights[name]
    return from_state_dict(mobilenet_v2(weights=weights).state_dict(), source=f"torchvision {weights}")


def _from_timm(name: str) -> Seed:
    import timm

    models = timm.list_models("mobilenetv2*")
    if name.partition(".")[0] not in models:
        raise unknown("timm MobileNetV2", name, models)
    net = timm.create_model(name, pretrained=True)
    config: dict[str, Triple] = net.pretrained_cfg  # type: ignore[assignment]  # typed as a module attribute
    return from_state_dict(net.state_dict(), config["mean"], config["std"], f"timm {name}")
