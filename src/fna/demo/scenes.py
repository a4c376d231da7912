"""Scenes of sky, ground, poles and shapes as an ordinary data folder, with masks or boxes, read like any user's."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fna.demo.drawing import HW, SHAPES, Mask, expose, grid, muted, place, surfaces, vivid
from fna.files import whole, write_json, write_text

CLASSES = ("sky", "ground", "pole", "disc", "ring", "square", "triangle")
SHAPE_CLASSES = CLASSES[CLASSES.index("disc") :]
"""The classes that have boxes."""
PALETTE = ((135, 206, 235), (139, 115, 85), (60, 60, 60), (230, 60, 60), (250, 190, 40), (60, 120, 230), (60, 180, 90))
POLES = (1, 3)
SHAPE_COUNT = (2, 4)
"""Fewest and most in a scene."""
SKY, GROUND, POLE = (0.55, 0.95), (0.25, 0.65), (0.1, 0.35)
"""Darkest and lightest."""
SPLITS = ("train", "val")
LEAST_VISIBLE = 0.3
"""A shape has no box where less than this share of it, of what is inside the picture, shows behind other shapes."""
SMALLEST_SIDE = 4
"""Pixels: a shape whose visible part is narrower or lower than this has no box."""


@dataclass(frozen=True)
class Shape:
    """A shape of a scene: `covered` is all of it inside the picture, `visible` what no other shape hides, (H, W)."""

    name: str
    covered: Mask
    visible: Mask


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3), its classes (H, W), and its shapes, the hindmost first."""

    picture: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    shapes: tuple[Shape, ...]


def draw_scenes(folder: str | Path, random_seed: int, train: int = 240, val: int = 60, size: HW = (128, 160)) -> None:
    """Write scenes as images/SPLIT/*.png, masks/SPLIT/*.png (palette PNG of class indices) and classes.txt.

    Shapes of all classes have any saturated colour, so that only their outline tells them apart, and hide each other.
    A scene is a function of (random_seed, split, number) and `size` (height, width in pixels).
    """
    folder = Path(folder)
    for split, count in zip(SPLITS, (train, val), strict=True):
        for name, scene in _scenes(random_seed, split, count, size):
            _save(Image.fromarray(scene.picture), folder / "images" / split / name)
            labels = Image.fromarray(scene.mask, "P")
            labels.putpalette([part for colour in PALETTE for part in colour])
            _save(labels, folder / "masks" / split / name)
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in CLASSES))


def draw_box_scenes(
    folder: str | Path, random_seed: int, train: int = 400, val: int = 200, size: HW = (128, 160)
) -> None:
    """Write the scenes of `draw_scenes` as a COCO folder: annotations/instances_SPLIT.json and SPLIT/*.png.

    The classes are the shapes; sky, ground and poles are background. A box is the tight extent of what is visible of
    its shape, and its area the number of those pixels. There is none where less than `LEAST_VISIBLE` of the shape shows
    (others hide more than 70 %), or where that is narrower or lower than `SMALLEST_SIDE` pixels; what the edge of the
    picture cuts off does not count as hidden.
    """
    folder = Path(folder)
    for split, count in zip(SPLITS, (train, val), strict=True):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, (name, scene) in enumerate(_scenes(random_seed, split, count, size), start=1):
            _save(Image.fromarray(scene.picture), folder / split / name)
            images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
            for shape in filter(has_box, scene.shapes):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": SHAPE_CLASSES.index(shape.name) + 1,
                        "bbox": box_around(shape.visible),
                        "area": int(shape.visible.sum()),
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": number, "name": name} for number, name in enumerate(SHAPE_CLASSES, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_json(folder / "annotations" / f"instances_{split}.json", content)


def has_box(shape: Shape) -> bool:
    """Whether enough of a shape is visible to ask a detector for it."""
    seen = shape.visible.sum()
    if not seen or seen < LEAST_VISIBLE * shape.covered.sum():
        return False
    return min(box_around(shape.visible)[2:]) >= SMALLEST_SIDE


def box_around(mask: Mask) -> list[int]:
    """x, y, width and height of the tight box around a mask that is not empty."""
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return [left, top, right - left + 1, bottom - top + 1]


def _scenes(random_seed: int, split: str, count: int, size: HW) -> Iterator[tuple[str, Scene]]:
    """The file names and the scenes of a split."""
    for number in range(count):
        rng = np.random.default_rng((random_seed, SPLITS.index(split), number))
        yield f"{split}_{number:04d}.png", draw_scene(rng, size)


def draw_scene(rng: np.random.Generator, size: HW) -> Scene:
    """One scene of `size`."""
    behind = [_ground(rng, size), *(_pole(rng, size) for _ in range(rng.integers(POLES[0], POLES[1] + 1)))]
    shapes = [_shape(rng, size) for _ in range(rng.integers(SHAPE_COUNT[0], SHAPE_COUNT[1] + 1))]
    colours = [muted(rng, 1, *SKY), muted(rng, 1, *GROUND), muted(rng, len(behind) - 1, *POLE), vivid(rng, len(shapes))]
    sky, *painted = surfaces(rng, np.concatenate(colours), size)
    picture, mask, top = sky, np.full(size, CLASSES.index("sky"), np.uint8), np.full(size, -1)
    for number, ((name, covered), surface) in enumerate(zip([*behind, *shapes], painted, strict=True)):
        picture = np.where(covered[..., None], surface, picture)
        mask[covered], top[covered] = CLASSES.index(name), number
    drawn = tuple(Shape(*shape, top == number) for number, shape in enumerate(shapes, start=len(behind)))
    return Scene(expose(rng, picture[None])[0], mask, drawn)


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
