"""Samples for segmentation as tensors; a training sample is a pure function of (random seed, position)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor

from fna.data.reading.images import read_mask, read_reduced
from fna.data.reading.stream import GIBIBYTE, ImageDataset, on_canvas
from fna.data.reading.windows import nearest_part, resized_part
from fna.data.samples import IGNORE, Sample
from fna.errors import UserError


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


class SegmentationDataset(ImageDataset[Entry, Sample, tuple[Tensor, Tensor]]):
    """Images and masks by position.

    With `augment`, position p of an endless stream: epoch p // n goes through the n samples in an order drawn from
    (random seed, epoch), and the augmentation is drawn from (random seed, p). Without it, sample p, unchanged.
    `imgsz` (height, width): images are first resized to it (bilinear, masks nearest).
    Decoded and resized samples are kept in memory, at most `cache_bytes` in total.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        mean: Sequence[float],
        std: Sequence[float],
        label_mapping: dict[int, int] | None = None,
        augment: Augment | None = None,
        imgsz: tuple[int, int] | None = None,
        random_seed: int = 0,
        cache_bytes: int = GIBIBYTE,
    ) -> None:
        super().__init__(samples, mean, std, random_seed, cache_bytes)
        self.label_mapping = label_mapping
        self.augment = augment
        self.imgsz = imgsz

    def __getitem__(self, position: int) -> Entry:
        if self.augment is None:
            image, mask = self.decoded(position)
            return {"image": self.normalise(image), "mask": mask.long(), "index": position}
        index = self.index(position)
        image, mask = self._augmented(*self.decoded(index), self.augment, position)
        return {"image": image, "mask": mask, "index": index}

    @property
    def reading(self) -> Hashable:
        """The size, and which classes the values of masks are."""
        return self.imgsz, None if self.label_mapping is None else tuple(sorted(self.label_mapping.items()))

    def _read(self, sample: Sample) -> tuple[Tensor, Tensor]:
        """Image uint8 (3, H, W), mask uint8 (H, W)."""
        imgsz = self.imgsz
        image, size = read_reduced(sample.image, None if imgsz is None else lambda height, width: imgsz)
        mask = read_mask(sample.mask, self.label_mapping)
        if size != tuple(mask.shape):
            raise UserError(
                f"{sample.image} is {size[0]}x{size[1]}, "
                f"but its mask {sample.mask} is {mask.shape[0]}x{mask.shape[1]} (height x width)."
            )
        if imgsz is None:
            return image, mask
        whole = slice(0, imgsz[0]), slice(0, imgsz[1])
        return resized_part(image, imgsz, *whole), nearest_part(mask, imgsz, *whole)

    def _augmented(self, image: Tensor, mask: Tensor, augment: Augment, position: int) -> tuple[Tensor, Tensor]:
        # The same numbers whatever is switched on, so that one setting does not change what another one draws.
        scale, down, right, flip, *light = self.generator(position).random(8).tolist()
        factor = augment.scales[int(scale * len(augment.scales))]
        height, width = (max(1, round(side * factor)) for side in mask.shape)
        crop = augment.crop or (height, width)
        rows, columns = _window(height, crop[0], down), _window(width, crop[1], right)
        image = resized_part(image, (height, width), rows.source, columns.source)
        mask = nearest_part(mask, (height, width), rows.source, columns.source)
        left = columns.before
        if augment.flip and flip < 0.5:
            image, mask, left = image.flip(-1), mask.flip(-1), columns.after
        # Outside of the image: 0 after normalising, which is the mean colour, and 255 in the mask.
        pixels = self.normalise(image, [1 + augment.jitter * (2 * draw - 1) for draw in light])
        labels = on_canvas(mask, crop, rows.before, left, IGNORE)
        return on_canvas(pixels, crop, rows.before, left, 0.0), labels.long()


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
