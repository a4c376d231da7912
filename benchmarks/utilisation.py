"""Operations of a training step, and how many of them a device can do at most."""

from dataclasses import dataclass, replace

import torch

from benchmarks.cases import Bench, stopwatch
from benchmarks.timing import Pace, race
from fna.arch.arch import Arch
from fna.arch.space import Space
from fna.cost.count import candidate_madds, count

TERA = 1e12
TRAINING_PASSES, ALPHA_PASSES = 3, 2
"""Forward, gradient of the inputs and gradient of the weights; the last is not needed for the alphas."""
PEAKS: dict[str, tuple[float, float]] = {
    "H200": (494.7, 989.4),
    "H100": (494.7, 989.4),
    "A100": (156.0, 312.0),
    "L40S": (183.0, 362.0),
    "L4": (60.0, 121.0),
}
"""Dense TFLOP/s by their maker's data sheets, of TF32 and of bf16, for names of devices that contain the key (the form
for server boards where there are two)."""
MATRIX = 4096


@dataclass(frozen=True, slots=True)
class Peak:
    """The most operations a second, and who says so."""

    flops: float
    source: str


def peak_of_device(device: torch.device, precision: str, matrix: int = MATRIX) -> Peak:
    """By the data sheet, else as measured with a product of two square matrices in that precision."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for key, (tf32, bf16) in PEAKS.items():
            if key in name:
                kind, value = ("TF32", tf32) if precision == "32" else ("bf16", bf16)
                return Peak(value * TERA, f"{value:g} TFLOP/s, {name}'s data sheet for dense {kind}")
    flops = measured_flops(device, torch.float32 if precision == "32" else torch.bfloat16, matrix)
    return Peak(flops, f"{flops / TERA:.3g} TFLOP/s, measured with a product of {matrix}x{matrix} matrices")


def measured_flops(device: torch.device, dtype: torch.dtype, matrix: int) -> float:
    """Operations a second of a product of square matrices."""
    left, right = (torch.randn(matrix, matrix, device=device, dtype=dtype) for _ in range(2))
    times = race({"product": lambda: left @ right}, Pace(5, 2), stopwatch(device))
    return 2 * matrix**3 / times.of("product").median


def training_flops(bench: Bench, arch: Arch, hw: tuple[int, int], images: int) -> float:
    """Of a step of an ordinary network: 2 for a multiply-add, three passes; convolutions alone."""
    madds = count(replace(bench.design(arch), imgsz=hw), len(bench.task.classes)).madds
    return 2.0 * TRAINING_PASSES * madds * images


def mixture_flops(bench: Bench, space: Space, hw: tuple[int, int], images: int) -> float:
    """Of a step of the alphas: every candidate forward and its gradient of the inputs."""
    stride, path = bench.config.output_stride, (0,) * len(space.searched)
    arch = space.pick(path)
    costs = candidate_madds(space, hw, stride)
    fixed = count(replace(bench.design(arch), imgsz=hw), len(bench.task.classes)).madds - sum(row[0] for row in costs)
    return 2.0 * ALPHA_PASSES * (fixed + sum(map(sum, costs))) * images
