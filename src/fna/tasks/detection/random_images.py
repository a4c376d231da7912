"""Detection on random images in memory, for what costs are projected from."""

from typing import Any

import torch
from torch import Tensor

from fna.arch.arch import HW
from fna.config.config import Config
from fna.config.resolved import RETINANET_SHORT_SIDE
from fna.config.sections import Augment
from fna.tasks.detection.detectors import detector_for
from fna.tasks.detection.task import Detection, sizing
from fna.tasks.task import Batch

BOXES = 8
"""Boxes of an image; COCO has 7.7 objects an image (Lin et al. 2014, section 5)."""


class RandomDetection(Detection):
    """Detection; nothing is read, so nothing is checked.

    Without --imgsz images for a short side have the largest size that it and the long side allow.
    """

    def __init__(self, config: Config, classes: int) -> None:
        self.config = config
        self.classes = tuple(map(str, range(classes)))
        short, long = config.detection.short_side or RETINANET_SHORT_SIDE, config.detection.long_side
        self.resize, self.imgsz = sizing(config, (min(short, long), long))
        self.detector = detector_for(config.head_kind, classes, config.detection)

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
