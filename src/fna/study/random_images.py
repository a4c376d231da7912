"""Tasks on random images in memory: a recipe's real shapes, heads and losses where its data are not at hand."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fna.arch.arch import HW
from fna.config import RETINANET_SHORT_SIDE, Augment, Config, resolved
from fna.errors import UserError
from fna.tasks.detection import Detection, sizing
from fna.tasks.detectors import DETECTORS
from fna.tasks.segmentation import Segmentation
from fna.tasks.task import Batch

BOXES = 8
"""Boxes of an image; COCO has 7.7 objects an image (Lin et al. 2014, section 5)."""


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


class RandomDetection(Detection):
    """Detection; nothing is read, so nothing is checked.

    Without --imgsz images for a short side have the largest size that it and the long side allow.
    """

    def __init__(self, config: Config, classes: int) -> None:
        self.config = config
        self.classes = tuple(map(str, range(classes)))
        short, long = config.detection.short_side or RETINANET_SHORT_SIDE, config.detection.long_side
        self.resize, self.imgsz = sizing(config, (min(short, long), long))
        self.detector = DETECTORS[config.head_kind.name](classes, config.detection)

    def shape(self, augment: Augment) -> HW:
        """Height and width of training images."""
        return augment.resize or self.imgsz

    def targets(self, count: int, hw: HW) -> dict[str, Tensor]:
        """`boxes` (count, BOXES, 4), a quarter to three quarters of an image wide and high; `labels` (count, BOXES)."""
        size = torch.tensor([hw[1], hw[0]])
        corners = torch.rand(count, BOXES, 2) / 2
        ends = corners + 0.25 + torch.rand(count, BOXES, 2) / 4
        labels = torch.randint(len(self.classes), (count, BOXES))
        return {"boxes": torch.cat([corners * size, ends * size], 2), "labels": labels}

    def collate(self, samples: list[Any]) -> Batch:
        """The batch that is given again and again."""
        return samples[0]


RandomTask = RandomSegmentation | RandomDetection
RANDOM_TASKS: dict[str, type[RandomSegmentation] | type[RandomDetection]] = {
    "seg": RandomSegmentation,
    "det": RandomDetection,
}


class OneBatch(Dataset[Batch]):
    """A training stream whose every item is the same whole batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __getitem__(self, position: int) -> Batch:
        return self.batch


def random_task(config: Config, classes: int, source: str) -> RandomTask:
    """The task of `config`, whose head must fit it; a UserError naming `source` for other tasks than the paper's."""
    if config.task not in RANDOM_TASKS:
        allowed = " or ".join(RANDOM_TASKS)
        raise UserError(f"{source}: task is {config.task!r}; costs are projected for the task {allowed}, so set it")
    return RANDOM_TASKS[config.task](resolved(config, config.task), classes)


def random_batch(task: RandomTask, augment: Augment, count: int) -> Batch:
    """`count` training images, as normalised ones are distributed, with their targets."""
    hw = task.shape(augment)
    return {"image": torch.randn(count, 3, *hw), **task.targets(count, hw)}
