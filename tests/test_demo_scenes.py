"""Drawn scenes are an ordinary data folder in which a class is known by its shape."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fna.data.check import check
from fna.data.layouts import open_data
from fna.demo.drawing import SHAPES, place, vivid
from fna.demo.scenes import CLASSES, draw_scene, draw_scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    draw_scenes(folder, 0, train=20, val=10, size=(64, 80))
    return folder


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


def test_colour_does_not_tell_the_classes_of_shapes_apart() -> None:
    colours: dict[int, list[np.ndarray]] = {CLASSES.index(name): [] for name in ("disc", "ring", "square", "triangle")}
    for number in range(150):
        picture, mask = draw_scene(np.random.default_rng((7, number)), (48, 64))
        for index, found in colours.items():
            if (mask == index).sum() > 20:
                found.append(picture[mask == index].mean(0))
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
