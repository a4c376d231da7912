"""Shapes as inequalities and surfaces with light and texture, many at once; only numpy."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
HW: TypeAlias = tuple[int, int]

GOLDEN = 0.618
"""Part of the colour circle between neighbours: no few of them come near to each other."""


def star(x: Floats, y: Floats) -> Mask:
    """A pentagram: the points inside at least four of the five lines through its sides."""
    angles = np.pi / 2 + 2 * np.pi / 5 * np.arange(5)
    inside = [np.float32(np.cos(a)) * x + np.float32(np.sin(a)) * y < np.cos(2 * np.pi / 5) for a in angles]
    return np.sum(inside, axis=0) >= 4


SHAPES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "disc": lambda x, y: x**2 + y**2 < 0.8,
    "ring": lambda x, y: np.abs(x**2 + y**2 - 0.66) < 0.34,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) < 0.75,
    "triangle": lambda x, y: (y < 0.5) & (np.sqrt(np.float32(3)) * np.abs(x) < y + 1),
    "star": star,
    "cross": lambda x, y: (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (np.maximum(np.abs(x), np.abs(y)) < 0.9),
    "bar": lambda x, y: (np.abs(x) < 0.13) & (np.abs(y) < 1),
}
"""Whether points are inside each shape; x to the right, y downwards; every shape fits into the circle of radius 1.3."""


def grid(size: HW) -> tuple[Floats, Floats]:
    """(rows, columns) of pixel centres, (H, 1) and (1, W), in pixels."""
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in size)
    return rows[:, None], columns[None, :]


def place(size: HW, centre: Floats, radius: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """The coordinates (x, y) that pixels have inside of shapes, each (N, H, W).

    `centre` (N, 2) row and column in pixels, `radius` (N, 2) half height and half width in pixels, `angle` (N,) in
    radians.
    """
    rows, columns = grid(size)
    down, right = rows - centre[:, 0, None, None], columns - centre[:, 1, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    x = (cos * right + sin * down) / radius[:, 1, None, None]
    y = (cos * down - sin * right) / radius[:, 0, None, None]
    return x, y


def muted(rng: np.random.Generator, count: int, darkest: float, lightest: float) -> Floats:
    """Greyish colours (count, 3) of a brightness from `darkest` to `lightest`, for what lies behind shapes."""
    brightness, tint = rng.uniform(darkest, lightest, (count, 1)), rng.uniform(-0.08, 0.08, (count, 3))
    return (brightness + tint).astype(np.float32)


def vivid(rng: np.random.Generator, count: int) -> Floats:
    """Saturated colours (count, 3) of any hue, for shapes; neighbours in the list are far apart."""
    hue = rng.uniform() + np.arange(count)[:, None] * GOLDEN + np.arange(3) / 3
    saturation, brightness = rng.uniform(0.6, 1, (count, 1)), rng.uniform(0.5, 1, (count, 1))
    wheel = (np.abs(hue % 1 * 6 - 3) - 1).clip(0, 1)
    return (brightness * (1 - saturation * (1 - wheel))).astype(np.float32)


def surfaces(rng: np.random.Generator, base: Floats, size: HW) -> Floats:
    """Surfaces (N, H, W, 3) of base colour (N, 3), each with a slope of light and a wave of its own."""
    count = len(base)
    rows, columns = grid(size)
    slope = rng.normal(0, 0.12, (count, 2, 1, 1)).astype(np.float32)
    period = rng.uniform(3, 24, (count, 1, 1)).astype(np.float32)
    towards, phase = (rng.uniform(0, 2 * np.pi, (count, 1, 1)).astype(np.float32) for _ in range(2))
    height = rng.uniform(0, 0.06, (count, 1, 1)).astype(np.float32)
    along = (np.cos(towards) * rows + np.sin(towards) * columns) * (2 * np.pi / period)
    light = slope[:, 0] * (rows / size[0] - 0.5) + slope[:, 1] * (columns / size[1] - 0.5)
    shade = light + height * np.sin(along + phase)
    return (base[:, None, None, :] + shade[..., None]).astype(np.float32, copy=False)


def expose(rng: np.random.Generator, pictures: Floats) -> NDArray[np.uint8]:
    """What a camera makes of pictures (N, H, W, 3) in 0 to 1: brightness, noise, 8 bits."""
    gain = rng.uniform(0.8, 1.15, (len(pictures), 1, 1, 1)).astype(np.float32)
    noise = rng.uniform(0.01, 0.04, gain.shape).astype(np.float32)
    noisy = pictures * gain + noise * rng.standard_normal(pictures.shape, dtype=np.float32)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8)
