"""A part of a resized image without resizing the whole: only the pixels that the part is made of are read."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms


@dataclass(frozen=True)
class Stretch:
    """Along one axis: `source` of the image, resized to `length` pixels, holds at `part` what is wanted."""

    source: slice
    length: int
    part: slice


def stretch(side: int, target: int, start: int, stop: int) -> Stretch:
    """What of `side` pixels gives pixels `start` to `stop` - 1 when the whole is resized to `target` pixels.

    Sampling points repeat with a period, of side / gcd pixels that become target / gcd. Whole periods resized by
    themselves have the very sampling points and weights of the whole; at the ends so much is added that the filter,
    bilinear and antialiased, reaches as far as it would.
    """
    common = math.gcd(side, target)
    period, resized_period = side // common, target // common
    reach = math.ceil(max(1.0, target / side)) + 1
    first = max(0, start - reach) // resized_period
    last = min(common, -(-(stop + reach) // resized_period))
    before = first * resized_period
    return Stretch(
        slice(first * period, last * period), (last - first) * resized_period, slice(start - before, stop - before)
    )


def resized_part(image: Tensor, size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    """Rows and columns of the image, uint8 (3, H, W), resized to `size` (bilinear, antialiased).

    The same values as cutting them out of the whole resized image, but for the last bit where weights are rounded.
    """
    down = stretch(image.shape[1], size[0], rows.start, rows.stop)
    right = stretch(image.shape[2], size[1], columns.start, columns.stop)
    source = image[:, down.source, right.source]
    if source.shape[1:] != (down.length, right.length):
        source = transforms.resize(source, [down.length, right.length], InterpolationMode.BILINEAR, antialias=True)
    return source[:, down.part, right.part]


def nearest_part(mask: Tensor, size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    """Rows and columns of the mask (H, W) resized to `size`: of each pixel the nearest to its sampling point.

    Sampling points are where bilinear resizing has them; of two pixels equally near, the one to the right or below.
    """
    if tuple(mask.shape) == size:
        return mask[rows, columns]
    down, right = (
        (2 * np.arange(part.start, part.stop) + 1) * side // (2 * target)
        for part, side, target in zip((rows, columns), mask.shape, size, strict=True)
    )
    return torch.from_numpy(mask.numpy().take(down, axis=0).take(right, axis=1))  # four times as fast as torch's
