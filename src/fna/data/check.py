"""What is in a data set and what is wrong with it, with file names."""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from fna.data.examine import Examined, Size, examine, same_content
from fna.data.samples import IGNORE, Problem, Sample, SegmentationData

RARE = 0.001  # of the labelled training pixels
LISTED_VALUES = 20


@dataclass(frozen=True)
class SplitCounts:
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
class CheckReport:
    """Everything the check found; `problems` name all files, `text` only the first of each."""

    root: Path
    layout: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    splits: dict[str, SplitCounts]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    def text(self) -> str:
        """The report for the console, with at most ten files a problem."""
        from fna.data.rendering import render

        return render(self)


def check(data: SegmentationData) -> CheckReport:
    """Read every file of the data set once and say what is wrong with it.

    Errors: missing partners, files that cannot be read or are refused, image and mask of different size, mask values
    that are neither class nor ignored, empty splits, the same image in two splits, a split without a labelled pixel.
    Warnings: classes that are absent or very rare, the same name in two splits, EXIF rotations.
    """
    examined = {split: examine(samples) for split, samples in data.splits.items()}
    counts = {split: _count(data, found) for split, found in examined.items()}
    problems = list(data.problems)
    for split in ("train", "val"):
        if not data.splits.get(split):
            problems.append(Problem("error", f"{split}: the split is empty"))
    for split, found in examined.items():
        problems += [*_unreadable(split, found), *_sizes_differ(split, found), *_unknown_values(data, split, found)]
    problems += _overlaps(data.splits)
    for split, count in counts.items():
        if count.images:
            problems += _classes_missing(data, split, count, examined[split])
    if "train" in counts:
        problems += _rare(data, counts["train"])
    problems.sort(key=lambda problem: problem.severity != "error")
    return CheckReport(data.root, data.layout, data.classes, data.notes, counts, tuple(problems))


def _class_of(data: SegmentationData, value: int) -> int | None:
    """The class index of a value in a file, 255 for ignored ones, None for one that means nothing."""
    if data.label_mapping is not None:
        return data.label_mapping.get(value)
    return value if value < len(data.classes) or value == IGNORE else None


def _count(data: SegmentationData, examined: list[Examined]) -> SplitCounts:
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
    return SplitCounts(
        images=len(examined),
        sizes=dict(Counter(one.image_size for one in examined if one.image_size is not None).most_common()),
        pixels=tuple(pixels[index] for index in classes),
        class_images=tuple(images[index] for index in classes),
        ignored_pixels=pixels[IGNORE],
        unknown_pixels=unknown,
    )


def _unreadable(split: str, examined: list[Examined]) -> list[Problem]:
    images = tuple(one.refused_image for one in examined if one.refused_image is not None)
    masks = tuple(one.refused_mask for one in examined if one.refused_mask is not None)
    rotated = tuple(str(one.sample.image) for one in examined if one.rotated)
    return [
        *([Problem("error", f"{split}: image cannot be used", images)] if images else []),
        *([Problem("error", f"{split}: mask cannot be used", masks)] if masks else []),
        *(
            [Problem("warning", f"{split}: rotated by EXIF; is the mask drawn on the upright image?", rotated)]
            if rotated
            else []
        ),
    ]


def _sizes_differ(split: str, examined: list[Examined]) -> list[Problem]:
    files = []
    for one in examined:
        if one.image_size is None or one.mask_size is None or one.image_size == one.mask_size:
            continue
        (height, width), (mask_height, mask_width) = one.image_size, one.mask_size
        hint = ""
        if one.rotated and (height, width) == (mask_width, mask_height):
            hint = " (fits the image without its EXIF rotation: rotate the mask, or remove the tag from the image)"
        files.append(f"{one.sample.image}: image {height}x{width}, mask {mask_height}x{mask_width}{hint}")
    return [Problem("error", f"{split}: image and mask differ in size (height x width)", tuple(files))] if files else []


def _unknown_values(data: SegmentationData, split: str, examined: list[Examined]) -> list[Problem]:
    pixels, masks, files = Counter[int](), Counter[int](), []
    for one in examined:
        strange = {value: count for value, count in one.values.items() if _class_of(data, value) is None}
        if strange:
            pixels.update(strange)
            masks.update(strange.keys())
            listed = ", ".join(map(str, sorted(strange)[:LISTED_VALUES]))
            files.append(f"{one.sample.mask}: {listed}{', ...' if len(strange) > LISTED_VALUES else ''}")
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


def _overlaps(splits: dict[str, tuple[Sample, ...]]) -> list[Problem]:
    problems = []
    for first, second in combinations(splits, 2):
        same = same_content(splits[first], splits[second])
        copies = {file for pair in same for file in pair}
        if same:
            files = tuple(f"{one} = {other}" for one, other in same)
            problems.append(Problem("error", f"{first} and {second} share images (equal content)", files))
        names = {sample.name: sample for sample in splits[first]}
        namesakes = tuple(
            str(sample.image)
            for sample in splits[second]
            if sample.name in names and not {sample.image, names[sample.name].image} & copies
        )
        if namesakes:
            text = f"{first} and {second} have images of the same name with different content; are they copies?"
            problems.append(Problem("warning", text, namesakes))
    return problems


def _classes_missing(data: SegmentationData, split: str, count: SplitCounts, examined: list[Examined]) -> list[Problem]:
    if not sum(count.pixels):
        return [Problem("error", f"{split}: no pixel has a class, everything is ignored or unreadable")]
    absent = [name for name, pixels in zip(data.classes, count.pixels, strict=True) if not pixels]
    if not absent:
        return []
    hint = ""
    if data.label_mapping is None and {value for one in examined for value in one.values} == {0, IGNORE}:
        hint = "; the masks hold only 0 and 255: if 255 is the object, write label_mapping: {0: 0, 255: 1} in data.yaml"
    return [Problem("warning", f"{split}: no pixel of {', '.join(absent)}{hint}")]


def _rare(data: SegmentationData, train: SplitCounts) -> list[Problem]:
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
