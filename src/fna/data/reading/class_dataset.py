"""Samples for classification as tensors; a training sample is a pure function of (random seed, position)."""

from collections.abc import Hashable, Sequence
from typing import TypedDict

from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transforms

from fna.data.reading.images import read_reduced
from fna.data.reading.stream import GIBIBYTE, ImageDataset, torch_random_seed
from fna.data.samples import ClassSample

CROP_PADDING = 256 / 224
"""Validation images are resized to this times the size, and their centre is judged (MobileNetV2's and most others')."""


class ClassEntry(TypedDict):
    """image: float32 (3, H, W), normalised; label: class index from 0; index: which sample it is."""

    image: Tensor
    label: int
    index: int


def covering(height: int, width: int, imgsz: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image that is resized to cover `imgsz` (H, W) 256/224 times."""
    scale = CROP_PADDING * max(side / own for side, own in zip(imgsz, (height, width), strict=True))
    return round(height * scale), round(width * scale)


def centre_view(image: Tensor, imgsz: tuple[int, int]) -> Tensor:
    """The centre (3, H, W) of an image, uint8 (3, h, w), that is resized to cover `imgsz` (H, W) 256/224 times."""
    height, width = image.shape[1:]
    short = min(covering(height, width, imgsz))
    cropped: Tensor = transforms.center_crop(transforms.resize(image, [short], antialias=True), list(imgsz))
    return cropped


class ClassificationDataset(ImageDataset[ClassEntry, ClassSample, tuple[Tensor]]):
    """Images and their classes by position, all of `imgsz` (height, width).

    In training, position p of an endless stream (see ImageDataset): a crop of 8 % to 100 % of the image and an aspect
    ratio of 3/4 to 4/3, resized (torchvision's RandomResizedCrop, after arXiv 1409.4842), and with `flip` mirrored left
    to right with probability 1/2. Else sample p: its `centre_view`.
    """

    def __init__(
        self,
        samples: Sequence[ClassSample],
        mean: Sequence[float],
        std: Sequence[float],
        imgsz: tuple[int, int],
        training: bool,
        flip: bool = True,
        random_seed: int = 0,
        cache_bytes: int = GIBIBYTE,
    ) -> None:
        super().__init__(samples, mean, std, random_seed, cache_bytes)
        self.imgsz = imgsz
        self.training = training
        self.flip = flip
        self._crop = v2.RandomResizedCrop(imgsz, antialias=True)

    def __getitem__(self, position: int) -> ClassEntry:
        index = self.index(position) if self.training else position
        (image,) = self.decoded(index)
        if self.training:
            # The same numbers whatever is switched on, so that one setting does not change what another one draws.
            generator = self.generator(position)
            flip = bool(generator.random() < 0.5) and self.flip
            with torch_random_seed(int(generator.integers(2**63))):
                image = self._crop(image)
            image = image.flip(-1) if flip else image
        return {"image": self.normalise(image), "label": self.samples[index].label, "index": index}

    @property
    def reading(self) -> Hashable:
        """The size that validation judges; training has whole images."""
        return None if self.training else self.imgsz

    def _read(self, sample: ClassSample) -> tuple[Tensor]:
        """The image, uint8 (3, h, w); in validation what is judged of it, (3, H, W)."""
        if self.training:
            return (read_reduced(sample.image)[0],)
        image, _ = read_reduced(sample.image, lambda height, width: covering(height, width, self.imgsz))
        return (centre_view(image, self.imgsz),)
