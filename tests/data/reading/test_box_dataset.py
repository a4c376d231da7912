"""Samples for detection: boxes go where their pixels go, and a sample depends on (random seed, position) alone."""

import json
import pickle
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from fna.data.reading import box_dataset as module
from fna.data.reading.box_dataset import BoxAugment, DetectionDataset, Resize, collate
from fna.data.reading.images import read_image, read_reduced
from fna.data.reading.pixels import Wanted
from fna.data.reading.rectangle import Rectangle
from fna.data.reading.ssd_view import ssd_view
from fna.data.reading.stream import StepSampler
from fna.data.samples import BoxSample
from fna.errors import UserError

Draw = Callable[..., Path]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXACT = Resize((24, 32))
SSD = BoxAugment(flip=True, ssd=True)


def sample(image: Path, boxes: Any, labels: Any = None, crowd: Any = None, size: Any = None) -> BoxSample:
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    count = len(corners)
    return BoxSample(
        name=image.stem,
        image=image,
        size=size,
        boxes=corners,
        labels=np.arange(count) if labels is None else np.asarray(labels, np.int64),
        crowd=np.zeros(count, bool) if crowd is None else np.asarray(crowd, bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(1),
        image_id=1,
    )


def data_of(samples: Sequence[BoxSample], size: Resize, augment: BoxAugment | None = None, **options: Any) -> Any:
    """Values come out as they are in the file: no mean, no standard deviation."""
    return DetectionDataset(samples, (0, 0, 0), (1 / 255,) * 3, size, augment, **options)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(one[k]), torch.as_tensor(other[k])) for k in one
    )


@pytest.fixture
def noise(draw: Draw) -> list[BoxSample]:
    """Five images of different sizes with 0 to 4 boxes."""
    numbers = np.random.default_rng(0)
    samples = []
    for count, size in enumerate([(30, 40), (48, 36), (25, 25), (60, 80), (33, 47)]):
        start = numbers.uniform(0, 0.5, (count, 2)) * size[::-1]
        corners = np.concatenate([start, start + numbers.uniform(0.2, 0.5, (count, 2)) * size[::-1]], 1)
        samples.append(sample(draw(f"{count}.png", size=size), corners, size=size))
    return samples


@pytest.fixture
def bright(draw: Draw) -> list[BoxSample]:
    """Grey images, each with one bright object and the box around it."""
    samples = []
    for number, (height, width) in enumerate([(60, 90), (90, 60), (80, 80)]):
        x1, y1, x2, y2 = np.random.default_rng(number).integers([5, 5, 32, 32], [25, 25, 55, 55])
        pixels = np.full((height, width, 3), 40, np.uint8)
        pixels[y1:y2, x1:x2] = 200
        samples.append(sample(draw(f"bright{number}.png", pixels), [[x1, y1, x2, y2]]))
    return samples


