"""FastNAS of NVIDIA ModelOpt on a network: norm calibration, sensitivity of every width, the search under a budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fna.arch.arch import HW
from fna.errors import UserError
from fna.nn.network import Network, channels_last

RATIOS = tuple(n / 20 for n in range(1, 21))
"""Shares of a layer's channels that are tried: FastNAS's own default."""
CALIBRATION_BATCHES = 50
"""ModelOpt renews the norm statistics of every subnet on so many batches, and with fewer of them not at all."""

Widths = dict[str, int]
"""Output channels by the name of the convolution."""


@dataclass(frozen=True)
class Pruned:
    """What FastNAS did.

    `searchable` are the widths that a layer could have, `changed` the (before, after) of those layers, `forced` that of
    layers which are added to one of them. `scores` are before and after, without any training in between.
    """

    searchable: dict[str, list[int]]
    changed: dict[str, tuple[int, int]]
    forced: dict[str, tuple[int, int]]
    scores: tuple[float, float]


def require() -> None:
    """UserError where ModelOpt, or what it counts with, is not installed."""
    missing = [name for name in ("modelopt", "torchprofile") if find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} not found: install benchmarks/modelopt_fastnas/requirements.txt")


@torch.no_grad()
def madds(network: nn.Module, imgsz: HW) -> int:
    """Multiply-adds for one image of `imgsz` (height, width) by torch's counter: convolutions and linear layers."""
    modes = [(module, module.training) for module in network.modules()]
    image = torch.zeros(1, 3, *imgsz, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter:
        network.eval()(image)
    for module, training in modes:
        module.training = training
    return int(counter.get_total_flops()) // 2


def widths(network: nn.Module) -> Widths:
    """The output channels of every convolution over all its inputs; a depthwise one has those of the layer before."""
    convs = {name: part for name, part in network.named_modules() if isinstance(part, nn.Conv2d)}
    return {name.removesuffix(".conv"): conv.out_channels for name, conv in convs.items() if conv.groups == 1}


def changes(before: Widths, after: Widths) -> dict[str, tuple[int, int]]:
    """The layers whose width is another one, with both widths."""
    return {name: (width, after[name]) for name, width in before.items() if after[name] != width}


def rules(divisor: int) -> dict[str, Any]:
    """FastNAS's default rules for convolutions and norms, with widths as multiples of `divisor` (its default: 32)."""
    return {
        "nn.Conv2d": {"channels_ratio": RATIOS, "kernel_size": (), "channel_divisor": divisor},
        "nn.BatchNorm2d": {"features_ratio": RATIOS, "feature_divisor": divisor},
    }


def prune(
    network: Network,
    budget: int,
    imgsz: HW,
    score: Callable[[nn.Module], float],
    images: Sequence[Tensor],
    divisor: int,
    checkpoint: str,
) -> Pruned:
    """Prune `network` in place to at most `budget` multiply-adds for one image of `imgsz`.

    `score` (larger is better) judges a subnet, `images` are at least `CALIBRATION_BATCHES` batches for its norms. The
    sensitivities are kept in the file `checkpoint`, and read again where it exists. UserError where the budget cannot
    be had.
    """
    # Takes seconds, and is absent where only the rest of this is used.
    fastnas, utils = import_module("modelopt.torch.prune"), import_module("modelopt.torch.nas.utils")
    before, device = widths(network), next(network.parameters()).device
    network.to(memory_format=torch.contiguous_format)  # ModelOpt refuses channels-last
    image = torch.zeros(1, 3, *imgsz, device=device)
    # ModelOpt counts other operations too (resizing the logits, pooling): they are not charged to the budget.
    others = utils.inference_flops(network, image, unit=1.0) - 2 * madds(network, imgsz)
    search = {
        "score_func": score,
        "data_loader": images,
        "collect_func": lambda batch: batch.to(device),
        "max_iter_data_loader": CALIBRATION_BATCHES,
        "checkpoint": checkpoint,
        "verbose": False,
    }
    try:
        _, found = fastnas.prune(network, [("fastnas", rules(divisor))], {"flops": 2 * budget + others}, image, search)
    except ValueError as error:
        raise UserError(f"ModelOpt finds no network of at most {budget / 1e9:.4f} G MAdds: {error}") from error
    channels_last(network)
    sensitivity: Mapping[str, Mapping[int, float]] = found["sensitivity_map"]
    searchable = {name.removesuffix(".conv.out_channels"): sorted(row) for name, row in sensitivity.items()}
    after = changes(before, widths(network))
    return Pruned(
        searchable,
        {name: pair for name, pair in after.items() if name in searchable},
        {name: pair for name, pair in after.items() if name not in searchable},
        (float(found["original_score"]), score(network)),
    )
