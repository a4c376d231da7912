"""Rectangles of whole pixels: where an image is, what is seen of it, and where that comes to be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
"""(n, 4), x1, y1, x2, y2. Not tensors: a handful of numbers costs torch ten times what it costs numpy."""


@dataclass(frozen=True)
class Rectangle:
    """Whole pixels; the image in the file starts at (0, 0)."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def corner(self) -> NDArray[np.float32]:
        """Left and top, once for each corner of a box."""
        return np.array([self.left, self.top] * 2, np.float32)

    @property
    def sides(self) -> NDArray[np.float32]:
        """Width and height, once for each corner of a box."""
        return np.array([self.width, self.height] * 2, np.float32)

    def common(self, other: "Rectangle") -> "Rectangle":
        """What both have; they do overlap."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Rectangle(top, left, min(self.bottom, other.bottom) - top, min(self.right, other.right) - left)

    def place(self, view: "Rectangle", height: int, width: int) -> "Rectangle":
        """Where it is, to the nearest pixel and at least one pixel large, when `view` gets this size."""
        top, rows = _stretched(self.top - view.top, self.height, view.height, height)
        left, columns = _stretched(self.left - view.left, self.width, view.width, width)
        return Rectangle(top, left, rows, columns)


def _stretched(start: int, length: int, whole: int, target: int) -> tuple[int, int]:
    """First pixel and length of a stretch when the axis goes from `whole` to `target` pixels."""
    first = min(round(start * target / whole), target - 1)
    return first, max(1, round((start + length) * target / whole) - first)
