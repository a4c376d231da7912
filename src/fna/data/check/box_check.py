"""What is in a data set with boxes and what is wrong with it, with the place of each box."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fna.data.boxes import KINDS, PARTLY, described, faults
from fna.data.check.image_check import (
    Report,
    count_sizes,
    empty_splits,
    errors_first,
    overlaps,
    rotated,
    sizes_differ,
    unreadable,
)
from fna.data.check.rendering import counted, frame, share_cell, sizes_line
from fna.data.reading.examine import ExaminedImage, Size, examine_images
from fna.data.samples import BoxSample, DetectionData, Problem

AREAS = (32**2, 96**2)  # square pixels; small is below the first, medium below the second (COCO)
SIDES = (0.05, 0.1, 0.2, 0.4)  # limits of the relative sizes


@dataclass(frozen=True)
class BoxCounts:
    """One split in numbers; `sizes` counts images by (height, width), `boxes` and `class_images` are per class.

    `empty_images` have no box, crowd regions aside; `crowd` boxes are in no other number. `areas` are boxes below
    32 x 32 square pixels, below 96 x 96 and above, by the annotated area; `sides` are boxes by the square root of their
    share of the image: below 5 %, 10 %, 20 %, 40 %, and above.
    """

    images: int
    empty_images: int
    sizes: Counter[Size]
    boxes: tuple[int, ...]
    class_images: tuple[int, ...]
    crowd: int
    areas: tuple[int, ...]
    sides: tuple[int, ...]


@dataclass(frozen=True)
class BoxCheckReport(Report[BoxCounts]):
    """Everything the check of boxes found; `problems` name all places, `text` only the first of each."""

    def text(self) -> str:
        """Layout, counts, boxes of each class and size in each split, then at most ten places a problem."""
        lines = []
        for split, count in self.splits.items():
            lines.append(f"{split:<6}{count.images:>7,} images  {sizes_line(count.sizes)}")
            crowd = f", and {count.crowd:,} crowd" if count.crowd else ""
            lines.append(
                f"{'':<6}{sum(count.boxes):>7,} boxes{crowd}; {counted(count.empty_images, 'image')} without boxes"
            )
        return frame(self, [*lines, "", *_box_table(self), "", *_size_table(self)], "place")


def check_boxes(data: DetectionData) -> BoxCheckReport:
    """Read every image once and say what is wrong with the data.

    Errors: what the reader found wrong in the annotations, images that are missing or cannot be read, another size than
    annotated, boxes outside of the image, labels that are no class, images or names that are there twice, empty splits,
    the same image in two splits, a split without a box. Warnings: boxes without an area or partly outside, class lists
    that differ, classes without a box in a split, the same name in two splits, EXIF rotations.
    """
    examined = {split: examine_images([sample.image for sample in samples]) for split, samples in data.splits.items()}
    counts = {split: _count(data, samples, examined[split]) for split, samples in data.splits.items()}
    problems = [*data.problems, *empty_splits(data.splits)]
    for split, samples in data.splits.items():
        found = examined[split]
        problems += [*unreadable(split, found), *rotated(split, found, "are the boxes drawn on the upright image?")]
        pairs = ((one, sample.size) for sample, one in zip(samples, found, strict=True))
        problems += sizes_differ(split, pairs, "annotation", "draw the boxes on the upright image")
        problems += _twice(split, samples)
        problems += [*_faults(split, samples, found), *_labels(data, split, samples)]
    problems += overlaps(data.splits)
    for split, count in counts.items():
        if count.images:
            problems += _classes_missing(data, split, count)
    return BoxCheckReport(data.root, data.layout, data.classes, data.notes, counts, errors_first(problems))


def _count(data: DetectionData, samples: Sequence[BoxSample], examined: Sequence[ExaminedImage]) -> BoxCounts:
    classes = len(data.classes)
    boxes, class_images = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    areas, sides = np.zeros(len(AREAS) + 1, np.int64), np.zeros(len(SIDES) + 1, np.int64)
    for sample, one in zip(samples, examined, strict=True):
        alone = ~sample.crowd
        labels = sample.labels[alone]
        per_class = np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
        boxes += per_class
        class_images += per_class > 0
        areas += _histogram(sample.areas[alone], AREAS)
        size = one.image_size or sample.size
        if size is not None:
            corners = sample.boxes[alone]
            share = (corners[:, 2:] - corners[:, :2]).prod(1).clip(0) / (size[0] * size[1])
            sides += _histogram(np.sqrt(share), SIDES)
    return BoxCounts(
        images=len(samples),
        empty_images=sum(bool(sample.crowd.all()) for sample in samples),
        sizes=count_sizes(examined),
        boxes=tuple(boxes.tolist()),
        class_images=tuple(class_images.tolist()),
        crowd=sum(int(sample.crowd.sum()) for sample in samples),
        areas=tuple(areas.tolist()),
        sides=tuple(sides.tolist()),
    )


def _histogram(values: NDArray[np.float64], limits: tuple[float, ...]) -> NDArray[np.int64]:
    """How many values are below the first limit, below the second, ..., and not below the last."""
    return np.bincount(np.searchsorted(limits, values, side="right"), minlength=len(limits) + 1)


def _twice(split: str, samples: Sequence[BoxSample]) -> list[Problem]:
    """Image ids and names that two samples have; readers leave the second one out, hand-made data may have it."""
    ids = Counter(sample.image_id for sample in samples)
    names = Counter(sample.name for sample in samples)
    kinds = {
        "image id is there twice": [
            f"{one.image}: image_id {one.image_id}" for one in samples if ids[one.image_id] > 1
        ],
        "file name is there twice": [f"{one.image}: {one.name}" for one in samples if names[one.name] > 1],
    }
    return [Problem("error", f"{split}: {text}", tuple(places)) for text, places in kinds.items() if places]


def _faults(split: str, samples: Sequence[BoxSample], examined: Sequence[ExaminedImage]) -> list[Problem]:
    """Boxes that are wrong in an image whose size only the image tells, or in hand-made data."""
    places: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for sample, one in zip(samples, examined, strict=True):
        size = np.array(sample.size or one.image_size or (np.nan, np.nan), np.float64)
        for kind, rows in faults(sample.boxes, np.broadcast_to(size, (len(sample.boxes), 2))).items():
            if kind == PARTLY and sample.size is not None:
                continue  # the reader has named these
            places[kind] += [f"{sample.image}: {described(box, size)}" for box in sample.boxes[rows]]
    return [
        Problem(KINDS[kind], f"{split}: {kind.removesuffix(', left out')}", tuple(found))
        for kind, found in places.items()
        if found
    ]


def _labels(data: DetectionData, split: str, samples: Sequence[BoxSample]) -> list[Problem]:
    last = len(data.classes) - 1
    places = tuple(
        f"{sample.image}: {label}" for sample in samples for label in sample.labels.tolist() if not 0 <= label <= last
    )
    return [Problem("error", f"{split}: label that is no class (known: 0 to {last})", places)] if places else []


def _classes_missing(data: DetectionData, split: str, count: BoxCounts) -> list[Problem]:
    if not sum(count.boxes):
        return [Problem("error", f"{split}: no image has a box")]
    absent = [name for name, boxes in zip(data.classes, count.boxes, strict=True) if not boxes]
    return [Problem("warning", f"{split}: no box of {', '.join(absent)}")] if absent else []


def _box_table(report: BoxCheckReport) -> Iterator[str]:
    """Boxes of each class, and in how many images it is."""
    width = max(len(name) for name in (*report.classes, "(crowd)"))
    yield f"{'class':<{4 + width}}" + "".join(f"{split + ' boxes':>16}{'images':>9}" for split in report.splits)
    for index, name in enumerate(report.classes):
        cells = (f"{count.boxes[index]:>16,}{count.class_images[index]:>9,}" for count in report.splits.values())
        yield f"{index:>3} {name:<{width}}" + "".join(cells)
    if any(count.crowd for count in report.splits.values()):
        cells = (f"{count.crowd:>16,}{'':>9}" for count in report.splits.values())
        yield f"{'':>4}{'(crowd)':<{width}}" + "".join(cells)


def _size_table(report: BoxCheckReport) -> Iterator[str]:
    """Boxes by area in pixels and by their share of the image, in percent of the split's boxes."""
    small, large = (round(area**0.5) for area in AREAS)
    areas = (f"small, below {small}x{small} px", f"medium, below {large}x{large} px", "large")
    between = (f"{low:.0%} to {high:.0%}" for low, high in pairwise(SIDES))
    sides = (f"below {SIDES[0]:.0%}", *between, f"{SIDES[-1]:.0%} and more")
    yield f"{'box size':<26}" + "".join(f"{split + ' boxes':>16}{'share':>9}" for split in report.splits)
    for index, name in enumerate(areas):
        yield f"  {name:<24}" + "".join(share_cell(count.areas, index) for count in report.splits.values())
    yield "side, in percent of the image's (square root of box area / image area)"
    for index, name in enumerate(sides):
        yield f"  {name:<24}" + "".join(share_cell(count.sides, index) for count in report.splits.values())
