"""What the checks' reports have in common as text."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fna.data.check.image_check import Report
from fna.data.reading.examine import Size
from fna.data.samples import Problem

LISTED_FILES = 10


def image_lines(report: Report[Any]) -> list[str]:
    """How many images each split has, and of which sizes."""
    return [f"{split:<6}{count.images:>7,} images  {sizes_line(count.sizes)}" for split, count in report.splits.items()]


def frame(report: Report[Any], counts: Iterable[str], listed: str) -> str:
    """What comes before the counts and after them; `listed` is the word for what a problem names."""
    notes = [f"  {note}" for note in report.notes]
    lines = [f"{report.root}: {report.layout}, {counted(len(report.classes), 'class')}", *notes, "", *counts, ""]
    for problem in report.problems:
        lines += problem_lines(problem, str(report.root) + os.sep, listed)
    lines.append(f"{counted(len(report.errors), 'error')}, {counted(len(report.warnings), 'warning')}")
    return "\n".join(lines)


def sizes_line(sizes: Mapping[Size, int]) -> str:
    """The sizes of images in words, (height, width) with their number."""
    if not sizes:
        return "no size known"
    (height, width), most = max(sizes.items(), key=lambda item: item[1])
    if len(sizes) == 1:
        return f"all {height}x{width} (height x width)"
    heights, widths = zip(*sizes, strict=True)
    spread = f"height {min(heights)} to {max(heights)}, width {min(widths)} to {max(widths)}"
    return f"{len(sizes)} sizes, {spread}, most often {height}x{width} ({most} images)"


def share_cell(counts: tuple[int, ...], index: int) -> str:
    """One of several counts and its share of their sum, for a row of a table."""
    return f"{counts[index]:>16,}{counts[index] / max(1, sum(counts)):>9.1%}"


def problem_lines(problem: Problem, root: str, listed: str) -> Iterator[str]:
    """What is wrong, and the first files or places of it."""
    files = f" [{counted(len(problem.files), listed)}]" if problem.files else ""
    yield f"{problem.severity}: {problem.text}{files}"
    for file in problem.files[:LISTED_FILES]:
        yield f"    {file.replace(root, '')}"
    if len(problem.files) > LISTED_FILES:
        yield f"    ... and {len(problem.files) - LISTED_FILES:,} more"


def counted(count: int, thing: str) -> str:
    """`1 file`, `2 files`, `2 classes`."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else plural}"
