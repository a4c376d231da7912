"""Small data sets drawn into a temporary folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class Coco:
    """COCO annotations of two splits that can be changed before `write`; images of 8x10 pixels, noise.

    train: a.png with a cat and a dog, b.png with a dog, c.png without a box; val: v.png with a cat and a dog.
    """

    def __init__(self, root: Path, draw: Draw) -> None:
        self.root = root
        for name in ("train/a", "train/b", "train/c", "val/v"):
            draw(f"{name}.png", size=(8, 10))
        categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
        self.train: dict[str, Any] = {
            "images": [self.image(11, "a.png"), self.image(12, "b.png"), self.image(13, "c.png")],
            "annotations": [
                self.box(1, 12, 7, [1, 2, 3, 4]),
                self.box(2, 11, 3, [0, 0, 10, 8]),
                self.box(3, 11, 7, [4.5, 3, 2, 2.5]),
            ],
            "categories": [dict(category) for category in categories],
        }
        self.val: dict[str, Any] = {
            "images": [self.image(11, "v.png")],
            "annotations": [self.box(1, 11, 3, [1, 1, 5, 5]), self.box(2, 11, 7, [2, 2, 5, 5])],
            "categories": [dict(category) for category in categories],
        }

    def image(self, number: int, name: str, **more: Any) -> dict[str, Any]:
        return {"id": number, "file_name": name, "width": 10, "height": 8, **more}

    def box(self, number: int, image: int, category: int, bbox: list[float], **more: Any) -> dict[str, Any]:
        return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **more}

    def write(self) -> Path:
        """annotations/instances_{train,val}.json; a split that is None has no file."""
        folder = self.root / "annotations"
        folder.mkdir(exist_ok=True)
        for split in ("train", "val"):
            content = getattr(self, split)
            if content is not None:
                (folder / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
        return self.root


@pytest.fixture
def coco(tmp_path: Path, draw: Draw) -> Coco:
    """A small COCO data set with nothing wrong with it, not yet written."""
    return Coco(tmp_path, draw)
