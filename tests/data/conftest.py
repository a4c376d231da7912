"""Small data sets drawn into a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """`draw("a/b.png", values)` writes an array (or noise of the given size and kind) and returns the path."""

    def _draw(name: str, values: np.ndarray | None = None, size: tuple[int, int] = (6, 8)) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if values is None:
            noise = np.random.default_rng(sum(map(ord, name)))
            is_mask = any(
                part.lower().startswith(("mask", "label", "ann", "gtfine", "segm")) for part in file.parts[-4:]
            )
            values = noise.integers(0, 3, size, np.uint8) if is_mask else noise.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(values).save(file)
        return file

    return _draw


@pytest.fixture
def tree(tmp_path: Path, draw: Draw) -> Path:
    """images/{train,val} + masks/{train,val} with three classes, six and two images, nothing wrong with it."""
    for split, count in (("train", 6), ("val", 2)):
        for number in range(count):
            draw(f"images/{split}/{split}{number}.png")
            draw(f"masks/{split}/{split}{number}.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n", encoding="utf-8")
    return tmp_path
