"""What SSD's augmentation shows of an image (Liu et al. 2016, sections 2.2 and 3.6), drawn and not carried out.

The distributions are those of torchvision's RandomZoomOut and RandomIoUCrop, which try one crop after the other with
tensors: for a handful of boxes that takes longer than reading the image.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fna.data.reading.rectangle import Boxes, Rectangle

ZOOM_OUT = 0.5  # its probability
LARGEST_CANVAS = 4.0  # times the image's sides
OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)  # least overlap (IoU) with one of the boxes; None: no crop
TRIES = 40  # crops for an overlap before another overlap is drawn
SMALLEST_SIDE = 0.3  # of a crop, times that of what is cropped
MOST_STRETCHED = 2.0  # the long side of a crop over the short one
SMALLEST_CROPPED = 4
"""Pixels: the least side that the smallest crop leaves something of."""


def ssd_view(generator: Generator, boxes: Boxes, frame: Rectangle) -> tuple[Rectangle, NDArray[np.bool_]]:
    """The part of the plane around the image, which is at `frame`, that is seen, and which boxes (n,) count in it."""
    view, kept = frame, np.ones(len(boxes), bool)
    if generator.random() < ZOOM_OUT:
        view = zoomed_out(generator, frame)
    # Without boxes no crop overlaps one.
    if len(boxes) and min(view.height, view.width) >= SMALLEST_CROPPED:
        crop = draw_crop(generator, boxes - view.corner, view.height, view.width)
        if crop is not None:
            (top, left, height, width), kept = crop
            view = Rectangle(view.top + top, view.left + left, height, width)
    return view, kept


def zoomed_out(generator: Generator, frame: Rectangle) -> Rectangle:
    """A canvas of the image's shape, up to four times as large, the image somewhere on it."""
    scale = generator.uniform(1.0, LARGEST_CANVAS)
    height, width = int(frame.height * scale), int(frame.width * scale)
    left, top = (int(free * generator.random()) for free in (width - frame.width, height - frame.height))
    return Rectangle(frame.top - top, frame.left - left, height, width)


def draw_crop(
    generator: Generator, boxes: Boxes, height: int, width: int
) -> tuple[tuple[int, int, int, int], NDArray[np.bool_]] | None:
    """(top, left, height, width) of a crop of a height x width canvas, and which boxes (n,) have their middle in it.

    One of those overlaps the crop by the least overlap that was drawn. None: no crop was drawn. All tries of an overlap
    are made at once, and the first that will do is taken.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    middles, areas = (low + high) / 2, (high - low).prod(1)
    whole = np.array((width, height))
    while True:
        least = OVERLAPS[generator.integers(len(OVERLAPS))]
        if least is None:
            return None
        draws = generator.random((TRIES, 4))
        sides = ((SMALLEST_SIDE + (1 - SMALLEST_SIDE) * draws[:, :2]) * whole).astype(np.int64)
        starts = ((whole - sides) * draws[:, 2:]).astype(np.int64)
        ends = starts + sides
        shaped = sides.max(1) <= MOST_STRETCHED * sides.min(1)
        inside = ((starts[:, None] < middles) & (middles < ends[:, None])).all(2)
        common = (np.minimum(ends[:, None], high) - np.maximum(starts[:, None], low)).clip(min=0).prod(2)
        overlap = common / (sides.prod(1)[:, None] + areas - common)
        good = shaped & (inside & (overlap >= least)).any(1)
        if good.any():
            first = int(good.argmax())
            (left, top), (across, down) = starts[first].tolist(), sides[first].tolist()
            return (top, left, down, across), inside[first]
