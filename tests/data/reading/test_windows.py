"""A part of a resized image is what would be cut out of the whole one."""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.data.reading.windows import nearest_part, resized_part, stretch

SIZES = [((60, 80), (45, 60)), ((60, 80), (120, 160)), ((36, 48), (45, 60)), ((50, 31), (37, 29)), ((40, 40), (70, 10))]


def random_part(size: tuple[int, int], number: int) -> tuple[slice, slice]:
    numbers = torch.Generator().manual_seed(number)
    parts = []
    for side in size:
        ends = torch.randint(0, side + 1, (2,), generator=numbers).sort().values.tolist()
        parts.append(slice(ends[0], max(ends[1], ends[0] + 1)) if ends[0] < side else slice(side - 1, side))
    return parts[0], parts[1]


@pytest.mark.parametrize(("own", "target"), SIZES)
def test_a_part_is_that_of_the_whole_resized_image(own: tuple[int, int], target: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *own), dtype=torch.uint8).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    whole = transforms.resize(image, list(target), InterpolationMode.BILINEAR, antialias=True)
    for number in range(20):
        rows, columns = random_part(target, number)
        part = resized_part(image, target, rows, columns)
        # torch's weights are whole numbers of 16 bits, whose scale depends on the largest weight in use
        assert (part.int() - whole[:, rows, columns].int()).abs().max() <= 1


@pytest.mark.parametrize(("own", "target"), SIZES)
def test_labels_are_those_of_torchvision(own: tuple[int, int], target: tuple[int, int]) -> None:
    mask = torch.randint(0, 256, own, dtype=torch.uint8)
    whole = transforms.resize(mask[None], list(target), InterpolationMode.NEAREST_EXACT)[0]
    for number in range(10):
        rows, columns = random_part(target, number)
        assert torch.equal(nearest_part(mask, target, rows, columns), whole[rows, columns])


def test_only_what_is_needed_is_read() -> None:
    # 4 pixels become 3; the filter reaches 2 of them on either side
    found = stretch(2048, 1536, 300, 621)
    assert (found.source, found.length, found.part) == (slice(396, 832), 327, slice(3, 324))
    assert stretch(100, 100, 7, 9).part.stop - stretch(100, 100, 7, 9).part.start == 2


def test_sides_without_a_common_divisor_are_read_whole() -> None:
    assert stretch(31, 29, 3, 5).source == slice(0, 31)
