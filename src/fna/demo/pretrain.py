"""A seed trained on the spot on another task: to name the one shape in a small picture."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from fna.arch.arch import Arch
from fna.arch.heads import describe
from fna.arch.zoo import mobilenet_v2
from fna.demo.drawing import HW, SHAPES, expose, grid, muted, place, surfaces, vivid
from fna.demo.scenes import GROUND, SKY
from fna.files import whole
from fna.nn.layers import Layer
from fna.nn.network import Network, assemble
from fna.train.schedules import polynomial, set_lr
from fna.weights.checkpoint import ARCH_KEY

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
"""Of drawn pictures, near enough; they travel with the seed."""
REPORT_STEPS = 200
TRAIN, VAL = 0, 1  # the two random streams of a random seed


@dataclass(frozen=True)
class Pretraining:
    """How the seed is trained; the defaults take 62 seconds of one core and reach 0.95 (chance 0.14)."""

    width: float = 0.35
    size: HW = (48, 48)
    steps: int = 1200
    batch: int = 32
    lr: float = 3e-3
    warmup_steps: int = 25
    val_pictures: int = 512


@dataclass(frozen=True)
class Pretrained:
    """Accuracies in 0 to 1: `train` over the last 20 batches as they were trained on, `val` over new pictures.

    `chance` is the accuracy of guessing.
    """

    train: float
    val: float
    chance: float = 1 / len(SHAPES)


def draw_pictures(rng: np.random.Generator, count: int, size: HW) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (N, 3, H, W), each of one shape before two surfaces, and the shapes' indices (N,) in SHAPES.

    Colours say nothing about the shape.
    """
    labels = rng.integers(0, len(SHAPES), count)
    area = np.asarray(size)
    radius = (
        np.exp(rng.uniform(np.log(0.2), np.log(0.45), (count, 1))) * min(size) * rng.uniform(0.85, 1.15, (count, 2))
    )
    centre, angle = rng.uniform(0.3, 0.7, (count, 2)) * area, rng.uniform(0, 2 * np.pi, count)
    x, y = place(size, *(part.astype(np.float32) for part in (centre, radius, angle)))
    inside = np.empty(x.shape, np.bool_)
    for index, covers in enumerate(SHAPES.values()):
        inside[labels == index] = covers(x[labels == index], y[labels == index])
    rows, columns = grid(size)
    edge, tilt = rng.uniform(-0.3, 1.3, (count, 1, 1)) * size[0], rng.uniform(-1, 1, (count, 1, 1))
    behind = rows > edge + tilt * (columns - size[1] / 2)
    bases = (muted(rng, count, *SKY), muted(rng, count, *GROUND), vivid(rng, count))
    far, near, shape = (surfaces(rng, base, size) for base in bases)
    picture = np.where(inside[..., None], shape, np.where(behind[..., None], near, far))
    return torch.from_numpy(expose(rng, picture)).permute(0, 3, 1, 2), torch.from_numpy(labels)


def normalised(pictures: Tensor) -> Tensor:
    """uint8 (N, 3, H, W) -> what the seed is fed."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((pictures / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def pretrain_seed(path: str | Path, random_seed: int, how: Pretraining | None = None) -> Pretrained:
    """Train a small MobileNetV2 to classify drawn shapes and write it without its classes to `path`.

    The safetensors file is one that `fna.weights.seeds.load_file` reads: architecture, mean and std in its metadata.
    Batch s is drawn from (random_seed, s), so that no picture comes twice.
    """
    how = how or Pretraining()
    arch = mobilenet_v2(how.width)
    network = assemble(arch, describe("classifier", arch, len(SHAPES), 32), 32, random_seed)
    _start_shallow(network)
    optimizer = torch.optim.AdamW(network.parameters(), how.lr, weight_decay=0.01)
    right: list[float] = []
    for step in range(how.steps):
        pictures, labels = draw_pictures(np.random.default_rng((random_seed, TRAIN, step)), how.batch, how.size)
        set_lr(optimizer, polynomial(step, how.steps, how.lr, 1.0, how.warmup_steps))
        logits = network(normalised(pictures))
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        right.append(float((logits.argmax(1) == labels).double().mean()))
        if (step + 1) % REPORT_STEPS == 0:
            print(f"  {step + 1}/{how.steps}  accuracy {100 * np.mean(right[-20:]):.0f} %", flush=True)
    save_seed(Path(path), arch, network)
    return Pretrained(float(np.mean(right[-20:])), _val_accuracy(network, random_seed, how))


def _start_shallow(network: Network) -> None:
    # Layers with a shortcut start as the identity (arXiv 1706.02677, 5.1): without this, so short a training stays
    # near chance.
    for module in network.modules():
        if isinstance(module, Layer) and module.residual:
            nn.init.zeros_(module.get_submodule("project.norm").get_parameter("weight"))


@torch.no_grad()
def _val_accuracy(network: Network, random_seed: int, how: Pretraining) -> float:
    network.eval()
    pictures, labels = draw_pictures(np.random.default_rng((random_seed, VAL)), how.val_pictures, how.size)
    predicted = torch.cat([network(normalised(part)).argmax(1) for part in pictures.split(how.batch)])
    return float((predicted == labels).double().mean())


def save_seed(path: Path, arch: Arch, network: Network) -> None:
    """Write a classifier's weights up to its last 1x1 convolution as a seed file, whole or not at all.

    SSDLite starts from that convolution too.
    """
    weights = dict(network.backbone.state_dict())
    weights |= {name: tensor for name, tensor in network.head.state_dict().items() if name.startswith("last.")}
    metadata = {ARCH_KEY: arch.to_json(), "mean": json.dumps(MEAN), "std": json.dumps(STD)}
    with whole(path) as temporary:
        save_file({f"backbone.{name}": tensor.contiguous() for name, tensor in weights.items()}, temporary, metadata)
