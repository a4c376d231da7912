"""A small data set with boxes drawn for tests: bright discs and squares on a dark ground, as COCO JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drawn import TINY

TINY_BOXES: dict[str, Any] = TINY | {
    "head": "ssdlite",
    "imgsz": "64x64",
    "search": {**TINY["search"], "swap": "stage", "augment": {"flip": False}},
    "adapt": {**TINY["adapt"], "augment": {"ssd": True}},
}
"""A configuration whose whole pipeline takes seconds on one core."""


def draw_boxes(folder: Path, train: int = 12, val: int = 4, hw: tuple[int, int] = (60, 80)) -> Path:
    """annotations/instances_{train,val}.json and images in train/ and val/; every fourth image has no box."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: hw[0], : hw[1]]
    (folder / "annotations").mkdir(parents=True)
    for split, count in (("train", train), ("val", val)):
        (folder / split).mkdir()
        images, annotations = [], []
        for n in range(1, count + 1):
            pixels = generator.integers(0, 60, (*hw, 3)).astype(np.uint8)
            for _ in range(generator.integers(1, 3) if n % 4 else 0):
                category, radius = int(generator.integers(0, 2)), int(generator.integers(8, 20))
                top, left = (int(generator.integers(radius, side - radius)) for side in hw)
                inside = np.hypot(y - top, x - left) < radius
                if category:
                    inside = (abs(y - top) < radius) & (abs(x - left) < radius)
                pixels[inside] = (230, 90, 60) if category else (80, 200, 240)
                box = [left - radius, top - radius, 2 * radius, 2 * radius]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": n,
                        "category_id": 3 + 4 * category,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
            Image.fromarray(pixels).save(folder / split / f"{n}.png")
            images.append({"id": n, "file_name": f"{n}.png", "width": hw[1], "height": hw[0]})
        categories = [{"id": 3, "name": "disc"}, {"id": 7, "name": "square"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder
