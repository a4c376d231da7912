"""What is in a data set with classes of images and what is wrong with it, with file names."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fna.data.check.image_check import Report, count_sizes, empty_splits, errors_first, overlaps, unreadable
from fna.data.check.rendering import frame, image_lines, share_cell
from fna.data.reading.examine import ExaminedImage, Size, examine_images
from fna.data.samples import ClassificationData, ClassSample, Problem


@dataclass(frozen=True)
class ClassCounts:
    """One split in numbers; `sizes` counts images by (height, width), `class_images` are per class."""

    images: int
    sizes: Counter[Size]
    class_images: tuple[int, ...]


@dataclass(frozen=True)
class ClassCheckReport(Report[ClassCounts]):
    """Everything the check of classes found; `problems` name all files, `text` only the first of each."""

    def text(self) -> str:
        """Layout, counts, images of each class in each split, then at most ten files a problem, errors first."""
        return frame(self, [*image_lines(self), "", *_class_table(self)], "file")


def check_classes(data: ClassificationData) -> ClassCheckReport:
    """Read every image once and say what is wrong with the data.

    Errors: folders of val that are no class, images that cannot be read, empty splits, a class without a training
    image, fewer than two classes, the same image in two splits. Warnings: a class without an image in another split,
    files that are not used, the same name in two splits.
    """
    examined = {split: examine_images([sample.image for sample in samples]) for split, samples in data.splits.items()}
    counts = {split: _count(data, samples, examined[split]) for split, samples in data.splits.items()}
    problems = [*data.problems, *empty_splits(data.splits)]
    for split, found in examined.items():
        problems += unreadable(split, found)
    if len(data.classes) < 2:
        problems.append(Problem("error", f"only one class, {data.classes[0]}: there is nothing to tell apart"))
    problems += overlaps(data.splits)
    for split, count in counts.items():
        if count.images:
            problems += _classes_missing(data, split, count)
    return ClassCheckReport(data.root, data.layout, data.classes, data.notes, counts, errors_first(problems))


def _count(data: ClassificationData, samples: Sequence[ClassSample], examined: Sequence[ExaminedImage]) -> ClassCounts:
    images = Counter(sample.label for sample in samples)
    return ClassCounts(len(samples), count_sizes(examined), tuple(images[label] for label in range(len(data.classes))))


def _classes_missing(data: ClassificationData, split: str, count: ClassCounts) -> list[Problem]:
    absent = [name for name, images in zip(data.classes, count.class_images, strict=True) if not images]
    text = f"{split}: no image of {', '.join(absent)}"
    return [Problem("error" if split == "train" else "warning", text)] if absent else []


def _class_table(report: ClassCheckReport) -> Iterator[str]:
    """Images of each class, and their share of the split."""
    width = max(map(len, report.classes))
    yield f"{'class':<{4 + width}}" + "".join(f"{split + ' images':>16}{'share':>9}" for split in report.splits)
    for index, name in enumerate(report.classes):
        yield f"{index:>3} {name:<{width}}" + "".join(share_cell(c.class_images, index) for c in report.splits.values())
