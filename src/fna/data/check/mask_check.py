"""What is in a data set with masks and what is wrong with it, with file names."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

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
from fna.data.check.rendering import frame, image_lines
from fna.data.reading.examine import Examined, Size, examine
from fna.data.samples import IGNORE, Problem, SegmentationData

RARE = 0.001  # of the labelled training pixels
LISTED_VALUES = 20


@dataclass(frozen=True)
class MaskCounts:
    """One split in numbers; `pixels` and `class_images` are per class, `sizes` counts images by (height, width)."""

    images: int
    sizes: dict[Size, int]
    pixels: tuple[int, ...]
    class_images: tuple[int, ...]
    ignored_pixels: int
    unknown_pixels: int

    @property
    def ignored(self) -> float:
        """The fraction of all mask pixels that is ignored, 0 to 1."""
        return self.ignored_pixels / max(1, sum(self.pixels) + self.ignored_pixels + self.unknown_pixels)

    @property
    def shares(self) -> tuple[float, ...]:
        """The fraction of the labelled pixels that each class has, 0 to 1."""
        return tuple(count / max(1, sum(self.pixels)) for count in self.pixels)


@dataclass(frozen=True)
class MaskCheckReport(Report[MaskCounts]):
    """Everything the check of masks found; `problems` name all files, `text` only the first of each."""

    def text(self) -> str:
        """Layout, counts, the share of each class in each split, then at most ten files a problem, errors first."""
        return frame(self, [*image_lines(self), "", *_pixel_table(self)], "file")


def check_masks(data: SegmentationData) -> MaskCheckReport:
    """Read every image and mask once and say what is wrong with the data.

    Errors: missing partners, files that cannot be read or are refused, image and mask of different size, mask values
    that are neither class nor ignored, empty splits, the same image in two splits, a split without a labelled pixel.
    Warnings: classes that are absent or very rare, the same name in two splits, EXIF rotations.
    """
    examined = {split: examine(samples) for split, samples in data.splits.items()}
    counts = {split: _count(data, found) for split, found in examined.items()}
    problems = [*data.problems, *empty_splits(data.splits)]
    for split, found in examined.items():
        pairs = ((one, one.mask_size) for one in found)
        differ = sizes_differ(split, pairs, "mask", "rotate the mask")
        problems += [*_unreadable(split, found), *differ, *_unknown_values(data, split, found)]
    problems += overlaps(data.splits)
    for split, count in counts.items():
        if count.images:
            problems += _classes_missing(data, split, count, examined[split])
    if "train" in counts:
        problems += _rare(data, counts["train"])
    return MaskCheckReport(data.root, data.layout, data.classes, data.notes, counts, errors_first(problems))


def _class_of(data: SegmentationData, value: int) -> int | None:
    """The class index of a value in a file, 255 for ignored ones, None for one that means nothing."""
    if data.label_mapping is not None:
        return data.label_mapping.get(value)
    return value if value < len(data.classes) or value == IGNORE else None


def _count(data: SegmentationData, examined: list[Examined]) -> MaskCounts:
    pixels, images, unknown = Counter[int](), Counter[int](), 0
    for one in examined:
        here = Counter[int]()
        for value, count in one.values.items():
            index = _class_of(data, value)
            if index is None:
                unknown += count
            else:
                here[index] += count
        pixels.update(here)
        images.update(here.keys())
    classes = range(len(data.classes))
    return MaskCounts(
        images=len(examined),
        sizes=count_sizes(examined),
        pixels=tuple(pixels[index] for index in classes),
        class_images=tuple(images[index] for index in classes),
        ignored_pixels=pixels[IGNORE],
        unknown_pixels=unknown,
    )


def _unreadable(split: str, examined: list[Examined]) -> list[Problem]:
    masks = tuple(one.refused_mask for one in examined if one.refused_mask is not None)
    return [
        *unreadable(split, examined),
        *([Problem("error", f"{split}: mask cannot be used", masks)] if masks else []),
        *rotated(split, examined, "is the mask drawn on the upright image?"),
    ]


def _unknown_values(data: SegmentationData, split: str, examined: list[Examined]) -> list[Problem]:
    pixels, masks, files = Counter[int](), Counter[int](), []
    for one in examined:
        strange = {value: count for value, count in one.values.items() if _class_of(data, value) is None}
        if strange:
            pixels.update(strange)
            masks.update(strange.keys())
            listed = ", ".join(map(str, sorted(strange)[:LISTED_VALUES]))
            files.append(f"{one.mask}: {listed}{', ...' if len(strange) > LISTED_VALUES else ''}")
    if not files:
        return []
    values = sorted(pixels)
    listed = ", ".join(f"{v} ({pixels[v]:,} pixels in {masks[v]} files)" for v in values[:LISTED_VALUES])
    more = f", ... ({len(values)} values)" if len(values) > LISTED_VALUES else ""
    last = len(data.classes) - 1
    remedy = "add them to label_mapping"
    if data.label_mapping is None:
        remedy = "name them, or give a label_mapping in data.yaml (255 to ignore a value)"
        if values == [last + 1] and not any(0 in one.values for one in examined):
            remedy = f"the masks seem to count from 1: write names as a table in data.yaml, 1: {data.classes[0]}, ..."
    allowed = f"0 to {last}, {IGNORE} ignored" if data.label_mapping is None else "the keys of the label mapping"
    text = f"{split}: mask values that are neither class nor ignored (known: {allowed}): {listed}{more}; {remedy}"
    return [Problem("error", text, tuple(files))]


def _classes_missing(data: SegmentationData, split: str, count: MaskCounts, examined: list[Examined]) -> list[Problem]:
    if not sum(count.pixels):
        return [Problem("error", f"{split}: no pixel has a class, everything is ignored or unreadable")]
    absent = [name for name, pixels in zip(data.classes, count.pixels, strict=True) if not pixels]
    if not absent:
        return []
    hint = ""
    if data.label_mapping is None and {value for one in examined for value in one.values} == {0, IGNORE}:
        hint = "; the masks hold only 0 and 255: if 255 is the object, write label_mapping: {0: 0, 255: 1} in data.yaml"
    return [Problem("warning", f"{split}: no pixel of {', '.join(absent)}{hint}")]


def _rare(data: SegmentationData, train: MaskCounts) -> list[Problem]:
    rare = [
        f"{name} ({share:.3%} in {images} images)"
        for name, share, images in zip(data.classes, train.shares, train.class_images, strict=True)
        if 0 < share < RARE
    ]
    return (
        [Problem("warning", f"train: very rare, below {RARE:.1%} of the labelled pixels: {', '.join(rare)}")]
        if rare
        else []
    )


def _pixel_table(report: MaskCheckReport) -> Iterator[str]:
    """Pixels in percent of the labelled ones, and in how many images each class is."""
    width = max(len(name) for name in (*report.classes, "(unknown)"))
    yield f"{'class':<{4 + width}}" + "".join(f"{split + ' pixels':>16}{'images':>9}" for split in report.splits)
    for index, name in enumerate(report.classes):
        cells = (f"{count.shares[index]:>16.3%}{count.class_images[index]:>9,}" for count in report.splits.values())
        yield f"{index:>3} {name:<{width}}" + "".join(cells)
    cells = (f"{count.ignored:>16.3%}{'':>9}" for count in report.splits.values())
    yield f"{'':>4}{'(ignored)':<{width}}" + "".join(cells)
    if any(count.unknown_pixels for count in report.splits.values()):
        cells = (f"{count.unknown_pixels:>13,} px{'':>9}" for count in report.splits.values())
        yield f"{'':>4}{'(unknown)':<{width}}" + "".join(cells)
