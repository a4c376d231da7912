"""Every image and mask of a split read once, by threads: sizes, mask values, and what could not be read."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fna.data.reading.pixels import examined_image, mask_array
from fna.data.samples import Sample
from fna.errors import UserError

Size = tuple[int, int]  # height, width
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ExaminedImage:
    """What one image file holds; the size is None where it could not be read, and `refused_image` says why."""

    image: Path
    image_size: Size | None
    rotated: bool
    refused_image: str | None


@dataclass(frozen=True)
class Examined(ExaminedImage):
    """An image and its mask; `values` are value -> pixels."""

    mask: Path
    mask_size: Size | None
    values: dict[int, int]
    refused_mask: str | None


def examine(samples: Sequence[Sample]) -> list[Examined]:
    """Images and masks, in the order of the samples."""
    return in_threads(_examine_one, samples)


def examine_images(files: Sequence[Path]) -> list[ExaminedImage]:
    """Images alone, in order."""
    return in_threads(_examine_image, files)


def in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """All results, in order. Pillow decodes without the interpreter's lock, so threads use all cores."""
    with ThreadPoolExecutor(max_workers=min(32, 2 * (os.cpu_count() or 1))) as pool:
        return list(pool.map(function, items))


def same_content(first: Iterable[Path], second: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Files of the two splits with equal bytes. Only files of equal length are read."""
    by_length: dict[int, list[Path]] = defaultdict(list)
    for file in first:
        by_length[file.stat().st_size].append(file)
    pairs = []
    digests: dict[Path, bytes] = {}
    for file in second:
        for other in by_length.get(file.stat().st_size, []):
            for one in (file, other):
                if one not in digests:
                    digests[one] = _digest(one)
            if digests[file] == digests[other]:
                pairs.append((other, file))
    return pairs


def _examine_image(file: Path) -> ExaminedImage:
    try:
        size, rotated = examined_image(file)
        return ExaminedImage(file, size, rotated, None)
    except UserError as error:
        return ExaminedImage(file, None, False, str(error))


def _examine_one(sample: Sample) -> Examined:
    image = _examine_image(sample.image)
    mask_size, refused_mask = None, None
    values: dict[int, int] = {}
    try:
        mask = mask_array(sample.mask)
        mask_size = (mask.shape[0], mask.shape[1])
        values = _histogram(mask)
    except UserError as error:
        refused_mask = str(error)
    return Examined(
        image=image.image,
        image_size=image.image_size,
        rotated=image.rotated,
        refused_image=image.refused_image,
        mask=sample.mask,
        mask_size=mask_size,
        values=values,
        refused_mask=refused_mask,
    )


def _histogram(mask: np.ndarray) -> dict[int, int]:
    if mask.dtype == np.uint8:
        counts = np.bincount(mask.ravel(), minlength=256)
        return {int(value): int(counts[value]) for value in counts.nonzero()[0]}
    found, pixels = np.unique(mask, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
