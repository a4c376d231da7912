"""Decoding and augmenting training images against torchvision's reference transforms, in time of one core."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import torch
from torch.utils.data import Dataset

from benchmarks import torchvision_reference as theirs
from benchmarks.images import boxed_images, enlarged, masked_images
from benchmarks.rows import Finding, Quartiles, measured
from benchmarks.settings import Settings
from benchmarks.timing import Stopwatch, Times, compared, quartiles, race
from benchmarks.torchvision_reference import MEAN, STD, Backend, Reference
from fna.data.reading.box_dataset import BoxAugment, DetectionDataset, Resize
from fna.data.reading.dataset import Augment, SegmentationDataset
from fna.data.samples import BoxSample, Sample

NAME = "input pipeline"
WANTED = 1 / 1.5
IMAGES = {"full": 64, "quick": 24, "tiny": 2}
SCALES, CROP = (0.75, 1.0, 1.25), (320, 320)
SSD_SIZE = (320, 320)
PAPER_IMAGE, PAPER_CROP = (1024, 2048), (769, 769)
PAPER_SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
"""Of its segmentation (4.1)."""
CACHE_BYTES = 4 << 30
BACKENDS: tuple[Backend, ...] = ("Pillow", "tensors")
CORES = 16
PAPER_RATES = {
    "segmentation, PNG of 1024x2048": (
        "100,000 steps of 16 images in 8.5 h on 4 TITAN-Xp",
        100_000 * 16 / (8.5 * 3600 * 4),
    ),
    "SSD": ("60 epochs of 5 x 117,266 images in 46 h on 8 TITAN-Xp", 60 * 5 * 117_266 / (46 * 3600 * 8)),
}
"""Images a second that one GPU of the paper took in fine-tuning (4.1, A.1; the five times are the authors' code's)."""
FASTER = 10
"""Assumed: times that a GPU of today is faster than the paper's."""

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of training images: what makes one of ours, by position, and what the reference decodes and does."""

    name: str
    samples: Sequence[Any]
    data: Callable[[int], Dataset[Any]]
    decode: Callable[[Backend], Callable[[Any], tuple[Any, ...]]]
    transform: Callable[[Backend], Any]


def input_pipeline(settings: Settings) -> list[Finding]:
    """Rows for masks, at the paper's shapes too, boxes, and boxes with SSD's augmentation."""
    rows, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder:
            for part in _parts(Path(folder), IMAGES[settings.size]):
                rows += [row for kept in (False, True) for row in _rows(part, kept, settings)]
    finally:
        torch.set_num_threads(threads)
    return rows


def _parts(folder: Path, count: int) -> list[Part]:
    about_masks, masked = masked_images(folder / "masks", count)
    about_boxes, boxes = boxed_images(folder / "boxes", count)
    large = enlarged(folder / "large", masked[: max(1, count // 8)], PAPER_IMAGE)
    return [
        _segmentation(f"segmentation, {about_masks}", masked, SCALES, CROP, 360),
        _segmentation("segmentation, PNG of 1024x2048", large, PAPER_SCALES, PAPER_CROP, PAPER_IMAGE[0]),
        _detection(f"detection, {about_boxes} to 320x320", boxes, ssd=False),
        _detection(f"SSD, {about_boxes} to 320x320", boxes, ssd=True),
    ]


def _segmentation(
    name: str, samples: Sequence[Sample], scales: tuple[float, ...], crop: tuple[int, int], height: int
) -> Part:
    return Part(
        f"{name}, crop {crop[0]}x{crop[1]}",
        samples,
        lambda cache: SegmentationDataset(samples, MEAN, STD, augment=Augment(scales, crop), cache_bytes=cache),
        lambda backend: partial(theirs.decode_masked, backend=backend),
        lambda backend: theirs.segmentation((scales[0], scales[-1]), height, crop, backend),
    )


def _detection(name: str, samples: Sequence[BoxSample], ssd: bool) -> Part:
    size, augment = Resize(SSD_SIZE), BoxAugment(True, ssd)
    return Part(
        name,
        samples,
        lambda cache: DetectionDataset(samples, MEAN, STD, size, augment, cache_bytes=cache),
        lambda backend: partial(theirs.decode_boxed, backend=backend),
        lambda backend: theirs.detection(ssd, SSD_SIZE, backend),
    )


def _pass(data: Dataset[Any], count: int) -> Work:
    """Once through all images; the next call goes on in the stream, so that augmentations are others."""
    start = -count

    def work() -> None:
        nonlocal start
        start += count
        for position in range(start, start + count):
            data[position]

    return work


def _reference(reference: Reference, samples: Sequence[Any]) -> Work:
    def work() -> None:
        for number, sample in enumerate(samples):
            reference(number, sample)

    return work


def _rows(part: Part, kept: bool, settings: Settings) -> list[Finding]:
    """Against the reference on each of its backends; decoded images stay in memory on both sides or on neither."""
    count = len(part.samples)
    works = {"fna": _pass(part.data(CACHE_BYTES if kept else 0), count)}
    for backend in BACKENDS:
        reference = Reference(part.decode(backend), part.transform(backend), kept)
        works[f"torchvision on {backend}"] = _reference(reference, part.samples)
    times = race(works, settings.pace, Stopwatch(clock=process_time))
    each = Times({name: [1000 * one / count for one in values] for name, values in times.seconds.items()})
    case = f"{part.name}, {'decoded once' if kept else 'decoded each time'}"
    rows = [
        replace(compared(NAME, case, "fna", name, each.compare("fna", name), WANTED, NOTE), unit="ms")
        for name in works
        if name != "fna"
    ]
    for kind, (how, rate) in PAPER_RATES.items():
        if part.name.startswith(kind) and not kept:
            rows.append(_starving(case, kind, how, rate, each.seconds["fna"]))
    return rows


NOTE = "milliseconds of one core for one image, ready for the batch; the reference keeps decoded images where fna does"


def _starving(case: str, kind: str, how: str, rate: float, milliseconds: Sequence[float]) -> Finding:
    """How much of 16 cores a GPU needs that is so many times faster than one of the paper's."""
    shares: Quartiles = quartiles([FASTER * rate * one / 1000 / CORES for one in milliseconds])
    note = (
        f"{kind}: {how} are {rate:.3g} images/s for a GPU, {FASTER} times that (assumed for a GPU of today) is "
        f"{FASTER * rate:,.0f}; times the time for an image, over {CORES} cores"
    )
    unit = f"of {CORES} cores"
    return measured(NAME, f"{case}: one GPU needs", "fna", shares, unit, at_most=1, note=note)
