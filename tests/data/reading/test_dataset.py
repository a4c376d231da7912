"""The stream of training samples: pure, resumable, the same on any number of workers and processes, and aligned."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fna.data.layouts.opening import Sample, open_data
from fna.data.reading.dataset import Augment, SegmentationDataset
from fna.data.reading.images import read_reduced
from fna.data.reading.pixels import Wanted
from fna.data.reading.stream import StepSampler, split
from fna.errors import UserError

Draw = Callable[..., Path]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROUGH = Augment(scales=(0.5, 1.0, 2.0), crop=(7, 5))


def data_of(samples: tuple[Sample, ...], **options: object) -> SegmentationDataset:
    """Values come out as they are in the file: no mean, no standard deviation."""
    return SegmentationDataset(samples, (0, 0, 0), (1 / 255,) * 3, **options)  # type: ignore[arg-type]


@pytest.fixture
def coded(draw: Draw) -> tuple[Sample, ...]:
    """Blocks of one class each, and the class times 10 + 5 as the colour of the image."""
    samples = []
    for number in range(4):
        classes = np.random.default_rng(number).integers(0, 20, (6, 8), np.uint8).repeat(16, 0).repeat(16, 1)
        image = draw(f"{number}.png", (classes * 10 + 5)[..., None].repeat(3, 2))
        samples.append(Sample(str(number), image, draw(f"mask{number}.png", classes)))
    return tuple(samples)


def test_a_sample_is_a_pure_function_of_seed_and_position(coded: tuple[Sample, ...]) -> None:
    forwards, backwards = (SegmentationDataset(coded, MEAN, STD, augment=ROUGH, random_seed=3) for _ in range(2))
    first = [forwards[position] for position in range(12)]
    torch.manual_seed(1)
    again = [backwards[position] for position in reversed(range(12))][::-1]
    for one, other in zip(first, again, strict=True):
        assert one["index"] == other["index"]
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["mask"], other["mask"])
    otherwise = SegmentationDataset(coded, MEAN, STD, augment=ROUGH, random_seed=4)
    assert any(not torch.equal(first[p]["image"], otherwise[p]["image"]) for p in range(12))


def test_every_epoch_has_every_sample_once_in_its_own_order(coded: tuple[Sample, ...]) -> None:
    data = SegmentationDataset(coded * 5, MEAN, STD, augment=ROUGH)
    orders = [[data.index(position) for position in range(20 * epoch, 20 * epoch + 20)] for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != list(range(20))
    assert data.index(7) == orders[0][7]


def test_a_resumed_run_goes_on_at_the_very_sample() -> None:
    whole = list(StepSampler(0, 10, batch=6))
    assert list(StepSampler(0, 4, batch=6)) + list(StepSampler(4, 10, batch=6)) == whole
    assert [position for batch in whole for position in batch] == list(range(60))
    assert (len(StepSampler(4, 10, batch=6)), list(StepSampler(3, 3, batch=2))) == (6, [])


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_global_batch_is_the_same_on_any_number_of_processes(world_size: int) -> None:
    shares = [StepSampler(5, 9, batch=6, rank=rank, world_size=world_size) for rank in range(world_size)]
    together = [[p for part in parts for p in part] for parts in zip(*shares, strict=True)]
    assert together == list(StepSampler(5, 9, batch=6))


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="batch of 6 cannot be shared by 4 processes. Use a multiple of 4"):
        StepSampler(0, 1, batch=6, world_size=4)
    with pytest.raises(ValueError, match="steps go from 3 to 2"):
        StepSampler(3, 2, batch=6)


@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning"
)  # Python 3.12 and later warn in any process with threads
def test_the_number_of_workers_changes_nothing(coded: tuple[Sample, ...]) -> None:
    data = SegmentationDataset(coded, MEAN, STD, augment=ROUGH)
    alone, shared_out = (
        list(DataLoader(data, batch_sampler=StepSampler(1, 4, batch=2), num_workers=workers)) for workers in (0, 1)
    )
    for one, other in zip(alone, shared_out, strict=True):
        assert one.keys() == other.keys() == {"image", "mask", "index"}
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert (alone[0]["image"].shape, alone[0]["mask"].shape) == ((2, 3, 7, 5), (2, 7, 5))


def test_without_augmentation_images_come_whole_in_order_and_normalised(coded: tuple[Sample, ...]) -> None:
    data = SegmentationDataset(coded, MEAN, STD)
    assert len(data) == 4
    for position in range(len(data)):
        entry = data[position]
        pixels = torch.from_numpy(np.asarray(data_of(coded)[position]["image"]))
        expected = (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        torch.testing.assert_close(entry["image"], expected)
        assert (entry["image"].dtype, entry["mask"].dtype, entry["index"]) == (torch.float32, torch.int64, position)
        assert torch.equal(entry["mask"] * 10 + 5, pixels[0].long())


@pytest.mark.parametrize(
    ("augment", "imgsz"),
    [
        (Augment(crop=(48, 80)), None),
        (Augment(scales=(0.5, 0.75, 1.5, 2.0), crop=(64, 80)), None),
        (Augment(scales=(0.5, 1.25), crop=(120, 180)), None),
        (Augment(crop=(48, 80)), (192, 160)),
        (Augment(), (72, 192)),
    ],
)
def test_image_and_mask_stay_aligned(
    coded: tuple[Sample, ...], augment: Augment, imgsz: tuple[int, int] | None
) -> None:
    data = data_of(coded, augment=augment, imgsz=imgsz)
    for position in range(24):
        entry = data[position]
        image, mask = entry["image"][0], entry["mask"]
        counted = mask != 255
        wrong = ((image - (mask * 10 + 5)).abs() > 0.5) & counted
        # Bilinear resizing blends colours where blocks meet, so only the inside of blocks must agree exactly; what lies
        # beyond the edge of the crop is not known.
        grown = torch.nn.functional.max_pool2d(mask[None].float(), 5, 1, 2)[0]
        shrunk = -torch.nn.functional.max_pool2d(-mask[None].float(), 5, 1, 2)[0]
        inside = torch.zeros_like(counted)
        inside[2:-2, 2:-2] = (grown == shrunk)[2:-2, 2:-2]
        assert inside[counted].float().mean() > 0.2
        assert not (wrong & inside).any()


def test_masks_are_sampled_where_bilinear_samples_the_image(draw: Draw) -> None:
    """A vertical edge, enlarged and reduced: the edge in the mask is where the image crosses the middle value."""
    edge = np.zeros((15, 15), np.uint8)
    edge[:, 7:] = 1
    sample = Sample("e", draw("e.png", (edge * 200)[..., None].repeat(3, 2)), draw("mask.png", edge))
    for size in ((5, 5), (25, 25), (45, 45)):
        entry = data_of((sample,), imgsz=size)[0]
        assert torch.equal(entry["mask"], (entry["image"][0] > 100).long())


def test_outside_of_the_image_a_crop_is_the_mean_colour_and_ignored(coded: tuple[Sample, ...]) -> None:
    data = SegmentationDataset(coded, MEAN, STD, augment=Augment(crop=(110, 150)))
    corners = set()
    for position in range(20):
        entry = data[position]
        assert entry["image"].shape == (3, 110, 150)
        inside = entry["mask"] != 255
        assert inside.sum() == 96 * 128
        assert (entry["image"][:, ~inside] == 0).all()
        assert (entry["image"][:, inside] != 0).any(0).all()
        corners.add(tuple(inside.nonzero()[0].tolist()))
    assert len(corners) > 10


def test_every_scale_place_and_flip_is_drawn(draw: Draw) -> None:
    gradient = np.arange(64, dtype=np.uint8).reshape(1, 64).repeat(64, 0)
    sample = Sample("g", draw("g.png", gradient[..., None].repeat(3, 2)), draw("mask.png", gradient % 2))
    entries = [data_of((sample,), augment=Augment((1.0, 2.0), (32, 32)))[p]["image"][0, 0] for p in range(400)]
    flips = sum(bool(row[-1] < row[0]) for row in entries)
    doubled = sum(bool((row[-1] - row[0]).abs() < 20) for row in entries)
    starts = {int(row.min()) for row in entries if (row[-1] - row[0]).abs() == 31}
    assert 150 < flips < 250  # binomial(400, 1/2): 200 +- 10
    assert 150 < doubled < 250
    assert starts <= set(range(33))
    assert {0, 32} <= starts
    assert len(starts) > 28
    never = [data_of((sample,), augment=Augment((1.0,), (32, 32), flip=False))[p]["image"][0, 0] for p in range(50)]
    assert all(row[-1] > row[0] for row in never)


def test_the_cache_changes_nothing_and_keeps_to_its_limit(
    coded: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fna.data.reading import dataset as module

    reads: list[Path] = []

    def counted(path: Path, wanted: Wanted | None) -> tuple[torch.Tensor, tuple[int, int]]:
        reads.append(path)
        return read_reduced(path, wanted)

    monkeypatch.setattr(module, "read_reduced", counted)
    one = 96 * 128 * 4  # three bytes of image and one of mask a pixel
    for limit, expected in ((0, 12), (one, 4 + 3 + 3), (4 * one, 4)):
        reads.clear()
        data = SegmentationDataset(coded, MEAN, STD, augment=ROUGH, cache_bytes=limit)
        images = [data[position]["image"] for position in range(12)]
        assert len(reads) == expected
        uncached = SegmentationDataset(coded, MEAN, STD, augment=ROUGH, cache_bytes=0)
        assert all(torch.equal(images[position], uncached[position]["image"]) for position in range(12))
    assert len(pickle.dumps(data)) < one  # workers that are sent the data set fill their own cache


def test_a_mask_of_another_size_is_refused_by_name(draw: Draw) -> None:
    sample = Sample("x", draw("x.png", size=(6, 8)), draw("mask.png", np.zeros((8, 6), np.uint8)))
    with pytest.raises(UserError, match=r"x.png is 6x8, but its mask .*mask.png is 8x6"):
        SegmentationDataset((sample,), MEAN, STD)[0]


def test_settings_that_make_no_batch_are_refused() -> None:
    with pytest.raises(UserError, match="without a crop"):
        Augment(scales=(0.5, 1.0))
    with pytest.raises(UserError, match="positive numbers"):
        Augment(scales=(0.0,))
    with pytest.raises(UserError, match=r"augment.crop is \(0, 5\)"):
        Augment(crop=(0, 5))
    with pytest.raises(UserError, match="the split is empty"):
        SegmentationDataset((), MEAN, STD)


def test_the_training_images_are_shared_out_between_weights_and_alphas(shared: Path) -> None:
    samples = open_data(shared / "data" / "camvid").splits["train"]
    weights, alphas = split(samples, 0.2, random_seed=0)
    assert (len(weights), len(alphas)) == (294, 73)
    assert sorted(weights + alphas, key=lambda sample: sample.name) == list(samples)
    assert split(samples, 0.2, random_seed=0) == (weights, alphas)
    assert split(samples, 0.2, random_seed=1) != (weights, alphas)
    # Drawn at random, not a block of one video sequence
    assert len({sample.name.split("_")[0] for sample in alphas}) == len(
        {sample.name.split("_")[0] for sample in samples}
    )
    for fraction in (0.0, 1.0, 0.001):
        with pytest.raises(UserError, match="neither part may be empty"):
            split(samples, fraction, random_seed=0)


def test_light_scales_each_channel_and_the_contrast_around_middle_grey() -> None:
    dataset = SegmentationDataset(
        [Sample("a", Path("a.png"), Path("a.png"))], mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5)
    )
    image = torch.tensor([51, 102, 204], dtype=torch.uint8).view(3, 1, 1)  # 0.2, 0.4, 0.8
    colours = [((value * factor - 0.5) * 1.1 + 0.5) for value, factor in ((0.2, 0.9), (0.4, 1.2), (0.8, 1.0))]
    expected = [(c - m) / s for c, m, s in zip(colours, (0.4, 0.5, 0.6), (0.2, 0.25, 0.5), strict=True)]
    assert dataset.normalise(image, (0.9, 1.2, 1.0, 1.1)).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_jitter_leaves_the_mask_and_the_place_of_the_crop_alone(shared: Path) -> None:
    samples = open_data(shared / "data/camvid").splits["train"][:3]
    unlit, lit = (
        SegmentationDataset(samples, (0.5,) * 3, (0.5,) * 3, augment=Augment((0.75, 1.0), (64, 64), True, jitter))
        for jitter in (0.0, 0.4)
    )
    assert torch.equal(unlit[5]["mask"], lit[5]["mask"])
    assert not torch.equal(unlit[5]["image"], lit[5]["image"])


@pytest.mark.parametrize("jitter", [-0.1, 1.0])
def test_jitter_out_of_range_is_refused(jitter: float) -> None:
    with pytest.raises(UserError, match="jitter"):
        Augment(crop=(8, 8), jitter=jitter)
