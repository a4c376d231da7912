"""Large JPEG photos are decoded at a reduced size where they are shrunk anyway, and nothing else is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from fna.data.reading.examine import examine_images
from fna.data.reading.images import read_image, read_reduced
from fna.data.reading.pixels import image_array
from fna.errors import UserError


def photo(shared: Path, file: Path, size: tuple[int, int], **options: object) -> Path:
    """A real photo enlarged to (width, height)."""
    with Image.open(shared / "data/camvid/images/train/0001TP_006690.jpg") as picture:
        picture.resize(size, Image.Resampling.BICUBIC).save(file, quality=95, **options)
    return file


@pytest.mark.parametrize(
    ("size", "wanted", "divisor"),
    [
        ((960, 720), (90, 120), 4),  # 720 / 4 = 180 is twice 90
        ((960, 720), (91, 120), 2),
        ((960, 720), (180, 240), 2),
        ((960, 720), (10, 121), 2),  # 960 / 4 = 240 is less than twice 121
        ((960, 720), (181, 240), 1),
        ((960, 720), (10, 10), 8),
        ((964, 720), (10, 10), 4),  # 8 would leave a rest of 4
        ((961, 720), (10, 10), 1),
    ],
)
def test_a_reduced_photo_has_at_least_twice_the_wanted_size(
    shared: Path, tmp_path: Path, size: tuple[int, int], wanted: tuple[int, int], divisor: int
) -> None:
    image, full = read_reduced(photo(shared, tmp_path / "a.jpg", size), lambda height, width: wanted)
    assert full == size[::-1]
    assert tuple(image.shape) == (3, size[1] // divisor, size[0] // divisor)


def test_resized_it_hardly_differs_from_the_whole_photo(shared: Path, tmp_path: Path) -> None:
    file, wanted = photo(shared, tmp_path / "a.jpg", (1920, 1440)), (180, 240)
    images = read_image(file), read_reduced(file, lambda height, width: wanted)[0]
    assert images[1].shape == (3, 360, 480)
    whole, reduced = (transforms.resize(image, list(wanted), antialias=True).int() for image in images)
    difference = (whole - reduced).abs()
    assert difference.float().mean() < 1  # of 255
    assert difference.max() <= 16


def test_a_turned_photo_is_wanted_upright(shared: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = photo(shared, tmp_path / "a.jpg", (960, 480), exif=exif)
    asked = []

    def wanted(height: int, width: int) -> tuple[int, int]:
        asked.append((height, width))
        return 240, 120

    image, full = read_reduced(file, wanted)
    assert (asked, full, tuple(image.shape)) == ([(960, 480)], (960, 480), (3, 480, 240))


def test_other_formats_come_whole(shared: Path, tmp_path: Path) -> None:
    image, full = read_reduced(photo(shared, tmp_path / "a.png", (96, 72)), lambda height, width: (1, 1))
    assert (tuple(image.shape), full) == ((3, 72, 96), (72, 96))


def test_the_check_refuses_what_reading_refuses_with_the_same_words(shared: Path, tmp_path: Path) -> None:
    whole = photo(shared, tmp_path / "whole.jpg", (320, 240)).read_bytes()
    files = [tmp_path / "whole.jpg"]
    for part in (0.02, 0.3, 0.6, 0.99):
        files.append(tmp_path / f"{part}.jpg")
        files[-1].write_bytes(whole[: int(part * len(whole))])
    files.append(tmp_path / "float.tif")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(files[-1])
    files.append(tmp_path / "tiny.jpg")
    Image.new("RGB", (3, 2)).save(files[-1])
    for file, found in zip(files, examine_images(files), strict=True):
        try:
            expected = (image_array(file).shape[:2], None)
        except UserError as error:
            expected = (None, str(error))
        assert (found.image_size, found.refused_image) == expected
    assert torch.equal(read_image(files[-1]), torch.zeros(3, 2, 3, dtype=torch.uint8))
