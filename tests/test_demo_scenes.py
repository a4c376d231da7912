"""Drawn scenes are an ordinary data folder, with masks or boxes, in which a class is known by its shape."""

import colorsys
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fna.data.check.check import check
from fna.data.layouts.opening import open_data
from fna.demo.drawing import SHAPES, place, vivid
from fna.demo.scenes import CLASSES, SHAPE_CLASSES, SPLITS, Shape, draw_box_scenes, draw_scene, draw_scenes, has_box


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(folder, 0, train=20, val=10, size=(64, 80))
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    draw_box_scenes(folder, 0, train=20, val=10, size=(64, 80))
    return folder


def annotations(folder: Path, split: str) -> Any:
    return json.loads((folder / f"annotations/instances_{split}.json").read_text(encoding="utf-8"))


def drawn(split: str, number: int) -> tuple[Shape, ...]:
    return draw_scene(np.random.default_rng((0, SPLITS.index(split), number)), (64, 80)).shapes


def extent(mask: NDArray[np.bool_]) -> list[int]:
    """x, y, width, height of the pixels of a mask."""
    (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
    return [left, top, right - left + 1, bottom - top + 1]


def test_the_reader_finds_nothing_wrong_with_drawn_scenes(scenes: Path) -> None:
    report = check(open_data(scenes))
    assert report.problems == ()
    assert report.classes == CLASSES
    assert {split: (count.images, count.sizes) for split, count in report.splits.items()} == {
        "train": (20, {(64, 80): 20}),
        "val": (10, {(64, 80): 10}),
    }
    assert all(min(count.shares) > 0.005 for count in report.splits.values())


def test_the_same_random_seed_draws_the_same_files_and_another_one_does_not(scenes: Path, tmp_path: Path) -> None:
    draw_scenes(tmp_path / "same", 0, train=3, val=2, size=(64, 80))
    draw_scenes(tmp_path / "other", 1, train=3, val=2, size=(64, 80))
    for file in sorted((tmp_path / "same").rglob("*.png")):
        name = file.relative_to(tmp_path / "same")
        assert file.read_bytes() == (scenes / name).read_bytes()
        assert file.read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_masks_are_palette_files_of_class_indices(scenes: Path) -> None:
    with Image.open(scenes / "masks/train/train_0000.png") as mask:
        assert mask.mode == "P"
        assert np.asarray(mask).max() < len(CLASSES)


def test_the_reader_finds_nothing_wrong_with_drawn_boxes(boxes: Path) -> None:
    report = check(open_data(boxes))
    assert report.problems == ()
    assert report.classes == ("disc", "ring", "square", "triangle")
    assert {split: (count.images, count.sizes) for split, count in report.splits.items()} == {
        "train": (20, {(64, 80): 20}),
        "val": (10, {(64, 80): 10}),
    }


def test_scenes_with_boxes_are_those_with_masks(scenes: Path, boxes: Path) -> None:
    images = sorted(boxes.rglob("*.png"))
    assert len(images) == 30
    for image in images:
        assert image.read_bytes() == (scenes / "images" / image.relative_to(boxes)).read_bytes()


@pytest.mark.parametrize("split", SPLITS)
def test_a_box_is_the_tight_extent_of_what_the_mask_shows_of_its_shape(scenes: Path, boxes: Path, split: str) -> None:
    content, compared = annotations(boxes, split), 0
    names = {category["id"]: category["name"] for category in content["categories"]}
    for number, image in enumerate(content["images"]):
        with Image.open(scenes / "masks" / split / image["file_name"]) as file:
            mask = np.asarray(file)
        present = [shape.name for shape in drawn(split, number)]
        for box in content["annotations"]:
            name = names[box["category_id"]]
            if box["image_id"] == image["id"] and present.count(name) == 1:  # the class is this shape alone
                assert box["bbox"] == extent(mask == CLASSES.index(name))
                assert box["area"] == (mask == CLASSES.index(name)).sum()
                compared += 1
    assert compared > 5


def test_the_visible_parts_of_the_shapes_are_their_pixels_in_the_mask() -> None:
    hiding = 0
    for number in range(40):
        scene = draw_scene(np.random.default_rng((3, number)), (48, 64))
        assert sum(shape.visible.astype(int) for shape in scene.shapes).max() == 1  # type: ignore[union-attr]
        for name in SHAPE_CLASSES:
            parts = [shape.visible for shape in scene.shapes if shape.name == name]
            assert np.array_equal(np.any(parts, axis=0) & np.ones((48, 64), bool), scene.mask == CLASSES.index(name))
        assert all((shape.visible <= shape.covered).all() for shape in scene.shapes)
        hiding += sum(bool((shape.visible < shape.covered).any()) for shape in scene.shapes)
    assert hiding > 10


def test_shapes_that_are_mostly_hidden_have_no_box_and_all_others_have_one(boxes: Path) -> None:
    hidden = 0
    for split in SPLITS:
        content = annotations(boxes, split)
        for number, image in enumerate(content["images"]):
            seen = [shape for shape in drawn(split, number) if shape.visible.sum() >= 0.3 * shape.covered.sum()]
            found = [box["bbox"] for box in content["annotations"] if box["image_id"] == image["id"]]
            assert found == [extent(shape.visible) for shape in seen if min(extent(shape.visible)[2:]) >= 4]
            hidden += len(drawn(split, number)) - len(seen)
    assert hidden > 0


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(10, 10, True), (10, 4, True), (10, 3, False), (3, 10, False), (5, 6, True), (4, 7, False), (0, 0, False)],
)
def test_a_box_needs_three_tenths_of_the_shape_and_four_pixels_a_side(rows: int, columns: int, expected: bool) -> None:
    covered, visible = np.zeros((2, 20, 20), np.bool_)
    covered[5:15, 5:15] = True  # 100 pixels
    visible[5 : 5 + rows, 5 : 5 + columns] = True
    assert has_box(Shape("disc", covered, visible)) == expected


