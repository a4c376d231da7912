"""COCO's average precision of the boxes that a detector finds."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fna.data.samples import DetectionData
from fna.tasks.detection.coco_eval import CocoEvaluation
from fna.tasks.detection.detectors import Detector
from fna.tasks.task import Batch


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
