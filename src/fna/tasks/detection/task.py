"""Object detection: losses of a detector, COCO average precision."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from fna.arch.arch import HW
from fna.arch.design import Design
from fna.arch.heads import DetectorKind
from fna.arch.plain import AnyArch
from fna.config.config import Config
from fna.config.sections import Augment
from fna.config.sections import Detection as DetectionConfig
from fna.data.reading.box_dataset import BoxAugment, DetectionDataset, Resize, collate
from fna.data.samples import BoxSample, DetectionData
from fna.errors import UserError
from fna.tasks.detection.detectors import Detector, SSDDetector, Target, detector_for
from fna.tasks.detection.evaluator import DetectionEvaluator
from fna.tasks.task import Batch, CheckedTask
from fna.weights.checkpoint import NetworkInfo

DIVISOR = 32
"""Batches of images of several sizes are padded to multiples of the deepest stride."""


class Detection(CheckedTask):
    """What `fna.tasks.task.Task` asks for."""

    def __init__(self, config: Config, data: DetectionData, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(config, data, mean, std)
        self.resize, self.imgsz = sizing(config, self.commonest_size())
        kind = config.head_kind
        assert isinstance(kind, DetectorKind)
        if max(self.imgsz) <= kind.coarsest_norm and 1 in (config.adapt.batch, config.search.batch):
            raise UserError(
                f"{kind.name} needs batches of at least 2 at this size: its last map has one cell, and a norm"
            )
        self.detector = detector_for(kind, len(self.classes), config.detection)

    @staticmethod
    def one_shape(config: Config, augment: Augment) -> bool:
        """Not where images keep their aspect ratio."""
        return config.detection.short_side is None or augment.resize is not None

    def settings(self) -> dict[str, Any]:
        """How images are sized, and how outputs become boxes."""
        return self.config.detection.model_dump(mode="json")

    def design(self, seed: str, arch: AnyArch) -> Design:
        """The configured head on the backbone; images for a short side keep their proportions."""
        return replace(super().design(seed, arch), resize=self.resize.exact is not None)

    def counted(self) -> str:
        """Boxes of each split."""
        splits = self.report.splits.items()
        return ", ".join(f"{sum(count.boxes):,} {name}" for name, count in splits) + " boxes, "

    def summary(self) -> list[str]:
        """What was found in the data, in a few lines."""
        lines, empty = super().summary(), self.report.splits["train"].empty_images
        if empty and isinstance(self.detector, SSDDetector):
            lines.append(
                f"warning: {self.config.head_kind.name} learns nothing from the {empty} training images without boxes"
            )
        return lines

    def describe(self) -> dict[str, Any]:
        """What was trained on, for dataset.json."""
        return super().describe() | {
            "category_ids": self.data.category_ids,
            "image_ids": {name: [sample.image_id for sample in samples] for name, samples in self.data.splits.items()},
            "train_boxes": self.report.splits["train"].boxes,
        }

    def training(
        self, augment: Augment, samples: Sequence[BoxSample] | None = None, replica: int = 0
    ) -> DetectionDataset:
        """Flip, or all of SSD's augmentation, then resizing."""
        data = DetectionDataset(
            samples or self.data.splits["train"],
            self.mean,
            self.std,
            self.resize if augment.resize is None else Resize(augment.resize),
            BoxAugment(augment.flip, augment.ssd),
            self.random_seed(replica),
            self.cache_bytes,
        )
        return self.remembering(data, "train")

    def validation(self) -> DetectionDataset:
        """Whole images in order."""
        val = self.data.splits["val"]
        data = DetectionDataset(val, self.mean, self.std, self.resize, None, cache_bytes=self.cache_bytes)
        return self.remembering(data, "val")

    def collate(self, samples: list[Any]) -> Batch:
        """Images padded to one size, boxes to one number."""
        return collate(samples, divisor(self.resize))

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Of the classes and of the boxes, as torchvision takes them."""
        return self.detector.losses(outputs, batch["image"].shape[2:], targets_of(batch))

    def weight(self, outputs: Any, batch: Batch) -> Tensor | None:
        """As the detector's losses are normalised."""
        return self.detector.weight(outputs, batch["image"].shape[2:], targets_of(batch))

    def evaluator(self) -> DetectionEvaluator:
        """COCO's average precision over the validation images."""
        return DetectionEvaluator(self.data, self.detector)


def targets_of(batch: Batch) -> list[Target]:
    """The boxes and labels of every image, without padding."""
    counts = (batch["labels"] >= 0).sum(1).tolist()  # -1 is padding, at the end (`collate`)
    return [
        {"boxes": boxes[:count], "labels": labels[:count]}
        for boxes, labels, count in zip(batch["boxes"], batch["labels"], counts, strict=True)
    ]


def detector_of(info: NetworkInfo) -> tuple[Detector, Resize]:
    """The rules of a trained detector and how its images are resized, from what is written beside its weights."""
    how, design = DetectionConfig.model_validate(info.settings or {}), info.design
    return detector_for(design.head, len(info.classes), how), resizing(how, design.imgsz)


def resizing(how: DetectionConfig, imgsz: HW) -> Resize:
    """To a short side where one is given, else to `imgsz` exactly."""
    return Resize(imgsz) if how.short_side is None else Resize(short=how.short_side, long=how.long_side)


def divisor(resize: Resize) -> int:
    """What the sides of a batch are padded to multiples of: images of exactly one size need no padding."""
    return 1 if resize.exact is not None else DIVISOR


def sizing(config: Config, commonest: HW) -> tuple[Resize, HW]:
    """How images are resized, and the size at which costs are counted.

    That is --imgsz, or the commonest image's after resizing and padding. Beside a short side, --imgsz is for costs.
    """
    if config.imgsz is not None:
        return resizing(config.detection, config.imgsz), config.imgsz
    resize = resizing(config.detection, commonest)
    height, width = (-(-side // DIVISOR) * DIVISOR for side in resize.target(*commonest))
    return resize, (height, width)
