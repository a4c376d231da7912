"""What a data set is to the rest of the package: pairs of files, class names, and the problems found on the way."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

IGNORE = 255  # the mask value after reading that neither loss nor metric counts

Colour = tuple[int, int, int]
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Sample:
    """One image and its mask; `name` is the path inside the split without the suffix, `/` between folders."""

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Problem:
    """Something wrong in the data: what, and all files concerned. Nothing is trained while there are errors."""

    severity: Severity
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class SegmentationData:
    """A data set for semantic segmentation, as found on disk.

    `ignore` is the value in the files that is not counted; `label_mapping` maps values in the files to class indices
    or 255, and None means that the files hold class indices already. `notes` say what was decided and by which rule.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    ignore: int
    label_mapping: dict[int, int] | None
    splits: dict[str, tuple[Sample, ...]]
    notes: tuple[str, ...] = ()
    palette: tuple[Colour, ...] | None = None
    problems: tuple[Problem, ...] = ()
