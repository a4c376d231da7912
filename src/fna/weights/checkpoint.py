"""Networks that leave the machine: safetensors with everything needed to use them as JSON metadata."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fna import __version__
from fna.arch.design import Design
from fna.errors import UserError
from fna.files import whole

ARCH_KEY, DESIGN_KEY = "fna_arch", "fna_design"
"""In the metadata: the architecture of a backbone alone, or the design of a network."""


@dataclass(frozen=True)
class NetworkInfo:
    """What a network is, of which classes, and how its input is made: RGB in [0, 1], minus mean, over std."""

    design: Design
    task: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: Mapping[str, Any] | None = None
    """What the task has to know to use the outputs, such as how those of a detector become boxes."""

    def metadata(self) -> dict[str, str]:
        """String values, as safetensors wants them; every one but the version is JSON."""
        values = {key: getattr(self, key) for key in ("task", "classes", "mean", "std", "settings")}
        data = {key: json.dumps(value) for key, value in values.items()}
        return {"fna": __version__, DESIGN_KEY: self.design.to_json(), **data}

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], source: str) -> "NetworkInfo":
        """The inverse of `metadata`; a UserError says what is missing."""
        if ARCH_KEY in metadata:
            raise UserError(f"{source} is a seed, or was written before networks had designs; train it again")
        try:
            design = Design.from_json(metadata[DESIGN_KEY], source)
            values = {key: json.loads(metadata[key]) for key in ("task", "classes", "mean", "std")}
            settings = json.loads(metadata["settings"])
        except (KeyError, json.JSONDecodeError) as error:
            raise UserError(f"{source} is not a network written by fna: its metadata lacks {error}") from error
        tuples = {key: tuple(values[key]) for key in ("classes", "mean", "std")}
        return NetworkInfo(design, values["task"], **tuples, settings=settings)


def save_network(path: Path, weights: Mapping[str, Tensor], info: NetworkInfo) -> None:
    """Write weights and metadata, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with whole(path) as temporary:
        save_file(tensors, temporary, info.metadata())


def load_network(path: Path) -> tuple[dict[str, Tensor], NetworkInfo]:
    """Read what `save_network` wrote; a UserError for anything else."""
    if not path.is_file():
        raise UserError(f"no trained network at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error
    return weights, NetworkInfo.from_metadata(metadata, str(path))
