"""What a data set is to the rest of the package: files, class names, and the problems found on the way."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

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

    kind: ClassVar[str] = "masks"

    root: Path
    layout: str
    classes: tuple[str, ...]
    ignore: int
    label_mapping: dict[int, int] | None
    splits: dict[str, tuple[Sample, ...]]
    notes: tuple[str, ...] = ()
    palette: tuple[Colour, ...] | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class BoxSample:
    """One image and its boxes, as annotated; `name` is the path inside the split without the suffix.

    `size` is the image's (height, width) as the annotations say it, None where they do not. `boxes` (n, 4) are x1, y1,
    x2, y2 in pixels of the upright image, `labels` (n,) class indices from 0, `crowd` (n,) marks regions that hide
    many objects (COCO), `areas` (n,) are the annotated areas in square pixels. Boxes without an area are not in here
    (they are in the data's `problems`); boxes may reach outside of the image.
    """

    name: str
    image: Path
    size: tuple[int, int] | None
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    image_id: int


@dataclass(frozen=True, eq=False)
class DetectionData:
    """A data set for object detection, as found on disk.

    `category_ids` are the numbers that the annotations use for the classes, in the order of `classes`; predictions are
    written with them. `notes` say what was decided and by which rule, `problems` what is wrong and what was dropped.
    """

    kind: ClassVar[str] = "boxes"

    root: Path
    layout: str
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    splits: dict[str, tuple[BoxSample, ...]]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class ClassSample:
    """One image and its class, from 0; `name` is the path inside the split without the suffix: CLASS/..."""

    name: str
    image: Path
    label: int


@dataclass(frozen=True)
class ClassificationData:
    """A data set for image classification, as found on disk; `notes` and `problems` as for the other tasks."""

    kind: ClassVar[str] = "classes"

    root: Path
    layout: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[ClassSample, ...]]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


AnySample = Sample | BoxSample | ClassSample
Data = SegmentationData | DetectionData | ClassificationData