def animals(shared: Path, split: str) -> list[BoxSample]:
    root = shared / "data/animals"
    rows = json.loads((root / f"annotations/instances_{split}.json").read_text(encoding="utf-8"))
    samples = []
    for image in rows["images"]:
        own = [row for row in rows["annotations"] if row["image_id"] == image["id"]]
        corners = np.array([row["bbox"] for row in own]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        labels = [row["category_id"] - 1 for row in own]
        samples.append(
            sample(root / split / image["file_name"], corners, labels, size=(image["height"], image["width"]))
        )
    return samples


def test_boxes_are_resized_clipped_and_flipped_as_worked_by_hand(draw: Draw) -> None:
    """From 40 x 80 to 20 x 160: x doubles, y halves."""
    boxes = [
        [8, 4, 40, 30],
        [-10, -5, 100, 50],  # reaches outside on every side
        [8, 4, 8.5, 30],  # exactly one pixel wide in the end
        [8, 4, 8.4, 30],  # less
        [8, 4, 40, 5.9],  # less than one pixel high
        [90, 4, 95, 30],  # outside
        [0, 0, 40, 30],  # a crowd
    ]
    one = sample(draw("a.png", size=(40, 80)), boxes, labels=[5, 4, 3, 2, 1, 0, 7], crowd=[False] * 6 + [True])
    expected = [[16, 2, 80, 15], [0, 0, 160, 20], [16, 2, 17, 15]]
    entry = data_of([one], Resize((20, 160)))[0]
    assert entry["boxes"].tolist() == expected
    assert (entry["labels"].tolist(), entry["size"].tolist(), entry["original"].tolist()) == (
        [5, 4, 3],
        [20, 160],
        [40, 80],
    )
    assert [entry[key].dtype for key in ("image", "boxes", "labels")] == [torch.float32, torch.float32, torch.int64]
    data = data_of([one], Resize((20, 160)), BoxAugment())
    flipped = [[80, 2, 144, 15], [0, 0, 160, 20], [143, 2, 144, 15]]
    seen = set()
    for position in range(20):
        found = data[position]
        turned = torch.equal(found["image"], entry["image"].flip(-1))
        assert turned or torch.equal(found["image"], entry["image"])
        assert found["boxes"].tolist() == (flipped if turned else expected)
        assert "original" not in found
        seen.add(turned)
    assert seen == {True, False}


@pytest.mark.parametrize(
    "size", [Resize((64, 64)), Resize((150, 100)), Resize(short=40, long=200), Resize(short=90, long=95)]
)
@pytest.mark.parametrize("augment", [None, BoxAugment(), BoxAugment(flip=False, ssd=True), SSD])
def test_the_box_is_around_the_object_whatever_is_done_to_the_image(
    bright: list[BoxSample], size: Resize, augment: BoxAugment | None
) -> None:
    data = data_of(bright, size, augment)
    for position in range(3 if augment is None else 45):
        entry = data[position]
        # The canvas of the zoom is 0 here: the object is nearer to the brightest pixel than to the darkest other one.
        image = entry["image"].mean(0)
        middle = (image.max() + image[image > 0].min()) / 2 if image.min() < image.max() else image.max()
        rows, columns = (image >= middle).nonzero(as_tuple=True)
        around = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
        assert len(entry["boxes"]) == 1
        assert entry["boxes"][0].tolist() == pytest.approx(around, abs=1.0)


def test_a_crop_keeps_its_own_shape_where_the_image_would(bright: list[BoxSample]) -> None:
    data = data_of(bright, Resize(short=40, long=200), SSD)
    sizes = [entry["size"].tolist() for entry in (data[position] for position in range(40))]
    assert all(min(size) == 40 for size in sizes)  # crops are at most 3 times as long as they are wide
    assert len({max(size) for size in sizes}) > 8
    assert all(tuple(data[position]["image"].shape[1:]) == tuple(sizes[position]) for position in range(40))


def test_ssd_augmentation_is_that_of_torchvision(noise: list[BoxSample], draw: Draw) -> None:
    """The same view and the same light through torchvision's transforms, every step carried out on the whole image."""
    smooth = np.stack(np.meshgrid(np.linspace(60, 180, 80), np.linspace(80, 160, 60)), -1).astype(np.uint8)
    smooth = np.concatenate([smooth, smooth[..., :1] // 2 + 50], -1)
    samples = [sample(draw(f"s{n}.png", smooth), one.boxes) for n, one in enumerate(noise[1:])]
    data = data_of(samples, Resize((50, 70)), BoxAugment(flip=False, ssd=True), random_seed=5)
    resize, distort, compared = v2.Resize((50, 70)), v2.RandomPhotometricDistort(), 0
    for position in range(60):
        entry = data[position]
        one = samples[entry["index"]]
        generator = np.random.default_rng((5, 1, position))
        generator.random()
        torch.manual_seed(int(generator.integers(2**63)))
        image = distort(tv_tensors.Image(read_image(one.image)))
        view, kept = ssd_view(generator, one.boxes.astype(np.float32), Rectangle(0, 0, 60, 80))
        boxes = tv_tensors.BoundingBoxes(torch.from_numpy(one.boxes[kept]).float(), format="XYXY", canvas_size=(60, 80))
        target = {"image": image, "boxes": boxes, "labels": torch.from_numpy(one.labels[kept])}
        cropped = {
            name: v2.functional.crop(part, view.top, view.left, view.height, view.width) if name != "labels" else part
            for name, part in target.items()
        }
        expected = v2.SanitizeBoundingBoxes()(resize(v2.ClampBoundingBoxes()(cropped)))
        if entry["labels"].tolist() != expected["labels"].tolist():  # one of them just below a pixel
            continue
        compared += 1
        torch.testing.assert_close(entry["boxes"], torch.as_tensor(expected["boxes"]), atol=0.75, rtol=0)
        difference = (entry["image"] - expected["image"].float()).abs()
        assert difference.median() < 12  # the contrast's middle, and the edge of the image on the canvas
    assert compared > 55


@pytest.mark.parametrize(("height", "width"), [(300, 400), (640, 427), (100, 1000), (37, 37), (1200, 1600), (333, 555)])
def test_a_short_side_with_a_longest_is_that_of_torchvision_to_a_pixel(height: int, width: int) -> None:
    theirs = GeneralizedRCNNTransform(80, 133, [0.0] * 3, [1.0] * 3, size_divisible=1)
    (size,) = theirs([torch.zeros(3, height, width)])[0].image_sizes
    ours = Resize(short=80, long=133).target(height, width)
    assert all(abs(one - other) <= 1 for one, other in zip(ours, size, strict=True))


def test_sizes_of_retinanet_worked_by_hand() -> None:
    size = Resize(short=800, long=1333)
    assert size.target(480, 640) == (800, 1067)  # 640 * 800 / 480 = 1066.67
    assert size.target(640, 480) == (1067, 800)
    assert size.target(400, 1000) == (533, 1333)  # the long side is the limit: 400 * 1.333 = 533.2
    assert size.target(1600, 2000) == (800, 1000)
    assert Resize((300, 400)).target(7, 7) == (300, 400)


@pytest.mark.parametrize("augment", [BoxAugment(), SSD])
def test_a_sample_is_a_pure_function_of_seed_and_position(noise: list[BoxSample], augment: BoxAugment) -> None:
    forwards, backwards = (DetectionDataset(noise, MEAN, STD, EXACT, augment, random_seed=3) for _ in range(2))
    first = [forwards[position] for position in range(25)]
    torch.manual_seed(1)
    again = [backwards[position] for position in reversed(range(25))][::-1]
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    otherwise = DetectionDataset(noise, MEAN, STD, EXACT, augment, random_seed=4)
    assert sum(not torch.equal(first[p]["image"], otherwise[p]["image"]) for p in range(25)) > 10
    assert [sorted(first[p]["index"] for p in range(start, start + 5)) for start in (0, 5, 20)] == [[0, 1, 2, 3, 4]] * 3


def test_no_generator_but_its_own_is_touched(noise: list[BoxSample], monkeypatch: pytest.MonkeyPatch) -> None:
    data = DetectionDataset(noise, MEAN, STD, EXACT, SSD)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda random_seed: pytest.fail("the GPU's generator was set"))
    state = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    drawn = [data[position]["image"] for position in range(10)]
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (random.getstate(), repr(np.random.get_state())) == state[1:]
    assert not torch.equal(drawn[0], drawn[5])


def test_an_error_in_a_sample_leaves_the_generator_as_it_was(
    noise: list[BoxSample], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DetectionDataset(noise, MEAN, STD, EXACT, SSD)
    state = torch.get_rng_state()
    monkeypatch.setattr(data._distort, "make_params", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        data[0]
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning"
)  # Python 3.12 and later warn in any process with threads
@pytest.mark.parametrize("size", [EXACT, Resize(short=20, long=40)])
def test_the_number_of_workers_changes_nothing(noise: list[BoxSample], size: Resize) -> None:
    data = DetectionDataset(noise, MEAN, STD, size, SSD)
    alone, shared_out = (
        list(
            DataLoader(
                data,
                batch_sampler=StepSampler(1, 5, batch=3),
                num_workers=workers,
                collate_fn=partial(collate, divisor=8),
            )
        )
        for workers in (0, 2)
    )
    assert len(alone) == 4
    assert all(same(one, other) for one, other in zip(alone, shared_out, strict=True))


def test_all_that_is_random_is_drawn(draw: Draw) -> None:
    rising = np.arange(64, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2) * 2 + 100
    one = [sample(draw("rising.png", rising), [[16, 16, 48, 48]])]
    data, never = (data_of(one, Resize((64, 64)), BoxAugment(flip)) for flip in (True, False))
    rows = [data[position]["image"][0, 0] for position in range(400)]
    assert 150 < sum(bool(row[0] > row[-1]) for row in rows) < 250  # binomial(400, 1/2): 200 +- 10
    assert all(row[0] < row[-1] for row in (never[position]["image"][0, 0] for position in range(50)))
    data = data_of(one, Resize((64, 64)), SSD)
    entries = [data[position] for position in range(200)]
    sides = torch.cat([entry["boxes"][:, 2:] - entry["boxes"][:, :2] for entry in entries])
    assert 30 < sum(bool((entry["image"] == 0).any()) for entry in entries) < 110  # zoomed out, in half of all
    assert sides.min() < 16  # half of the whole image's 32 and less, by zooming out
    assert sides.max() > 48  # by cropping
    assert len({float(entry["image"].max()) for entry in entries}) > 60  # the light


def test_the_canvas_of_the_zoom_is_the_mean_colour(draw: Draw) -> None:
    white = [sample(draw("white.png", np.full((40, 40, 3), 255, np.uint8)), [[10, 10, 30, 30]])]
    data = DetectionDataset(white, MEAN, STD, Resize((50, 50)), SSD)
    images = torch.stack([data[position]["image"] for position in range(40)])
    # The darkest that becomes of white: 0.875, which is more than 1.5 standard deviations above the mean.
    assert ((images == 0) | (images > 1.5)).all()
    assert 0.1 < (images == 0).float().mean() < 0.7


def test_images_without_boxes_stay(noise: list[BoxSample]) -> None:
    for augment in (None, BoxAugment(), SSD):
        data = DetectionDataset(noise[:1], MEAN, STD, EXACT, augment)
        for position in range(1 if augment is None else 20):
            entry = data[position]
            assert (entry["boxes"].shape, entry["labels"].shape) == ((0, 4), (0,))
            assert entry["image"].shape == (3, 24, 32)


def test_evaluation_gives_every_image_whole_in_order_and_the_way_back_to_its_file(noise: list[BoxSample]) -> None:
    data = DetectionDataset(noise, MEAN, STD, Resize(short=20, long=30))
    for place, one in enumerate(noise):
        entry = data[place]
        height, width = entry["size"].tolist()
        pixels = v2.functional.resize(read_image(one.image), [height, width], antialias=True)
        expected = (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        assert (entry["image"] - expected).abs().max() < 1.01 / 255 / min(STD)  # one step of 8 bits
        scale = (entry["original"] / entry["size"]).flip(0).repeat(2)
        assert (entry["boxes"] * scale).numpy() == pytest.approx(one.boxes, abs=1e-4)
        assert (entry["index"], entry["original"].tolist()) == (place, list(read_image(one.image).shape[1:]))


def test_boxes_belong_to_the_upright_image(tmp_path: Path) -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    entry = data_of([sample(tmp_path / "turned.png", [[5, 10, 15, 39]], size=(40, 20))], Resize((40, 20)))[0]
    assert (entry["original"].tolist(), entry["boxes"].tolist()) == ([40, 20], [[5, 10, 15, 39]])
    with pytest.raises(UserError, match=r"turned.png is 40x20, but its boxes are annotated for 20x40"):
        data_of([sample(tmp_path / "turned.png", [[5, 10, 15, 19]], size=(20, 40))], EXACT)[0]


def test_a_batch_is_padded_to_one_size_and_to_one_number_of_boxes(noise: list[BoxSample]) -> None:
    data = DetectionDataset(noise, MEAN, STD, Resize(short=20, long=40))
    entries = [data[place] for place in (0, 1, 3)]  # 20 x 27, 27 x 20, 20 x 27 with 0, 1 and 3 boxes
    batch = collate(entries)
    assert batch["image"].shape == (3, 3, 32, 32)
    assert collate(entries, divisor=1)["image"].shape == (3, 3, 27, 27)
    assert batch["size"].tolist() == [[20, 27], [27, 20], [20, 27]]
    assert batch["original"].tolist() == [[30, 40], [48, 36], [60, 80]]
    assert batch["index"].tolist() == [0, 1, 3]
    assert batch["labels"].tolist() == [[-1, -1, -1], [0, -1, -1], [0, 1, 2]]
    for row, entry in enumerate(entries):
        height, width = entry["size"].tolist()
        assert torch.equal(batch["image"][row, :, :height, :width], entry["image"])
        assert (batch["image"][row, :, height:] == 0).all()
        assert (batch["image"][row, :, :, width:] == 0).all()
        assert torch.equal(batch["boxes"][row, : len(entry["boxes"])], entry["boxes"])
        assert (batch["boxes"][row, len(entry["boxes"]) :] == 0).all()
    nothing = collate(entries[:1])
    assert (nothing["boxes"].shape, nothing["labels"].shape) == ((1, 0, 4), (1, 0))
    trained = collate([DetectionDataset(noise, MEAN, STD, EXACT, BoxAugment())[0]])
    assert set(trained) == {"image", "boxes", "labels", "size", "index"}
    assert all(isinstance(value, torch.Tensor) for value in (batch | trained).values())


def test_the_cache_changes_nothing_and_keeps_to_its_limit(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample(draw(f"{n}.png", size=(60, 80)), [[10, 10, 50, 50]]) for n in range(4)]
    reads: list[Path] = []

    def counted(path: Path, wanted: Wanted | None) -> tuple[torch.Tensor, tuple[int, int]]:
        reads.append(path)
        return read_reduced(path, wanted)

    monkeypatch.setattr(module, "read_reduced", counted)
    whole, small = 60 * 80 * 3 + 16, 24 * 32 * 3 + 16  # and height and width of the file
    for augment, one in ((BoxAugment(), small), (SSD, whole)):
        for limit, expected in ((0, 12), (one, 4 + 3 + 3), (4 * one, 4)):
            reads.clear()
            data = DetectionDataset(samples, MEAN, STD, EXACT, augment, cache_bytes=limit)
            entries = [data[position] for position in range(12)]
            assert len(reads) == expected
            uncached = DetectionDataset(samples, MEAN, STD, EXACT, augment, cache_bytes=0)
            assert all(same(entries[position], uncached[position]) for position in range(12))
        assert same(pickle.loads(pickle.dumps(data))[3], entries[3])
        assert len(pickle.dumps(data)) < len(pickle.dumps(uncached)) + 100  # sent without what it has read


def test_settings_that_are_no_size_are_refused() -> None:
    for wrong in ({}, {"exact": (3, 4), "short": 3, "long": 4}, {"short": 3}, {"long": 3}):
        with pytest.raises(UserError, match="either an exact size"):
            Resize(**wrong)
    with pytest.raises(UserError, match=r"the size of images is \(0, 5\)"):
        Resize((0, 5))
    with pytest.raises(UserError, match="expected 1 <= short <= long"):
        Resize(short=9, long=8)
    with pytest.raises(UserError, match="the split is empty"):
        DetectionDataset((), MEAN, STD, EXACT)


def test_on_real_images_every_sample_is_usable(shared: Path) -> None:
    samples = animals(shared, "train")[:40]
    data = DetectionDataset(samples, MEAN, STD, Resize((300, 300)), SSD)
    for position in range(80):
        entry = data[position]
        x1, y1, x2, y2 = entry["boxes"].unbind(1)
        assert len(entry["boxes"]) > 0  # all of these images have boxes, and a crop keeps one of them
        assert bool(((x1 >= 0) & (y1 >= 0) & (x2 <= 300) & (y2 <= 300) & (x2 - x1 >= 1) & (y2 - y1 >= 1)).all())
        assert set(entry["labels"].tolist()) <= set(samples[entry["index"]].labels.tolist())
        assert entry["image"].shape == (3, 300, 300)
        assert entry["image"].abs().max() < 3
