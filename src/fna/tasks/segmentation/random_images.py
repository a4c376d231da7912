"""Segmentation on random images in memory, for what costs are projected from."""

from typing import Any

import torch
from torch import Tensor

from fna.arch.arch import HW
from fna.config.config import Config
from fna.config.sections import Augment
from fna.tasks.segmentation.task import Segmentation
from fna.tasks.task import Batch


class RandomSegmentation(Segmentation):
    """Segmentation; nothing is read, so nothing is checked, and all classes weigh the same."""

    def __init__(self, config: Config, classes: int) -> None:
        self.config = config
        self.classes = tuple(map(str, range(classes)))
        self.class_weights = None
        self.imgsz = config.imgsz or config.adapt.augment.crop

    def shape(self, augment: Augment) -> HW:
        """Height and width of training images."""
        return augment.crop

    def targets(self, count: int, hw: HW) -> dict[str, Tensor]:
        """`mask` (count, H, W) of random classes."""
        return {"mask": torch.randint(len(self.classes), (count, *hw))}

    def collate(self, samples: list[Any]) -> Batch:
        """The batch that is given again and again."""
        return samples[0]
