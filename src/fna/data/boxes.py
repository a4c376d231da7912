"""Annotated boxes brought into samples; what cannot be used is left out and named, one problem for each kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fna.data.samples import BoxSample, Problem, Severity

OVERHANG = 1.0  # pixels that a box may reach over the border before it is worth a word: rounding in the files
LEAST_SIDE = 1e-3  # pixels; a box that is thinner has no area

# What can be wrong with a box: what is said of it, how bad it is, whether the box is left out.
NOT_FINITE = "box with numbers that are not finite, left out"
NEGATIVE = "box of negative width or height, left out"
FLAT = "box without an area, left out"
OUTSIDE = "box entirely outside of its image, left out"
PARTLY = "box reaches outside of its image, clipped in training"
KINDS: dict[str, Severity] = {
    NOT_FINITE: "error",
    NEGATIVE: "error",
    FLAT: "warning",
    OUTSIDE: "error",
    PARTLY: "warning",
}


class Findings:
    """Problems while they are found: one for each kind, with all places."""

    def __init__(self) -> None:
        self._places: dict[tuple[Severity, str], list[str]] = {}

    def add(self, severity: Severity, text: str, place: str) -> None:
        self._places.setdefault((severity, text), []).append(place)

    def problems(self) -> tuple[Problem, ...]:
        return tuple(Problem(severity, text, tuple(places)) for (severity, text), places in self._places.items())


@dataclass(frozen=True)
class BoxImage:
    """An image of a split before its boxes are known; `size` is (height, width) where the annotations say it."""

    name: str
    file: Path
    size: tuple[int, int] | None
    image_id: int


@dataclass
class BoxTable:
    """All boxes of a split, row by row: the image's place in the split, x1, y1, x2, y2, and the rest."""

    owners: list[int] = field(default_factory=list)
    corners: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)  # nan: width times height

    def add(
        self, owner: int, corners: tuple[float, float, float, float], label: int, crowd: bool, area: float = np.nan
    ) -> None:
        self.owners.append(owner)
        self.corners.append(corners)
        self.labels.append(label)
        self.crowd.append(crowd)
        self.areas.append(area)


def box_samples(
    split: str, images: Sequence[BoxImage], table: BoxTable, where: Callable[[int], str], findings: Findings
) -> tuple[BoxSample, ...]:
    """The samples of a split, in the order of `images`; boxes that cannot be used go to `findings` instead.

    `where` says in which file and place a row of the table was written.
    """
    owners = np.array(table.owners, np.int64)
    boxes = np.array(table.corners, np.float64).reshape(-1, 4)
    sizes = np.array([image.size or (np.nan, np.nan) for image in images], np.float64).reshape(-1, 2)[owners]
    wrong = faults(boxes, sizes)
    for kind, faulty in wrong.items():
        for row in faulty.nonzero()[0].tolist():
            findings.add(KINDS[kind], f"{split}: {kind}", f"{where(row)}: {described(boxes[row], sizes[row])}")
    left_out = np.stack([faulty for kind, faulty in wrong.items() if kind != PARTLY], axis=1)
    rows = (~_in_any(left_out)).nonzero()[0]
    rows = rows[np.argsort(owners[rows], kind="stable")]
    ends = np.searchsorted(owners[rows], np.arange(len(images) + 1))
    boxes, labels = boxes[rows], np.array(table.labels, np.int64)[rows]
    crowd, areas = np.array(table.crowd, np.bool_)[rows], np.array(table.areas, np.float64)[rows]
    with np.errstate(over="ignore"):
        areas = np.where(np.isnan(areas), (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), areas)
    parts = [slice(start, end) for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    return tuple(
        BoxSample(
            image.name, image.file, image.size, boxes[part], labels[part], crowd[part], areas[part], image.image_id
        )
        for image, part in zip(images, parts, strict=True)
    )


def faults(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> dict[str, NDArray[np.bool_]]:
    """Which of the boxes (n, 4) have which fault, at most one each; `sizes` (n, 2) are height and width, or nan."""
    finite = ~_in_any(~np.isfinite(boxes))
    boxes = np.where(finite[:, None], boxes, 0)
    with np.errstate(over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
    negative = finite & _in_any(sides < 0)
    flat = finite & ~negative & _in_any(sides < LEAST_SIDE)
    sound = finite & ~negative & ~flat & ~_in_any(np.isnan(sizes))
    limits = np.where(np.isnan(sizes), 0, sizes)[:, ::-1]  # width, height
    inside = np.minimum(boxes[:, 2:], limits) - np.maximum(boxes[:, :2], 0)
    outside = sound & _in_any(inside < LEAST_SIDE)
    over = np.maximum(boxes[:, 2:] - limits, -boxes[:, :2])
    partly = sound & ~outside & _in_any(over > OVERHANG)
    return {NOT_FINITE: ~finite, NEGATIVE: negative, FLAT: flat, OUTSIDE: outside, PARTLY: partly}


def described(box: NDArray[np.float64], size: NDArray[np.float64]) -> str:
    """A box for a message: its corners, and the size of its image where that is known."""
    x1, y1, x2, y2 = (f"{value:g}" for value in box.tolist())
    image = "" if np.isnan(size).any() else f" in an image of {size[0]:.0f}x{size[1]:.0f} (height x width)"
    return f"box from x {x1}, y {y1} to x {x2}, y {y2}{image}"


def _in_any(condition: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a condition (n, k) holds in any of the k columns."""
    return np.logical_or.reduce(condition, axis=1)
