"""Every image and mask of a split read once, by threads: sizes, mask values, and what could not be read."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fna.data.pixels import image_array, mask_array, orientation
from fna.data.samples import Sample
from fna.errors import UserError

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Examined:
    """What one sample holds; sizes are (height, width), None where a file could not be read; value -> pixels."""

    sample: Sample
    image_size: Size | None
    mask_size: Size | None
    values: dict[int, int]
    rotated: bool
    refused_image: str | None
    refused_mask: str | None


def examine(samples: Sequence[Sample]) -> list[Examined]:
    """All samples, in order. Pillow decodes without the interpreter's lock, so threads use all cores."""
    with ThreadPoolExecutor(max_workers=min(32, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(_examine_one, samples))


def same_content(first: Iterable[Sample], second: Iterable[Sample]) -> list[tuple[Path, Path]]:
    """Images of the two splits with equal bytes. Only files of equal length are read."""
    by_length: dict[int, list[Path]] = defaultdict(list)
    for sample in first:
        by_length[sample.image.stat().st_size].append(sample.image)
    pairs = []
    digests: dict[Path, bytes] = {}
    for sample in second:
        for other in by_length.get(sample.image.stat().st_size, []):
            for file in (sample.image, other):
                if file not in digests:
                    digests[file] = _digest(file)
            if digests[sample.image] == digests[other]:
                pairs.append((other, sample.image))
    return pairs


def _examine_one(sample: Sample) -> Examined:
    image_size, mask_size, refused_image, refused_mask, rotated = None, None, None, None, False
    values: dict[int, int] = {}
    try:
        height, width, _ = image_array(sample.image).shape
        image_size = (height, width)
        rotated = orientation(sample.image) != 1
    except UserError as error:
        refused_image = str(error)
    try:
        mask = mask_array(sample.mask)
        mask_size = (mask.shape[0], mask.shape[1])
        values = _histogram(mask)
    except UserError as error:
        refused_mask = str(error)
    return Examined(sample, image_size, mask_size, values, rotated, refused_image, refused_mask)


def _histogram(mask: np.ndarray) -> dict[int, int]:
    if mask.dtype == np.uint8:
        counts = np.bincount(mask.ravel(), minlength=256)
        return {int(value): int(counts[value]) for value in counts.nonzero()[0]}
    found, pixels = np.unique(mask, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
