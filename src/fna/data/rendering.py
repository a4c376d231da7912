"""A check report as plain text."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fna.data.samples import Problem

if TYPE_CHECKING:
    from fna.data.check import CheckReport, SplitCounts

LISTED_FILES = 10


def render(report: "CheckReport") -> str:
    """Layout, counts, the share of each class in each split, then the problems, errors first."""
    notes = [f"  {note}" for note in report.notes]
    lines = [f"{report.root}: {report.layout}, {len(report.classes)} classes", *notes, ""]
    for split, count in report.splits.items():
        lines.append(f"{split:<6}{count.images:>7,} images  {_sizes(count)}")
    lines += ["", *_histogram(report), ""]
    for problem in report.problems:
        lines += _problem(problem, str(report.root) + os.sep)
    lines.append(f"{_number(len(report.errors), 'error')}, {_number(len(report.warnings), 'warning')}")
    return "\n".join(lines)


def _sizes(count: "SplitCounts") -> str:
    if not count.sizes:
        return "no size known"
    (height, width), most = max(count.sizes.items(), key=lambda item: item[1])
    if len(count.sizes) == 1:
        return f"all {height}x{width} (height x width)"
    heights, widths = zip(*count.sizes, strict=True)
    spread = f"height {min(heights)} to {max(heights)}, width {min(widths)} to {max(widths)}"
    return f"{len(count.sizes)} sizes, {spread}, most often {height}x{width} ({most} images)"


def _histogram(report: "CheckReport") -> Iterator[str]:
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


def _problem(problem: Problem, root: str) -> Iterator[str]:
    files = f" [{_number(len(problem.files), 'file')}]" if problem.files else ""
    yield f"{problem.severity}: {problem.text}{files}"
    for file in problem.files[:LISTED_FILES]:
        yield f"    {file.replace(root, '')}"
    if len(problem.files) > LISTED_FILES:
        yield f"    ... and {len(problem.files) - LISTED_FILES:,} more"


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
