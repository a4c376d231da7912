"""SSD's zooming out and cropping, drawn as torchvision draws them."""

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from fna.data.reading.rectangle import Rectangle
from fna.data.reading.ssd_view import LARGEST_CANVAS, draw_crop, ssd_view, zoomed_out

BOXES = np.array([[10, 20, 60, 90], [70, 5, 95, 30], [0, 0, 8, 8]], np.float32)
HEIGHT, WIDTH, DRAWS = 100, 150, 1500


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: the largest difference of the two shares of values up to any limit."""
    limits = np.concatenate([one, other])
    return float(np.abs((one[:, None] <= limits).mean(0) - (other[:, None] <= limits).mean(0)).max())


def test_crops_are_distributed_as_those_of_torchvision() -> None:
    torch.manual_seed(0)
    generator, transform = np.random.default_rng(0), v2.RandomIoUCrop()
    annotated = tv_tensors.BoundingBoxes(torch.from_numpy(BOXES), format="XYXY", canvas_size=(HEIGHT, WIDTH))
    ours = [draw_crop(generator, BOXES, HEIGHT, WIDTH) for _ in range(DRAWS)]
    theirs = [transform.make_params([annotated]) for _ in range(DRAWS)]
    whole = [sum(not crop for crop in crops) / DRAWS for crops in (ours, theirs)]
    assert abs(whole[0] - whole[1]) < 0.06  # four standard errors of the difference of two shares of about 0.2
    found = np.array([[*crop[0], *crop[1]] for crop in ours if crop])
    expected = np.array(
        [[c["top"], c["left"], c["height"], c["width"], *c["is_within_crop_area"].tolist()] for c in theirs if c]
    )
    for column in range(found.shape[1]):
        # 1.95 sqrt(2 / n): what one in a thousand exceeds by chance, with n about 1200
        assert distance(found[:, column], expected[:, column]) < 1.95 * np.sqrt(2 / min(len(found), len(expected)))


def test_a_crop_overlaps_one_of_the_boxes_in_it_and_is_not_too_long() -> None:
    generator = np.random.default_rng(1)
    for _ in range(200):
        crop = draw_crop(generator, BOXES, HEIGHT, WIDTH)
        if crop is None:
            continue
        (top, left, height, width), kept = crop
        assert 0 <= top <= HEIGHT - height
        assert 0 <= left <= WIDTH - width
        assert 0.3 * HEIGHT - 1 <= height <= HEIGHT
        assert 0.3 * WIDTH - 1 <= width <= WIDTH
        assert max(height, width) <= 2 * min(height, width)
        middles = (BOXES[:, :2] + BOXES[:, 2:]) / 2
        inside = [left < x < left + width and top < y < top + height for x, y in middles.tolist()]
        assert kept.tolist() == inside
        assert any(inside)


def test_a_canvas_has_the_image_on_it_and_its_shape() -> None:
    generator, image = np.random.default_rng(2), Rectangle(0, 0, 40, 60)
    views = [zoomed_out(generator, image) for _ in range(300)]
    for view in views:
        assert view.common(image) == image
        assert abs(view.width - 1.5 * view.height) <= 2
    scales = np.array([view.height / 40 for view in views])
    assert scales.min() >= 1
    assert 3.8 < scales.max() <= LARGEST_CANVAS
    assert abs(scales.mean() - 2.5) < 0.2  # uniform from 1 to 4: standard error 0.05


def test_an_image_without_boxes_is_zoomed_out_and_never_cropped() -> None:
    generator, image = np.random.default_rng(3), Rectangle(0, 0, 40, 60)
    views = [ssd_view(generator, np.zeros((0, 4), np.float32), image)[0] for _ in range(400)]
    assert 150 < sum(view == image for view in views) < 250  # binomial(400, 1/2): 200 +- 10
    assert all(view.height >= 40 for view in views)
