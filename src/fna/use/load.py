"""Trained networks as ordinary modules."""

from pathlib import Path

import torch
from torch import nn

from fna.arch.arch import Arch, Tap
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.nn.network import build
from fna.nn.plain import PlainTaps
from fna.weights.checkpoint import load_network
from fna.weights.trained import TrainedNetwork


def network_file(run_or_file: str | Path, training: str = "train") -> Path:
    """The best network of a run folder's training, or the file itself; a UserError where there is none."""
    path = Path(run_or_file)
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"{path}: nothing is there; give a run folder or a .safetensors file")
    file = path / training / "best.safetensors"
    if not file.is_file():
        trainings = sorted(found.parent.name for found in path.glob("*/best.safetensors"))
        known = (
            f"Trainings with one: {', '.join(trainings)}." if trainings else "Is it a run folder, and was it trained?"
        )
        raise UserError(f"{path} has no network of a training {training!r} ({training}/best.safetensors). {known}")
    return file


def load(run_or_file: str | Path, training: str = "train") -> TrainedNetwork:
    """The network of a run's training (`train`, `seed`, ...) or of a .safetensors file, in eval mode, on the CPU.

    forward: images (N, 3, H, W), float, RGB in [0, 1] minus `info.mean` over `info.std` -> logits (N, classes, H, W),
    (N, classes) of a classifier, or for a detector the raw outputs of `fna.nn.heads.detection`, of which
    `fna.tasks.detection.task.detector_of` makes boxes.
    Raises UserError where there is no network, or none written by fna.
    """
    file = network_file(run_or_file, training)
    weights, info = load_network(file)
    bare = build(info.design, len(info.classes), random_seed=0)
    try:
        bare.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{file}: its weights do not fit the architecture in its metadata: {error}") from error
    network = TrainedNetwork(bare.backbone, bare.head, info)
    return network.eval()


def load_backbone(run_or_file: str | Path, training: str = "train") -> nn.Module:
    """The trained network's backbone alone, in eval mode, with every stage as a tap, for a head of your own.

    forward: images as for `load` -> a list with the output of each stage; `channels` and `strides` describe them.
    """
    network = load(run_or_file, training)
    info = network.info
    if isinstance(network.backbone, PlainTaps):
        return network.backbone.features
    arch = info.design.arch
    assert isinstance(arch, Arch)  # else it would be of plain taps
    with torch.device("meta"):  # no initial weights, so no random numbers are drawn for them
        backbone = Backbone(arch, [Tap(s) for s in range(len(arch.stages))], info.design.output_stride)
    backbone.load_state_dict(network.backbone.state_dict(), assign=True)
    return backbone.eval()
