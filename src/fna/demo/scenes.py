"""Scenes of sky, ground, poles and shapes as an ordinary data folder, read like any user's."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fna.demo.drawing import HW, SHAPES, Mask, expose, grid, muted, place, surfaces, vivid
from fna.files import whole, write_text

CLASSES = ("sky", "ground", "pole", "disc", "ring", "square", "triangle")
PALETTE = ((135, 206, 235), (139, 115, 85), (60, 60, 60), (230, 60, 60), (250, 190, 40), (60, 120, 230), (60, 180, 90))
POLES = (1, 3)
SHAPE_COUNT = (2, 4)
"""Fewest and most in a scene."""
SKY, GROUND, POLE = (0.55, 0.95), (0.25, 0.65), (0.1, 0.35)
"""Darkest and lightest."""
SPLITS = ("train", "val")


def draw_scenes(folder: str | Path, random_seed: int, train: int = 240, val: int = 60, size: HW = (128, 160)) -> None:
    """Write scenes as images/SPLIT/*.png, masks/SPLIT/*.png (palette PNG of class indices) and classes.txt.

    Shapes of all classes have any saturated colour, so that only their outline tells them apart, and hide each other.
    A scene is a function of (random_seed, split, number) and `size` (height, width in pixels).
    """
    folder = Path(folder)
    for split, count in zip(SPLITS, (train, val), strict=True):
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture, mask = draw_scene(np.random.default_rng((random_seed, SPLITS.index(split), number)), size)
            name = f"{split}_{number:04d}.png"
            _save(Image.fromarray(picture), folder / "images" / split / name)
            labels = Image.fromarray(mask, "P")
            labels.putpalette([part for colour in PALETTE for part in colour])
            _save(labels, folder / "masks" / split / name)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))


def draw_scene(rng: np.random.Generator, size: HW) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture (H, W, 3) and its classes (H, W)."""
    behind = [_ground(rng, size), *(_pole(rng, size) for _ in range(rng.integers(POLES[0], POLES[1] + 1)))]
    shapes = [_shape(rng, size) for _ in range(rng.integers(SHAPE_COUNT[0], SHAPE_COUNT[1] + 1))]
    colours = [muted(rng, 1, *SKY), muted(rng, 1, *GROUND), muted(rng, len(behind) - 1, *POLE), vivid(rng, len(shapes))]
    sky, *painted = surfaces(rng, np.concatenate(colours), size)
    picture, mask = sky, np.full(size, CLASSES.index("sky"), np.uint8)
    for (name, covered), surface in zip([*behind, *shapes], painted, strict=True):
        picture = np.where(covered[..., None], surface, picture)
        mask[covered] = CLASSES.index(name)
    return expose(rng, picture[None])[0], mask


def _ground(rng: np.random.Generator, size: HW) -> tuple[str, Mask]:
    rows, columns = grid(size)
    horizon, tilt = rng.uniform(0.4, 0.75) * size[0], rng.uniform(-0.1, 0.1)
    return "ground", rows > horizon + tilt * (columns - size[1] / 2)


def _pole(rng: np.random.Generator, size: HW) -> tuple[str, Mask]:
    rows, columns = grid(size)
    foot, top = rng.uniform(0.6, 1.0) * size[0], rng.uniform(0.05, 0.35) * size[0]
    middle, width, lean = rng.uniform(0, size[1]), rng.uniform(0.03, 0.06) * size[1], rng.uniform(-0.06, 0.06)
    return "pole", (np.abs(columns - middle - lean * (rows - foot)) < width / 2) & (rows > top) & (rows < foot)


def _shape(rng: np.random.Generator, size: HW) -> tuple[str, Mask]:
    name = CLASSES[rng.integers(CLASSES.index("disc"), len(CLASSES))]
    centre = rng.uniform(0.1, 0.9, (1, 2)) * size
    radius = np.exp(rng.uniform(np.log(0.18), np.log(0.36))) * size[0] * rng.uniform(0.85, 1.15, (1, 2))
    angle = rng.uniform(0, 2 * np.pi, 1)
    x, y = place(size, *(part.astype(np.float32) for part in (centre, radius, angle)))
    return name, SHAPES[name](x, y)[0]


def _save(image: Image.Image, path: Path) -> None:
    with whole(path) as temporary:
        image.save(temporary, format="PNG")
