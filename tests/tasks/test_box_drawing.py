"""Pictures with boxes: where the lines are, that text can be read, and what is on top."""

import numpy as np
import pytest
import torch
from PIL import Image

from fna.tasks.detection import drawing as box_drawing
from fna.tasks.detection.drawing import draw_boxes
from fna.tasks.drawing import class_colours

GREY = torch.full((3, 120, 200), 128, dtype=torch.uint8)
NAMES, COLOURS = ("cat", "dog"), ((250, 20, 20), (20, 20, 250))


def drawn(boxes: object, labels: object, scores: object = None, image: torch.Tensor = GREY) -> np.ndarray:
    picture = draw_boxes(
        image,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        None if scores is None else torch.tensor(scores),
        NAMES,
        COLOURS,
    )
    assert (picture.mode, picture.size) == ("RGB", (image.shape[2], image.shape[1]))
    return np.asarray(picture)


def of(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (pixels == colour).all(2)


def test_the_lines_are_on_the_outermost_pixels_of_the_box_in_the_colour_of_its_class() -> None:
    pixels = drawn([[50, 40, 150, 100]], [1])
    blue = of(pixels, COLOURS[1])
    for row, column in ((40, 120), (99, 120), (70, 50), (70, 149)):
        assert blue[row, column]
    assert not blue[100:].any()
    assert not blue[:, :50].any()
    assert not blue[50:, 150:].any()
    assert not of(pixels, COLOURS[0]).any()
    assert (pixels[45:95, 55:145] == 128).all()  # the inside is as it was
    assert (pixels[103:] == 128).all()


@pytest.mark.parametrize(("side", "width"), [(100, 2), (1000, 5), (2000, 10)])
def test_lines_are_as_wide_as_the_picture_is_large(side: int, width: int) -> None:
    image = torch.full((3, 200, side), 128, dtype=torch.uint8)
    pixels = drawn([[side / 4, 60, side / 2, 180]], [0], image=image)
    assert of(pixels, COLOURS[0])[120, : side * 3 // 8].sum() == width


def test_higher_scores_are_drawn_over_lower_ones_and_without_scores_smaller_boxes_over_larger() -> None:
    boxes = [[20, 40, 120, 100], [60, 60, 140, 110]]
    for scores, above in (([0.9, 0.2], 0), ([0.2, 0.9], 1), (None, 1)):
        pixels = drawn(boxes, [0, 1], scores)
        crossing = pixels[60, 119], pixels[99, 60]
        assert all(tuple(pixel) == COLOURS[above] for pixel in crossing)


@pytest.mark.parametrize(
    "box",
    [[0, 0, 30, 30], [180, 0, 200, 10], [190, 110, 200, 120], [0, 100, 10, 120], [0, 0, 200, 120], [-50, -9, 300, 500]],
)
def test_plates_are_whole_inside_of_the_picture(box: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    plates: list[box_drawing._Plate] = []
    real = box_drawing._Plate.draw
    monkeypatch.setattr(box_drawing._Plate, "draw", lambda plate, *rest: plates.append(plate) or real(plate, *rest))
    pixels = drawn([box], [0], [0.5])
    (plate,) = plates
    left, top, width, height = plate.area
    assert plate.text == "cat 0.50"
    assert 0 <= left < left + width <= 200
    assert 0 <= top < top + height <= 120
    area = pixels[top : top + height, left : left + width]
    assert of(area, COLOURS[0]).mean() > 0.3  # the ground
    assert width > 8 * 5
    letters = np.argwhere(~of(area, COLOURS[0]))
    assert len(letters) > 50
    assert letters.min() > 0  # the letters keep away from the edges
    assert (letters.max(0) < np.array([height, width]) - 1).all()


def test_plates_make_room_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plates: list[box_drawing._Plate] = []
    monkeypatch.setattr(box_drawing._Plate, "draw", lambda plate, *_: plates.append(plate))
    drawn([[60, 50, 140, 100], [62, 52, 141, 99], [64, 54, 139, 101]], [0, 1, 0], [0.5, 0.8, 0.3])
    areas = [plate.area for plate in plates]
    assert [plate.text for plate in plates] == ["cat 0.30", "cat 0.50", "dog 0.80"]
    for place, (left, top, width, height) in enumerate(areas):
        for other in areas[:place]:
            assert (
                left >= other[0] + other[2]
                or other[0] >= left + width
                or top >= other[1] + other[3]
                or other[1] >= top + height
            )


def test_letters_stand_out_from_every_colour() -> None:
    """WCAG 2.2 asks for a contrast of 4.5 to 1; its definitions written anew."""

    def luminance(colour: tuple[int, ...]) -> float:
        values = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * values[0] + 0.7152 * values[1] + 0.0722 * values[2]

    image = torch.full((3, 100, 1500), 128, dtype=torch.uint8)  # large letters
    for colour in class_colours(60):
        picture = draw_boxes(image, torch.tensor([[100.0, 50, 180, 90]]), torch.tensor([0]), None, ["WWWWWW"], [colour])
        shades = np.unique(np.asarray(picture)[16:42, 110:180].reshape(-1, 3), axis=0).tolist()  # of the plate
        farthest = max(map(luminance, shades), key=lambda value: abs(value - luminance(colour)))
        one, other = sorted((farthest, luminance(colour)))
        assert (other + 0.05) / (one + 0.05) > 4.5


def test_a_picture_too_small_for_the_text_gets_smaller_text() -> None:
    pixels = drawn([[2, 2, 20, 20]], [0], [0.5], torch.full((3, 24, 24), 128, dtype=torch.uint8))
    assert of(pixels, COLOURS[0]).sum() > 40


def test_without_boxes_the_picture_is_the_image() -> None:
    image = torch.randint(0, 256, (3, 9, 7), dtype=torch.uint8)
    assert np.array_equal(drawn([], [], [], image), image.permute(1, 2, 0).numpy())
    assert isinstance(draw_boxes(image, torch.zeros(0, 4), torch.zeros(0), None, (), ()), Image.Image)


def test_boxes_without_extent_or_outside_are_no_error() -> None:
    drawn([[5, 5, 5, 5], [300, 300, 400, 400], [-20, -20, -5, -5]], [0, 1, 0], [0.1, 0.2, 0.3])
