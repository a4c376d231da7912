"""Pretrained weights of plain backbones: timm's own, or a file under timm's names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.arch.plain import PlainBackbone
from fna.errors import UserError
from fna.nn.plain import build_features, describe_plain
from fna.nn.timm_features import create
from fna.weights.checkpoint import DESIGN_KEY
from fna.weights.renaming import NORM_KEYS, check_tensor
from fna.weights.seeds import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Seed,
    Triple,
    check_statistics,
    metadata_triple,
    read_state,
)

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class PlainSeed:
    """A plain backbone, weights under the names of its module (none: random), and how its input was normalised.

    `mean` and `std` are per channel, of RGB scaled to [0, 1].
    """

    arch: PlainBackbone
    weights: State
    mean: Triple
    std: Triple
    source: str

    def __post_init__(self) -> None:
        check_statistics(self.mean, self.std, self.source)

    @property
    def name(self) -> str:
        """What designs call it."""
        return self.source


AnySeed = Seed | PlainSeed


def searchable(seed: AnySeed) -> Seed:
    """The seed of a search; a UserError for a plain backbone, whose layers are not data."""
    if isinstance(seed, PlainSeed):
        raise UserError(
            f"{seed.arch.name} cannot be searched: a search needs a MobileNetV2-like seed (--backbone mobilenet_v2). "
            "fna train trains it as it is, as a baseline"
        )
    return seed


def load_plain(name: str, weights: str = "none", mean: Triple | None = None, std: Triple | None = None) -> PlainSeed:
    """A plain backbone by name; `weights` are `none`, `DEFAULT` (timm's, downloaded by timm) or a file.

    A file is safetensors or .pth, with the names of timm's model, of the module, or of a network that fna trained with
    the same backbone. `mean` and `std` given here win over such a network's, which win over timm's. Raises UserError.
    """
    backbone = describe_plain(name)
    state: State = {}
    metadata: Mapping[str, str] = {}
    if weights == "DEFAULT":
        state = _downloaded(name)
    elif weights.partition(":")[0] in ("timm", "torchvision"):
        raise UserError(f"--weights {weights} is of another network; with --backbone {name} write DEFAULT or a file")
    elif weights != "none":
        given, metadata = read_state(Path(weights))
        state = _from_file(backbone, given, metadata, weights)
    statistics = _input_statistics(name)
    mean = mean or metadata_triple(metadata, "mean", Path(weights)) or statistics[0]
    std = std or metadata_triple(metadata, "std", Path(weights)) or statistics[1]
    return PlainSeed(backbone, state, mean, std, f"{name}, weights {weights}")


def _input_statistics(name: str) -> tuple[Triple, Triple]:
    """Mean and std of the input that timm's weights were made with; ImageNet's where timm does not say."""
    import timm

    kind, _, model = name.partition(":")
    config = timm.get_pretrained_cfg(model) if kind == "timm" else None
    return (IMAGENET_MEAN, IMAGENET_STD) if config is None else (config.mean, config.std)  # type: ignore[return-value]


def _downloaded(name: str) -> dict[str, Tensor]:
    kind, _, model = name.partition(":")
    if kind != "timm":
        raise UserError(f"{name} has no weights to download; use --weights none or a file")
    try:
        return create(model, pretrained=True).state_dict()
    except Exception as error:  # what the hub's client raises without a network is not one type
        reason = " ".join(str(error).split())
        raise UserError(
            f"the weights of {name} could not be had ({type(error).__name__}: {reason}). Without a network, give a "
            f"file with the names of timm's model: --weights path/to/{model}.safetensors"
        ) from error


def _from_file(backbone: PlainBackbone, state: State, metadata: Mapping[str, str], source: str) -> dict[str, Tensor]:
    kind, _, model = backbone.name.partition(":")
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if DESIGN_KEY in metadata:
        written = Design.from_json(metadata[DESIGN_KEY], f"{source} metadata").arch
        if written != backbone:
            what = "a MobileNetV2-like network" if isinstance(written, Arch) else written.name
            raise UserError(f"{source} holds {what}, but the backbone is {backbone.name}")
        prefix = "backbone.features."
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    elif kind == "timm":
        return _from_timm_names(model, state, source)
    return _fitting(state, build_features(backbone.name).state_dict(), source)


def _from_timm_names(model: str, state: State, source: str) -> dict[str, Tensor]:
    """The tensors of a `features_only` module from those of timm's whole model, its classifier there or not."""
    import timm

    with torch.random.fork_rng():
        whole = timm.create_model(model)
    named = whole.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr, operator]
    heads = tuple(f"{head}." for head in ([named] if isinstance(named, str) else named))
    wanted = {name: tensor for name, tensor in whole.state_dict().items() if not name.startswith(heads)}
    state = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
    state = _fitting(state, wanted, source)
    # timm itself knows how the names of its modules change with features_only.
    return create(model, pretrained=True, pretrained_cfg_overlay={"state_dict": state}).state_dict()


def _fitting(state: State, wanted: State, source: str) -> dict[str, Tensor]:
    """The tensors of `state`; a UserError where they are not those of `wanted`, by name and shape."""
    for name, tensor in state.items():
        if name not in wanted:
            raise UserError(f"{source}: key {name!r} is not one of this backbone's: {', '.join(list(wanted)[:4])} ...")
        check_tensor(name, tensor, tuple(wanted[name].shape), source)
    for name in wanted:
        if name not in state and not name.endswith(NORM_KEYS[-1]):
            raise UserError(f"{source}: key {name!r} is missing")
    return {name: state.get(name, tensor) for name, tensor in wanted.items()}
