"""A check report as plain text."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fna.data.samples import Problem

if TYPE_CHECKING:
    from fna.data.check.box_check import BoxCheckReport
    from fna.data.check.check import CheckReport
    from fna.data.check.class_check import ClassCheckReport
    from fna.data.check.image_check import Report
    from fna.data.reading.examine import Size

LISTED_FILES = 10


def render_masks(report: "CheckReport") -> str:
    """Layout, counts, the share of each class in each split, then the problems, errors first."""
    return _frame(report, [*_image_lines(report), "", *_pixel_table(report)], "file")


def render_boxes(report: "BoxCheckReport") -> str:
    """Layout, counts, boxes of each class and of each size in each split, then the problems, errors first."""
    lines = []
    for split, count in report.splits.items():
        lines.append(f"{split:<6}{count.images:>7,} images  {_sizes(count.sizes)}")
        crowd = f", and {count.crowd:,} crowd" if count.crowd else ""
        lines.append(
            f"{'':<6}{sum(count.boxes):>7,} boxes{crowd}; {_number(count.empty_images, 'image')} without boxes"
        )
    return _frame(report, [*lines, "", *_box_table(report), "", *_size_table(report)], "place")


def render_classes(report: "ClassCheckReport") -> str:
    """Layout, counts, images of each class in each split, then the problems, errors first."""
    return _frame(report, [*_image_lines(report), "", *_class_table(report)], "file")


def _image_lines(report: "CheckReport | ClassCheckReport") -> list[str]:
    return [f"{split:<6}{count.images:>7,} images  {_sizes(count.sizes)}" for split, count in report.splits.items()]


def _frame(report: "Report[Any]", counts: Iterable[str], listed: str) -> str:
    """What comes before the counts and after them; `listed` is the word for what a problem names."""
    notes = [f"  {note}" for note in report.notes]
    lines = [f"{report.root}: {report.layout}, {_number(len(report.classes), 'class')}", *notes, "", *counts, ""]
    for problem in report.problems:
        lines += _problem(problem, str(report.root) + os.sep, listed)
    lines.append(f"{_number(len(report.errors), 'error')}, {_number(len(report.warnings), 'warning')}")
    return "\n".join(lines)


def _sizes(sizes: "Mapping[Size, int]") -> str:
    if not sizes:
        return "no size known"
    (height, width), most = max(sizes.items(), key=lambda item: item[1])
    if len(sizes) == 1:
        return f"all {height}x{width} (height x width)"
    heights, widths = zip(*sizes, strict=True)
    spread = f"height {min(heights)} to {max(heights)}, width {min(widths)} to {max(widths)}"
    return f"{len(sizes)} sizes, {spread}, most often {height}x{width} ({most} images)"


def _pixel_table(report: "CheckReport") -> Iterator[str]:
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


def _box_table(report: "BoxCheckReport") -> Iterator[str]:
    """Boxes of each class, and in how many images it is."""
    width = max(len(name) for name in (*report.classes, "(crowd)"))
    yield f"{'class':<{4 + width}}" + "".join(f"{split + ' boxes':>16}{'images':>9}" for split in report.splits)
    for index, name in enumerate(report.classes):
        cells = (f"{count.boxes[index]:>16,}{count.class_images[index]:>9,}" for count in report.splits.values())
        yield f"{index:>3} {name:<{width}}" + "".join(cells)
    if any(count.crowd for count in report.splits.values()):
        cells = (f"{count.crowd:>16,}{'':>9}" for count in report.splits.values())
        yield f"{'':>4}{'(crowd)':<{width}}" + "".join(cells)


def _class_table(report: "ClassCheckReport") -> Iterator[str]:
    """Images of each class, and their share of the split."""
    width = max(map(len, report.classes))
    yield f"{'class':<{4 + width}}" + "".join(f"{split + ' images':>16}{'share':>9}" for split in report.splits)
    for index, name in enumerate(report.classes):
        yield f"{index:>3} {name:<{width}}" + "".join(_share(c.class_images, index) for c in report.splits.values())


def _size_table(report: "BoxCheckReport") -> Iterator[str]:
    """Boxes by area in pixels and by their share of the image, in percent of the split's boxes."""
    from fna.data.check.box_check import AREAS, SIDES

    small, large = (round(area**0.5) for area in AREAS)
    areas = (f"small, below {small}x{small} px", f"medium, below {large}x{large} px", "large")
    between = (f"{low:.0%} to {high:.0%}" for low, high in pairwise(SIDES))
    sides = (f"below {SIDES[0]:.0%}", *between, f"{SIDES[-1]:.0%} and more")
    yield f"{'box size':<26}" + "".join(f"{split + ' boxes':>16}{'share':>9}" for split in report.splits)
    for index, name in enumerate(areas):
        yield f"  {name:<24}" + "".join(_share(count.areas, index) for count in report.splits.values())
    yield "side, in percent of the image's (square root of box area / image area)"
    for index, name in enumerate(sides):
        yield f"  {name:<24}" + "".join(_share(count.sides, index) for count in report.splits.values())


def _share(counts: tuple[int, ...], index: int) -> str:
    return f"{counts[index]:>16,}{counts[index] / max(1, sum(counts)):>9.1%}"


def _problem(problem: Problem, root: str, listed: str) -> Iterator[str]:
    files = f" [{_number(len(problem.files), listed)}]" if problem.files else ""
    yield f"{problem.severity}: {problem.text}{files}"
    for file in problem.files[:LISTED_FILES]:
        yield f"    {file.replace(root, '')}"
    if len(problem.files) > LISTED_FILES:
        yield f"    ... and {len(problem.files) - LISTED_FILES:,} more"


def _number(count: int, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"