def test_boxes_are_a_function_of_random_seed_split_and_number(boxes: Path, tmp_path: Path) -> None:
    draw_box_scenes(tmp_path / "same", 0, train=3, val=2, size=(64, 80))
    draw_box_scenes(tmp_path / "other", 1, train=3, val=2, size=(64, 80))
    for split, count in zip(SPLITS, (3, 2), strict=True):
        whole, same, other = (annotations(f, split) for f in (boxes, tmp_path / "same", tmp_path / "other"))
        assert same["images"] == whole["images"][:count]
        assert same["annotations"] == [box for box in whole["annotations"] if box["image_id"] <= count]
        assert same["annotations"] != other["annotations"]
    assert annotations(boxes, "train")["annotations"][0] != annotations(boxes, "val")["annotations"][0]


def test_colour_does_not_tell_the_classes_of_shapes_apart() -> None:
    colours: dict[int, list[np.ndarray]] = {CLASSES.index(name): [] for name in ("disc", "ring", "square", "triangle")}
    for number in range(150):
        scene = draw_scene(np.random.default_rng((7, number)), (48, 64))
        for index, found in colours.items():
            if (scene.mask == index).sum() > 20:
                found.append(scene.picture[scene.mask == index].mean(0))
    means = np.array([np.mean(found, 0) for found in colours.values()])
    spread = np.mean([np.std(found, 0) for found in colours.values()])
    assert np.ptp(means, axis=0).max() < 0.5 * spread


AREAS = {
    "disc": np.pi * 0.8,
    "ring": np.pi * (1.0 - 0.32),
    "square": 1.5**2,
    "triangle": 3**0.5 * 3 / 4,  # equilateral in the unit circle
    "star": 1.12257,  # pentagram in the unit circle: 5 * sin(36) * sin(36) / sin(126 degrees), times its radius squared
    "cross": 4 * 0.28 * (2 * 0.9 - 0.28),
    "bar": 0.26 * 2,
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_shape_covers_the_area_of_geometry(name: str, angle: float) -> None:
    radius = np.array([[60.0, 90.0]], np.float32)
    x, y = place((400, 400), np.array([[200.0, 200.0]], np.float32), radius, np.array([angle], np.float32))
    assert SHAPES[name](x, y).sum() / (60 * 90) == pytest.approx(AREAS[name], rel=0.03)


def test_vivid_colours_are_what_the_standard_library_calls_saturated_and_go_round_the_circle() -> None:
    colours = [colorsys.rgb_to_hsv(*colour) for colour in vivid(np.random.default_rng(0), 50)]
    assert min(saturation for _, saturation, _ in colours) > 0.59
    assert all(0.5 <= value <= 1 for _, _, value in colours)
    hues = sorted(hue for hue, _, _ in colours)
    assert np.diff([*hues, hues[0] + 1]).max() < 0.1
