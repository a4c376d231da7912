"""A small data set of image folders drawn for tests: pictures of one colour each, with noise."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drawn import TINY

COLOURS = {"red": (200, 40, 40), "Green": (40, 200, 40), "blue": (40, 40, 200)}

TINY_CLASSES: dict[str, Any] = TINY | {
    "head": "classifier",
    "imgsz": "48x48",
    "search": {**TINY["search"], "swap": "stage", "augment": {"flip": False}},
    "adapt": {**TINY["adapt"], "augment": {}},
}
"""A configuration whose whole pipeline takes seconds on one core."""


def draw_classes(folder: Path, train: int = 6, val: int = 2, hw: tuple[int, int] = (40, 56)) -> Path:
    """SPLIT/CLASS/*.png, so many of each colour; returns the folder."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for n in range(count):
                pixels = np.array(colour) + generator.integers(-30, 30, (*hw, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / split / name / f"{split}{n}.png")
    return folder
