"""What the checks of all tasks share: the report's frame, and what can be wrong with the images themselves."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Generic, TypeVar

from fna.data.reading.examine import ExaminedImage, Size, same_content
from fna.data.samples import AnySample, Problem

Counts = TypeVar("Counts")


@dataclass(frozen=True)
class Report(Generic[Counts]):
    """Everything a check found; `problems` name all places, errors first."""

    root: Path
    layout: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    splits: dict[str, Counts]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def errors_first(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems in order, but warnings after errors."""
    return tuple(sorted(problems, key=lambda problem: problem.severity != "error"))


def count_sizes(examined: Sequence[ExaminedImage]) -> Counter[Size]:
    """Images by (height, width), the commonest size first."""
    sizes = Counter(one.image_size for one in examined if one.image_size is not None)
    return Counter(dict(sizes.most_common()))


def empty_splits(splits: Mapping[str, Sequence[AnySample]]) -> list[Problem]:
    """A problem for train and for val where they have no sample."""
    return [Problem("error", f"{split}: the split is empty") for split in ("train", "val") if not splits.get(split)]


def unreadable(split: str, examined: Sequence[ExaminedImage]) -> list[Problem]:
    """Images that are refused, with the reason."""
    images = tuple(one.refused_image for one in examined if one.refused_image is not None)
    return [Problem("error", f"{split}: image cannot be used", images)] if images else []


def rotated(split: str, examined: Sequence[ExaminedImage], question: str) -> list[Problem]:
    """Images with an EXIF rotation; `question` is what the user should ask about their annotations."""
    files = tuple(str(one.image) for one in examined if one.rotated)
    return [Problem("warning", f"{split}: rotated by EXIF; {question}", files)] if files else []


def sizes_differ(
    split: str, pairs: Iterable[tuple[ExaminedImage, Size | None]], what: str, remedy: str
) -> list[Problem]:
    """One error with every image whose size is not that of its mask or annotation."""
    found = [_size_differs(one, size, what, remedy) for one, size in pairs]
    files = tuple(text for text in found if text is not None)
    return [Problem("error", f"{split}: image and {what} differ in size (height x width)", files)] if files else []


def _size_differs(examined: ExaminedImage, size: Size | None, what: str, remedy: str) -> str | None:
    """A sentence where both sizes are known and differ, with a hint when the EXIF rotation explains it."""
    if examined.image_size is None or size is None or examined.image_size == size:
        return None
    (height, width), (other_height, other_width) = examined.image_size, size
    hint = ""
    if examined.rotated and (height, width) == (other_width, other_height):
        hint = f" (fits the image without its EXIF rotation: {remedy}, or remove the tag from the image)"
    return f"{examined.image}: image {height}x{width}, {what} {other_height}x{other_width}{hint}"


def overlaps(splits: Mapping[str, Sequence[AnySample]]) -> list[Problem]:
    """Images of equal content in two splits, and of equal name where the content differs."""
    problems = []
    present = {split: [sample for sample in samples if sample.image.is_file()] for split, samples in splits.items()}
    for first, second in combinations(present, 2):
        same = same_content((sample.image for sample in present[first]), (sample.image for sample in present[second]))
        copies = {file for pair in same for file in pair}
        if same:
            files = tuple(f"{one} = {other}" for one, other in same)
            problems.append(Problem("error", f"{first} and {second} share images (equal content)", files))
        names = {sample.name: sample for sample in present[first]}
        namesakes = tuple(
            str(sample.image)
            for sample in present[second]
            if sample.name in names and not {sample.image, names[sample.name].image} & copies
        )
        if namesakes:
            text = f"{first} and {second} have images of the same name with different content; are they copies?"
            problems.append(Problem("warning", text, namesakes))
    return problems
