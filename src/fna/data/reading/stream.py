"""What all data sets of images share: the endless training stream, the memory of decoded images, normalisation."""

import random
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler, get_worker_info

from fna.data.reading.cache import ImageCache
from fna.errors import UserError

ORDER, AUGMENT = 0, 1  # the two random streams of a random seed
GIBIBYTE = 1 << 30

SampleT = TypeVar("SampleT")
EntryT = TypeVar("EntryT", covariant=True)
Parts = TypeVar("Parts", bound=tuple[Tensor, ...])


class ImageDataset(Dataset[EntryT], Generic[EntryT, SampleT, Parts]):
    """Samples by position; a data set for a task adds `_read` (files to tensors) and `__getitem__`.

    Position p of the training stream: epoch p // n goes through the n samples in an order drawn from (random seed,
    epoch), and all that is random in the sample is drawn from (random seed, p).
    What `_read` gives is kept in memory, at most `cache_bytes` in total: loader workers that are forked share what is
    kept, others share the limit out. Data sets of equal `reading` can `share` what is kept.
    Raises UserError when there are no samples.
    """

    def __init__(
        self,
        samples: Sequence[SampleT],
        mean: Sequence[float],
        std: Sequence[float],
        random_seed: int,
        cache_bytes: int,
    ) -> None:
        if not samples:
            raise UserError("no samples: the split is empty.")
        self.samples = tuple(samples)
        self.random_seed = random_seed
        self.cache_bytes = cache_bytes
        # (x / 255 - mean) / std as one multiplication and one addition
        self._gain = (1 / (255 * torch.tensor(std, dtype=torch.float32))).view(3, 1, 1)
        self._shift = (-torch.tensor(mean) / torch.tensor(std)).to(torch.float32).view(3, 1, 1)
        self._grey = (0.5 / torch.tensor(std)).to(torch.float32).view(3, 1, 1)
        self._order: tuple[int, np.ndarray] | None = None
        self._cache  # noqa: B018  # made here, so that processes forked from this one have it

    def __len__(self) -> int:
        return len(self.samples)

    def index(self, position: int) -> int:
        """The sample at a position of the training stream."""
        epoch, place = divmod(position, len(self.samples))
        if self._order is None or self._order[0] != epoch:
            generator = np.random.default_rng((self.random_seed, ORDER, epoch))
            self._order = (epoch, generator.permutation(len(self.samples)))
        return int(self._order[1][place])

    def generator(self, position: int) -> np.random.Generator:
        """Where everything random in the sample at a position of the training stream comes from."""
        return np.random.default_rng((self.random_seed, AUGMENT, position))

    def decoded(self, index: int) -> Parts:
        """One sample before augmentation, from memory or from its files; not to be written to."""
        number = self._numbers[index]
        kept = self._cache.get(number)
        if kept is not None:
            return kept  # type: ignore[return-value]  # what `_read` gave
        parts = self._read(self.samples[index])
        self._cache.put(number, parts)
        return parts

    def share(self, cache: ImageCache, numbers: Sequence[int]) -> None:
        """Keep samples in `cache`, each under one of `numbers`, as other data sets of equal `reading` do."""
        self._cache, self._numbers = cache, numbers

    @property
    def reading(self) -> Hashable:
        """All that `_read` depends on beside the sample."""
        raise NotImplementedError

    @cached_property
    def _cache(self) -> ImageCache:
        worker = get_worker_info()
        return ImageCache(len(self.samples), self.cache_bytes // (worker.num_workers if worker else 1))

    @cached_property
    def _numbers(self) -> Sequence[int]:
        return range(len(self.samples))

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
        # Whoever gets it fills a cache of its own.
        return {key: value for key, value in self.__dict__.items() if key not in ("_cache", "_numbers")}

    def _read(self, sample: SampleT) -> Parts:
        raise NotImplementedError


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


def split(
    samples: Sequence[SampleT], fraction: float, random_seed: int
) -> tuple[tuple[SampleT, ...], tuple[SampleT, ...]]:
    """(samples for the weights, samples for the alphas), disjoint, drawn from `random_seed`.

    The paper takes 20 % for the alphas (4.1).
    Raises UserError when a part would be empty.
    """
    count = round(fraction * len(samples))
    if not 0 < count < len(samples):
        raise UserError(
            f"{fraction:.0%} of {len(samples)} training images for the alphas are {count}, "
            f"and neither part may be empty. Give more images or another fraction."
        )
    chosen = set(random.Random(random_seed).sample(range(len(samples)), count))
    weights = tuple(sample for place, sample in enumerate(samples) if place not in chosen)
    return weights, tuple(sample for place, sample in enumerate(samples) if place in chosen)


@contextmanager
def torch_random_seed(random_seed: int) -> Iterator[None]:
    """torch's global generator for the processor starts anew from `random_seed`, and afterwards is where it was.

    `torch.manual_seed` would start the generators of all devices anew, which nobody would set back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_seed)
        yield


def on_canvas(values: Tensor, size: tuple[int, int], top: int, left: int, fill: float) -> Tensor:
    """The values (..., H, W) with their first pixel at (top, left) of `size`, and `fill` around them."""
    height, width = values.shape[-2:]
    if (height, width) == size:
        return values
    canvas = values.new_full((*values.shape[:-2], *size), fill)
    canvas[..., top : top + height, left : left + width] = values
    return canvas
