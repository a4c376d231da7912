"""Training and evaluation samples as tensors; a training sample is a pure function of (seed, position)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, get_worker_info
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.data.images import read_image, read_mask
from fna.data.samples import IGNORE, Sample
from fna.errors import UserError

ORDER, AUGMENT = 0, 1  # the two random streams of a seed
GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Augment:
    """Random scale (one of `scales`, equally likely), crop to (height, width), flip left-right with probability 1/2.

    `jitter` j changes the light: each colour channel is multiplied by its own factor and the whole image's contrast
    around middle grey by another, all uniform in 1 - j to 1 + j.
    """

    scales: tuple[float, ...] = (1.0,)
    crop: tuple[int, int] | None = None
    flip: bool = True
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise UserError(f"augment.scales is {self.scales}, expected one or more positive numbers.")
        if self.crop is None and len(set(self.scales)) > 1:
            raise UserError(
                f"augment.scales is {self.scales} without a crop, so images of a batch would differ in size. Set crop."
            )
        if not 0 <= self.jitter < 1:
            raise UserError(f"augment.jitter is {self.jitter}, expected 0 (none) to below 1.")
        if self.crop is not None and min(self.crop) < 1:
            raise UserError(f"augment.crop is {self.crop}, expected height and width in pixels.")


class Entry(TypedDict):
    """image: float32 (3, H, W), normalised; mask: int64 (H, W), class index or 255; index: which sample it is."""

    image: Tensor
    mask: Tensor
    index: int


class SegmentationDataset(Dataset[Entry]):
    """Images and masks by position.

    With `augment`, position p of an endless stream: epoch p // n goes through the n samples in an order drawn from
    (seed, epoch), and the augmentation is drawn from (seed, p). Without it, sample p, unchanged.
    `imgsz` (height, width): images are first resized to it (bilinear, masks nearest).
    Decoded and resized samples are kept in memory, at most `cache_bytes` in total; loader workers share the limit out.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        mean: Sequence[float],
        std: Sequence[float],
        label_mapping: dict[int, int] | None = None,
        augment: Augment | None = None,
        imgsz: tuple[int, int] | None = None,
        seed: int = 0,
        cache_bytes: int = GIBIBYTE,
    ) -> None:
        if not samples:
            raise UserError("no samples: the split is empty.")
        self.samples = tuple(samples)
        self.label_mapping = label_mapping
        self.augment = augment
        self.imgsz = imgsz
        self.seed = seed
        self.cache_bytes = cache_bytes
        # (x / 255 - mean) / std as one multiplication and one addition
        self._gain = (1 / (255 * torch.tensor(std, dtype=torch.float32))).view(3, 1, 1)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).to(torch.float32).view(3, 1, 1)
        self._grey = (0.5 / torch.tensor(std)).to(torch.float32).view(3, 1, 1)
        self._cache: dict[int, tuple[Tensor, Tensor]] = {}
        self._cached_bytes = 0
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, position: int) -> Entry:
        if self.augment is None:
            image, mask = self.decoded(position)
            return {"image": self.normalise(image), "mask": mask.long(), "index": position}
        index = self.index(position)
        image, mask = self._augmented(*self.decoded(index), self.augment, position)
        return {"image": image, "mask": mask, "index": index}

    def index(self, position: int) -> int:
        """The sample at a position of the training stream."""
        epoch, place = divmod(position, len(self.samples))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, ORDER, epoch)).permutation(len(self.samples)))
        return int(self._order[1][place])

    def decoded(self, index: int) -> tuple[Tensor, Tensor]:
        """One sample before augmentation: image uint8 (3, H, W), mask uint8 (H, W), not to be written to."""
        if index in self._cache:
            return self._cache[index]
        pair = self._read(self.samples[index])
        size = sum(part.numel() for part in pair)
        worker = get_worker_info()
        if self._cached_bytes + size <= self.cache_bytes // (worker.num_workers if worker else 1):
            self._cache[index] = pair
            self._cached_bytes += size
        return pair

    def normalise(self, image: Tensor, light: Sequence[float] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
        """uint8 (3, H, W) to float32 with the mean and standard deviation of the seed network's training.

        `light` multiplies each colour channel, and the contrast around middle grey; it costs nothing, being part of the
        same multiplication and addition.
        """
        *colour, contrast = light
        gain = self._gain * (contrast * torch.tensor(colour).view(3, 1, 1))
        shift = self._shift + self._grey * (1 - contrast)
        return image.contiguous().to(torch.float32).mul_(gain).add_(shift)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_cache": {}, "_cached_bytes": 0}  # worker processes fill their own

    def _read(self, sample: Sample) -> tuple[Tensor, Tensor]:
        image, mask = read_image(sample.image), read_mask(sample.mask, self.label_mapping)
        if image.shape[1:] != mask.shape:
            raise UserError(
                f"{sample.image} is {_size(image)}, but its mask {sample.mask} is {_size(mask)} (height x width)."
            )
        if self.imgsz is not None:
            image, mask = _resized(image, mask, self.imgsz)
        # Three bytes of a pixel side by side: resizing is then more than twice as fast.
        return image[None].contiguous(memory_format=torch.channels_last)[0], mask

    def _augmented(self, image: Tensor, mask: Tensor, augment: Augment, position: int) -> tuple[Tensor, Tensor]:
        # The same numbers whatever is switched on, so that one setting does not change what another one draws.
        scale, down, right, flip, *light = np.random.default_rng((self.seed, AUGMENT, position)).random(8).tolist()
        factor = augment.scales[int(scale * len(augment.scales))]
        if factor != 1:
            height, width = (max(1, round(side * factor)) for side in mask.shape)
            image, mask = _resized(image, mask, (height, width))
        crop = augment.crop or (mask.shape[0], mask.shape[1])
        rows, cols = _window(mask.shape[0], crop[0], down), _window(mask.shape[1], crop[1], right)
        image, mask = image[:, rows.source, cols.source], mask[rows.source, cols.source]
        # Outside of the image: 0 after normalising, which is the mean colour, and 255 in the mask.
        padding = [cols.before, rows.before, cols.after, rows.after]
        factors = [1 + augment.jitter * (2 * draw - 1) for draw in light]
        padded = transforms.pad(self.normalise(image, factors), padding, fill=0.0)
        labels = transforms.pad(mask[None], padding, fill=IGNORE)[0].long()
        return (padded.flip(-1), labels.flip(-1)) if augment.flip and flip < 0.5 else (padded, labels)


class StepSampler(Sampler[list[int]]):
    """Positions of the training stream, one list per step: step s has s * batch to (s + 1) * batch - 1.

    `batch` is the global batch; each of `world_size` processes takes its share of every step. A run that resumes at
    `first_step` goes on with exactly the sample it would have come to.
    """

    def __init__(self, first_step: int, last_step: int, batch: int, rank: int = 0, world_size: int = 1) -> None:
        if not 0 <= first_step <= last_step:
            raise ValueError(f"steps go from {first_step} to {last_step}; expected 0 <= first <= last.")
        if batch < 1 or batch % world_size:
            raise UserError(
                f"the batch of {batch} cannot be shared by {world_size} processes. Use a multiple of {world_size}."
            )
        self.steps = range(first_step, last_step)
        self.batch = batch
        self.share = batch // world_size
        self.first = rank * self.share

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            start = step * self.batch + self.first
            yield list(range(start, start + self.share))


def split(samples: Sequence[Sample], fraction: float, seed: int) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """(samples for the weights, samples for the alphas), disjoint, drawn from `seed`; the paper takes 20 % (4.1).

    Raises UserError when a part would be empty.
    """
    count = round(fraction * len(samples))
    if not 0 < count < len(samples):
        raise UserError(
            f"{fraction:.0%} of {len(samples)} training images for the alphas are {count}, "
            f"and neither part may be empty. Give more images or another fraction."
        )
    chosen = set(random.Random(seed).sample(range(len(samples)), count))
    weights = tuple(sample for place, sample in enumerate(samples) if place not in chosen)
    return weights, tuple(sample for place, sample in enumerate(samples) if place in chosen)


@dataclass(frozen=True)
class _Window:
    """Where a crop takes its pixels from along one axis, and how many it adds before and after."""

    source: slice
    before: int = 0
    after: int = 0


def _window(side: int, crop: int, draw: float) -> _Window:
    """A crop at an equally likely place: inside a larger image, or with a smaller image anywhere inside the crop."""
    start = int(draw * (abs(side - crop) + 1))
    if side >= crop:
        return _Window(slice(start, start + crop))
    return _Window(slice(0, side), start, crop - side - start)


def _resized(image: Tensor, mask: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    if tuple(mask.shape) == tuple(size):
        return image, mask
    image = transforms.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)
    # NEAREST_EXACT has its sampling points where bilinear has them; NEAREST is half a pixel off.
    return image, transforms.resize(mask[None], list(size), InterpolationMode.NEAREST_EXACT)[0]


def _size(tensor: Tensor) -> str:
    return f"{tensor.shape[-2]}x{tensor.shape[-1]}"
