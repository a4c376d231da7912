"""Object detection: RetinaNet and SSDLite heads, COCO average precision."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fna.arch.arch import HW
from fna.arch.heads import parse_head
from fna.config import Augment, Config
from fna.config import Detection as DetectionConfig
from fna.data.reading.box_dataset import BoxAugment, DetectionDataset, Resize, collate
from fna.data.samples import BoxSample, DetectionData
from fna.errors import UserError
from fna.tasks.coco_eval import CocoEvaluation
from fna.tasks.detectors import DETECTORS, Detector, Target
from fna.tasks.task import Batch, CheckedTask
from fna.weights.checkpoint import NetworkInfo

ONE_CELL = 512
"""Pixels a side up to which SSDLite's last map, at stride 512, has a single cell."""
DIVISOR = 32
"""Batches are padded to multiples of the deepest stride."""


class Detection(CheckedTask):
    """The task plug-in."""

    score = "AP"

    def __init__(self, config: Config, data: DetectionData, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(config, data, mean, std)
        self.resize, self.imgsz = sizing(config, self.commonest_size())
        if (
            config.head_kind.name == "ssdlite"
            and max(self.imgsz) <= ONE_CELL
            and 1 in (config.adapt.batch, config.search.batch)
        ):
            raise UserError("ssdlite needs batches of at least 2 at this size: its last map has one cell, and a norm")
        self.detector: Detector = DETECTORS[config.head_kind.name](len(self.classes), config.detection)

    def counted(self) -> str:
        """Boxes of each split."""
        splits = self.report.splits.items()
        return ", ".join(f"{sum(count.boxes):,} {name}" for name, count in splits) + " boxes, "

    def summary(self) -> list[str]:
        """What was found in the data, in a few lines."""
        lines, empty = super().summary(), self.report.splits["train"].empty_images
        if empty and self.config.head_kind.name == "ssdlite":
            lines.append(f"warning: SSDLite learns nothing from the {empty} training images without boxes")
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
        return collate(samples, DIVISOR)

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Of the classes and of the boxes, as torchvision takes them."""
        return self.detector.losses(outputs, batch["image"].shape[2:], targets_of(batch))

    def weight(self, outputs: Any, batch: Batch) -> Tensor | None:
        """As the detector's losses are normalised."""
        return self.detector.weight(outputs, batch["image"].shape[2:], targets_of(batch))

    def evaluator(self) -> "DetectionEvaluator":
        """COCO's average precision over the validation images."""
        return DetectionEvaluator(self.data, self.detector)


def targets_of(batch: Batch) -> list[Target]:
    """The boxes and labels of every image, without padding."""
    counts = (batch["labels"] >= 0).sum(1).tolist()  # -1 is padding, at the end (`collate`)
    return [
        {"boxes": boxes[:count], "labels": labels[:count]}
        for boxes, labels, count in zip(batch["boxes"], batch["labels"], counts, strict=True)
    ]


class DetectionEvaluator:
    """Collects boxes in the pixels of the files, and evaluates them at the end."""

    def __init__(self, data: DetectionData, detector: Detector) -> None:
        self.coco = CocoEvaluation(data, "val")
        self.detector = detector

    def update(self, model: nn.Module, batch: Batch) -> None:
        """Detect in a batch."""
        for index, found in zip(batch["index"].tolist(), detect(self.detector, model, batch), strict=True):
            self.coco.add(index, found["boxes"], found["scores"], found["labels"])

    def counted(self) -> Any:
        """The detections by image."""
        return self.coco.detections

    def combine(self, parts: Sequence[Any]) -> None:
        """The detections of all processes, in the order of the images."""
        self.coco.merge(parts)

    def result(self) -> dict[str, Any]:
        """score (= AP), the twelve COCO numbers, and per_class (AP); what the data cannot tell is None."""
        return self.coco.result()

    def files(self) -> dict[str, Any]:
        """predictions.json in COCO's results format."""
        return {"predictions.json": self.coco.predictions()}


def detect(detector: Detector, model: nn.Module, batch: Batch) -> list[dict[str, Tensor]]:
    """boxes (n, 4) in the pixels of each file, scores (n,) and labels (n,), best first; a batch with `original`."""
    sizes = [(int(height), int(width)) for height, width in batch["size"].tolist()]
    found = detector.detect(model(batch["image"]), batch["image"].shape[2:], sizes)
    scales = (batch["original"] / batch["size"]).flip(1).repeat(1, 2)  # x, y, x, y
    return [{**image, "boxes": image["boxes"] * scale} for image, scale in zip(found, scales, strict=True)]


def detector_of(info: NetworkInfo) -> tuple[Detector, Resize]:
    """The rules of a trained detector and how its images are resized, from what is written beside its weights."""
    how = DetectionConfig.model_validate(info.detection or {})
    return DETECTORS[parse_head(info.head).name](len(info.classes), how), resizing(how, info.imgsz)


def resizing(how: DetectionConfig, imgsz: HW) -> Resize:
    """To a short side where one is given, else to `imgsz` exactly."""
    return Resize(imgsz) if how.short_side is None else Resize(short=how.short_side, long=how.long_side)


def sizing(config: Config, commonest: HW) -> tuple[Resize, HW]:
    """How images are resized, and the size at which costs are counted.

    That is --imgsz, or the commonest image's after resizing and padding. Beside a short side, --imgsz is for costs.
    """
    if config.imgsz is not None:
        return resizing(config.detection, config.imgsz), config.imgsz
    resize = resizing(config.detection, commonest)
    height, width = (-(-side // DIVISOR) * DIVISOR for side in resize.target(*commonest))
    return resize, (height, width)
