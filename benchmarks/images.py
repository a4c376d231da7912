"""Images to measure on: real ones where they are at hand, else drawn ones of the same size."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from fna.data.layouts.opening import open_data
from fna.data.samples import BoxSample, Sample

SHARED = Path(os.environ.get("FNA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
"""The folder with real images, as the tests know it."""

CLASSES = 11


def masked_images(folder: Path, count: int) -> tuple[str, tuple[Sample, ...]]:
    """What they are, and at most `count` images with masks; drawn ones go to `folder`."""
    real = SHARED / "data" / "camvid"
    if real.is_dir():
        return "CamVid, 360x480", open_data(real, "seg").splits["train"][:count]
    return "drawn, 360x480", tuple(Sample(file.stem, file, _mask(file)) for file in draw(folder, count, (360, 480)))


def enlarged(folder: Path, samples: Sequence[Sample], size: tuple[int, int]) -> tuple[Sample, ...]:
    """The images and masks at (height, width) as PNG files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, sample in enumerate(samples):
        files = folder / f"{number}.png", folder / f"{number}_mask.png"
        for source, target, how in zip(
            (sample.image, sample.mask), files, (Image.Resampling.BICUBIC, Image.Resampling.NEAREST), strict=True
        ):
            with Image.open(source) as picture:
                picture.resize(size[::-1], how).save(target)
        made.append(Sample(str(number), *files))
    return tuple(made)


def boxed_images(folder: Path, count: int) -> tuple[str, tuple[BoxSample, ...]]:
    """What they are, and at most `count` images with boxes; drawn ones go to `folder`."""
    real = SHARED / "data" / "animals"
    if real.is_dir():
        return "animals, 300x400", open_data(real, "det").splits["train"][:count]
    return "drawn, 300x400", tuple(map(boxed, draw(folder, count, (300, 400))))


def boxed(file: Path) -> BoxSample:
    """A drawn image with three boxes."""
    boxes = np.array([[20, 30, 200, 180], [100, 100, 300, 290], [250, 20, 390, 120]], np.float64)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return BoxSample(file.stem, file, None, boxes, np.arange(3), np.zeros(3, bool), areas, int(file.stem))


def draw(folder: Path, count: int, size: tuple[int, int], masks: Path | None = None, first: int = 0) -> list[Path]:
    """JPEG images of (height, width), as smooth as photos, their masks in `masks` or beside them; the images' files.

    They are numbered from `first`, and a number says what is drawn.
    """
    for place in (folder, masks or folder):
        place.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(first, first + count):
        noise = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        picture = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1.5))
        files.append(folder / f"{number}.jpg")
        picture.save(files[-1], quality=90)
        shades = np.asarray(picture.convert("L"))
        Image.fromarray((shades // (256 // CLASSES)).clip(max=CLASSES - 1)).save(_mask(files[-1], masks))
    return files


def _mask(image: Path, folder: Path | None = None) -> Path:
    return (folder or image.parent) / f"{image.stem}_mask.png"
