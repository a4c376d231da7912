"""Samples for detection as tensors; a training sample is a pure function of (random seed, position)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.data.reading.images import read_reduced
from fna.data.reading.rectangle import Boxes, Rectangle
from fna.data.reading.ssd_view import ssd_view
from fna.data.reading.stream import GIBIBYTE, ImageDataset, on_canvas, torch_random_seed
from fna.data.samples import BoxSample
from fna.errors import UserError

SMALLEST_BOX = 1.0
"""Pixels: a box that is narrower or lower in the finished image is left out."""


@dataclass(frozen=True)
class Resize:
    """Either to exactly (height, width), or to a short side of `short` with a long side of at most `long`.

    The first does not keep the aspect ratio (SSD); the second does, to the nearest pixel (RetinaNet: 800, 1333).
    """

    exact: tuple[int, int] | None = None
    short: int | None = None
    long: int | None = None

    def __post_init__(self) -> None:
        if (self.exact is None) == (self.short is None) or (self.short is None) != (self.long is None):
            raise UserError("give images either an exact size (height, width), or a short and a long side.")
        if self.exact is not None and min(self.exact) < 1:
            raise UserError(f"the size of images is {self.exact}, expected height and width in pixels.")
        if self.short is not None and self.long is not None and not 1 <= self.short <= self.long:
            raise UserError(
                f"the short side of images is {self.short} and the long side at most {self.long}, "
                f"expected 1 <= short <= long."
            )

    def target(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that an image of this size gets."""
        if self.exact is not None:
            return self.exact
        assert self.short is not None
        assert self.long is not None
        scale = min(self.short / min(height, width), self.long / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class BoxAugment:
    """`flip`: left-right with probability 1/2.

    `ssd`: before it, the augmentation of SSD (Liu et al. 2016, sections 2.2 and 3.6) with torchvision's numbers:
    photometric distortion, zooming out onto a canvas of the mean colour, cropping to a minimal overlap with a box
    (see `fna.data.reading.ssd_view`).
    """

    flip: bool = True
    ssd: bool = False


class BoxEntry(TypedDict):
    """One image with its boxes.

    image: float32 (3, H, W), normalised. boxes: float32 (n, 4), x1, y1, x2, y2 in pixels of this image and inside it,
    at least 1 pixel wide and high. labels: int64 (n,), from 0. size: int64 (2,), H and W. index: which sample it is.
    original, in evaluation only: int64 (2,), height and width of the upright image in the file, so that
    `original / size` per axis takes boxes back to it.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    size: Tensor
    index: int
    original: NotRequired[Tensor]


class DetectionDataset(ImageDataset[BoxEntry, BoxSample, tuple[Tensor, Tensor]]):
    """Images and boxes by position, all resized as `size` says; crowd boxes are left out, images without boxes stay.

    With `augment`, position p of an endless stream (see ImageDataset); without it, sample p as it is.
    Raises UserError naming the file where its size is not the annotated one: its boxes would be somewhere else.
    """

    def __init__(
        self,
        samples: Sequence[BoxSample],
        mean: Sequence[float],
        std: Sequence[float],
        size: Resize,
        augment: BoxAugment | None = None,
        random_seed: int = 0,
        cache_bytes: int = GIBIBYTE,
    ) -> None:
        super().__init__(samples, mean, std, random_seed, cache_bytes)
        self.size = size
        self.augment = augment
        self._distort = v2.RandomPhotometricDistort()

    def __getitem__(self, position: int) -> BoxEntry:
        index = position if self.augment is None else self.index(position)
        image, original = self.decoded(index)
        frame = Rectangle(0, 0, *original.tolist())
        boxes, labels = _counted(self.samples[index], frame)
        if self.augment is None:
            entry = self._finished(image, boxes, labels, frame, frame, False, index)
            entry["original"] = original
            return entry
        # The same numbers whatever is switched on, so that one setting does not change what another one draws.
        generator = self.generator(position)
        flip = bool(generator.random() < 0.5) and self.augment.flip
        if not self.augment.ssd:
            return self._finished(image, boxes, labels, frame, frame, flip, index)
        with torch_random_seed(int(generator.integers(2**63))):
            distortion = self._distort.make_params([image])
        view, kept = ssd_view(generator, boxes, frame)
        return self._finished(image, boxes[kept], labels[kept], frame, view, flip, index, distortion)

    @property
    def reading(self) -> Hashable:
        """The size where every sample has the whole image, which is kept as it is needed; else None."""
        return self.size if self.augment is None or not self.augment.ssd else None

    def _read(self, sample: BoxSample) -> tuple[Tensor, Tensor]:
        """Image uint8 (3, H, W), and the height and width it has in the file.

        An image that every sample needs smaller is kept in memory as it is needed.
        """
        whole = self.reading is not None
        image, (height, width) = read_reduced(sample.image, self.size.target if whole else None)
        if sample.size is not None and sample.size != (height, width):
            raise UserError(
                f"{sample.image} is {height}x{width}, "
                f"but its boxes are annotated for {sample.size[0]}x{sample.size[1]} (height x width)."
            )
        target = self.size.target(height, width)
        if whole and target[0] * target[1] < height * width:
            image = _resized(image, Rectangle(0, 0, *target))
        return image, torch.tensor([height, width])

    def _finished(
        self,
        image: Tensor,
        boxes: Boxes,
        labels: NDArray[np.int64],
        frame: Rectangle,
        view: Rectangle,
        flip: bool,
        index: int,
        distortion: dict[str, object] | None = None,
    ) -> BoxEntry:
        """What is seen in `view` of an image, whose place is `frame`, and of its boxes, at the final size.

        Only the part of the image that is seen is resized, to whole pixels, so that a large canvas costs nothing; what
        is around it is 0, the mean colour. Boxes go where their pixels go.
        """
        height, width = self.size.target(view.height, view.width)
        seen = view.common(frame)
        place = seen.place(view, height, width)
        if seen != frame:
            image = image[:, seen.top : seen.bottom, seen.left : seen.right]
        if distortion is None:
            image = _resized(image, place)
        elif seen.height * seen.width < place.height * place.width:
            image = _resized(self._distorted(image, distortion), place)
        else:
            # Colours hardly depend on which comes first, the time does. The contrast's middle is that of what is seen.
            image = self._distorted(_resized(image, place), distortion)
        boxes = _moved(boxes, seen, place)
        if flip:
            image = image.flip(-1)
            place = Rectangle(place.top, width - place.right, place.height, place.width)
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
        pixels = on_canvas(self.normalise(image), (height, width), place.top, place.left, 0.0)
        large = (boxes[:, 2:] - boxes[:, :2] >= SMALLEST_BOX).all(1)
        return {
            "image": pixels,
            "boxes": torch.from_numpy(boxes[large]),
            "labels": torch.from_numpy(labels[large]),
            "size": torch.tensor([height, width]),
            "index": index,
        }

    def _distorted(self, image: Tensor, distortion: dict[str, object]) -> Tensor:
        # Changes of hue take half as long again with the three bytes of a pixel side by side.
        distorted: Tensor = self._distort.transform(image.contiguous(), distortion)
        return distorted


def collate(entries: Sequence[BoxEntry], divisor: int = 32) -> dict[str, Tensor]:
    """One batch of tensors: images padded at the right and at the bottom with 0 (the mean colour) to a common size.

    image: float32 (N, 3, H, W), H and W multiples of `divisor`; boxes: float32 (N, M, 4) with zeros and labels: int64
    (N, M) with -1 where an image has fewer than M boxes; size: int64 (N, 2), without padding; index: int64 (N,);
    original: int64 (N, 2) where the entries have it. For another divisor in a loader: functools.partial.
    """
    count = len(entries)
    height, width = (-(-max(int(entry["size"][axis]) for entry in entries) // divisor) * divisor for axis in (0, 1))
    most = max(len(entry["labels"]) for entry in entries)
    image = torch.zeros(count, 3, height, width)
    boxes = torch.zeros(count, most, 4)
    labels = torch.full((count, most), -1)
    for row, entry in enumerate(entries):
        image[row, :, : entry["image"].shape[1], : entry["image"].shape[2]] = entry["image"]
        boxes[row, : len(entry["boxes"])] = entry["boxes"]
        labels[row, : len(entry["labels"])] = entry["labels"]
    batch = {
        "image": image,
        "boxes": boxes,
        "labels": labels,
        "size": torch.stack([entry["size"] for entry in entries]),
        "index": torch.tensor([entry["index"] for entry in entries]),
    }
    if "original" in entries[0]:
        batch["original"] = torch.stack([entry["original"] for entry in entries])
    return batch


def _counted(sample: BoxSample, frame: Rectangle) -> tuple[Boxes, NDArray[np.int64]]:
    """Boxes (n, 4) clipped to the image and labels (n,), without crowds and without what lies outside."""
    boxes = _moved(sample.boxes[~sample.crowd].astype(np.float32).reshape(-1, 4), frame, frame)
    inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return boxes[inside], sample.labels[~sample.crowd].astype(np.int64, copy=False)[inside]


def _moved(boxes: Boxes, source: Rectangle, target: Rectangle) -> Boxes:
    """Boxes (n, 4) clipped to `source`, in the pixels that it has as `target`."""
    inside = np.minimum((boxes - source.corner).clip(min=0), source.sides)
    # Rounding must not put a box outside of the image, where it would be taken for a broken one.
    moved: Boxes = np.minimum(inside * target.sides / source.sides, target.sides) + target.corner
    return moved


def _resized(image: Tensor, size: Rectangle) -> Tensor:
    if tuple(image.shape[1:]) == (size.height, size.width):
        return image
    return transforms.resize(image, [size.height, size.width], InterpolationMode.BILINEAR, antialias=True)
