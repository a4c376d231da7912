"""Boxes of a detection data set cut out as images of their classes, in the layout of image folders."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fna.data.reading.pixels import image_array
from fna.data.samples import BoxSample, DetectionData
from fna.errors import UserError


@dataclass(frozen=True)
class CropCount:
    """How many boxes of a split became images, and how many were left out, for which reason."""

    written: int
    small: int
    crowd: int


def crops_of(data: DetectionData, out: str | Path, minimum_side: int = 32) -> dict[str, CropCount]:
    """Write OUT/SPLIT/CLASS/IMAGE-N.png, what box N of an image shows, for every box; the counts of each split.

    A box is clipped to its image and cut at whole pixels that cover it. Boxes with a side below `minimum_side` pixels
    and crowd boxes are left out. Raises UserError where `out` is not empty and for a class name that is no folder name.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is there already and not an empty folder; give another one for the crops.")
    for name in data.classes:
        if name.startswith(".") or "/" in name or "\\" in name:
            raise UserError(f"the class {name!r} cannot be the name of a folder; rename it in the annotations.")
    return {split: _split(data, split, out / split, minimum_side) for split in data.splits}


def _split(data: DetectionData, split: str, out: Path, minimum_side: int) -> CropCount:
    written, small, crowd = 0, 0, 0
    for sample in data.splits[split]:
        crowd += int(sample.crowd.sum())
        crops = _crops(sample)
        for number, crop in crops.items():
            if min(crop.shape[:2]) < max(1, minimum_side):
                small += 1
                continue
            file = out / data.classes[int(sample.labels[number])] / f"{sample.name}-{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(file)
            written += 1
    return CropCount(written, small, crowd)


def _crops(sample: BoxSample) -> dict[int, NDArray[np.uint8]]:
    """The pixels (h, w, 3) of every box that is no crowd, by its place among the image's boxes."""
    numbers = (~sample.crowd).nonzero()[0].tolist()
    if not numbers:
        return {}
    image = image_array(sample.image)
    height, width = image.shape[:2]
    low = np.floor(sample.boxes[:, :2]).clip(0).astype(int)
    high = np.ceil(sample.boxes[:, 2:]).clip(0, (width, height)).astype(int)
    return {n: image[low[n, 1] : high[n, 1], low[n, 0] : high[n, 0]] for n in numbers}
