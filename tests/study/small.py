"""A study small enough for tests: drawn images, the smallest MobileNetV2, a few steps; and its command."""

from pathlib import Path

import torch
import yaml

from drawn import TINY
from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import lookup
from fna.nn.network import build
from fna.weights.checkpoint import NetworkInfo, save_network

SEED = lookup("mobilenet_v2_w010")


def write_seed(path: Path, value: float | None = None, arch: Arch = SEED) -> Path:
    """A seed as this library writes networks; with `value`, every convolution weight is that number."""
    design = Design("none", arch, parse_head("classifier"), 32, (32, 32), True)
    network = build(design, 3, random_seed=5)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    if value is not None:
        weights = {name: torch.full_like(t, value) if t.ndim == 4 else t for name, t in weights.items()}
    info = NetworkInfo(design, "cls", ("a", "b", "c"), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    save_network(path, weights, info)
    return path


def command(folder: Path, data: Path, *more: str) -> list[str]:
    """The words of a study after its name: DATA, the tiny recipe, a seed and OUT, all under `folder`."""
    recipe, weights = folder / "tiny.yaml", folder / "seed.safetensors"
    if not recipe.exists():
        how = TINY | {"search": TINY["search"] | {"replicas": 1, "epochs": 1, "swap_batches": 1}}
        how["adapt"] = TINY["adapt"] | {"steps": 2, "refresh_steps": 1, "validate_steps": 2}
        recipe.write_text(yaml.safe_dump(how), encoding="utf-8")
        write_seed(weights)
    words = [str(data), "--recipe", str(recipe), "--weights", str(weights), "--out", str(folder / "study")]
    return [*words, *more]
