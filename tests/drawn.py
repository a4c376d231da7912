"""A small data set drawn for tests: bright discs (class 1) and bars (class 2) on a dark ground (class 0)."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fna.config.config import Config
from fna.config.files import from_data

TINY: dict[str, Any] = {
    "backbone": "mobilenet_v2_w010",
    "head": "deeplabv3",
    "threads": 1,
    "search": {
        "depths": [2, 3, 4, 3, 3, 1],
        "kernels": [3, 5],
        "expansions": [6],
        "caution": 0,
        "epochs": 3,
        "alpha_epoch": 1,
        "warmup_epochs": 0,
        "alpha_split": 0.34,
        "batch": 4,
        "swap_batches": 2,
        "swap": "layer",
        "trials": 0,
        "augment": {"crop": "32x32", "scales": [1.0]},
    },
    "adapt": {
        "steps": 6,
        "refresh_steps": 2,
        "batch": 4,
        "warmup_steps": 1,
        "validate_steps": 3,
        "augment": {"crop": "32x32", "scales": [0.75, 1.0]},
    },
}
"""A configuration whose whole pipeline takes seconds on one core."""


def draw_data(folder: Path, train: int = 12, val: int = 4, hw: tuple[int, int] = (40, 56)) -> Path:
    """An image/mask folder under `folder`; returns it."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: hw[0], : hw[1]]
    for split, count in (("train", train), ("val", val)):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for n in range(count):
            mask = np.zeros(hw, np.uint8)
            top, left = generator.integers(8, hw[0] - 8), generator.integers(8, hw[1] - 8)
            mask[(y - top) ** 2 + (x - left) ** 2 < 49] = 1
            mask[:, generator.integers(0, hw[1] - 6) :][:, :5] = 2
            shade = np.array([[20, 30, 40], [220, 200, 90], [90, 210, 220]], np.uint8)[mask]
            noisy = (shade + generator.integers(0, 20, shade.shape)).astype(np.uint8)
            Image.fromarray(noisy).save(folder / "images" / split / f"{n}.png")
            Image.fromarray(mask).save(folder / "masks" / split / f"{n}.png")
    (folder / "classes.txt").write_text("ground\ndisc\nbar\n")
    return folder


def configured(base: dict[str, Any], **changes: Any) -> Config:
    """A configuration with keys changed; of a section only those that are given."""
    merged = {key: base.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()}
    return from_data(base | merged)


def assert_equal_weights(a: Path, b: Path, training: str = "train") -> None:
    """Two runs have the same final weights in a training, bit for bit."""
    one, two = load_file(a / training / "last.safetensors"), load_file(b / training / "last.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def stop_at(patch: pytest.MonkeyPatch, task: type, n: int) -> list[int]:
    """Send Ctrl-C to this process at the n-th loss that a task computes; the list counts down."""
    left, real = [n], task.losses

    def losses(self: Any, *args: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
        return real(self, *args)

    patch.setattr(task, "losses", losses)
    return left
