"""Semantic segmentation: cross entropy over pixels, mean intersection over union."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from fna.config.config import Config
from fna.config.sections import Augment
from fna.data.reading import dataset
from fna.data.samples import IGNORE, Sample, SegmentationData
from fna.nn.repeatable import cross_entropy
from fna.tasks.segmentation.evaluator import SegmentationEvaluator
from fna.tasks.task import Batch, CheckedTask


class Segmentation(CheckedTask):
    """What `fna.tasks.task.Task` asks for."""

    def __init__(self, config: Config, data: SegmentationData, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(config, data, mean, std)
        self.imgsz = config.imgsz or self.commonest_size()
        self.class_weights = self._class_weights() if config.class_weights == "auto" else None

    def _class_weights(self) -> Tensor:
        """Inverse square root of each class's share of pixels, with a mean of 1 over the pixels."""
        share = torch.tensor(self.report.splits["train"].pixels[: len(self.classes)], dtype=torch.float64)
        share = share / share.sum()
        weights = torch.where(share > 0, share.clamp(min=1e-9) ** -0.5, 0)
        return (weights / (weights * share).sum()).float()

    def describe(self) -> dict[str, Any]:
        """What was trained on, for dataset.json."""
        return super().describe() | {
            "label_mapping": self.data.label_mapping,
            "train_pixels": self.report.splits["train"].pixels,
            "class_weights": None if self.class_weights is None else self.class_weights.tolist(),
        }

    def training(
        self, augment: Augment, samples: Sequence[Sample] | None = None, replica: int = 0
    ) -> dataset.SegmentationDataset:
        """Random scale, padded random crop, flip."""
        data = dataset.SegmentationDataset(
            samples or self.data.splits["train"],
            self.mean,
            self.std,
            self.data.label_mapping,
            dataset.Augment(augment.scales, augment.crop, augment.flip, augment.jitter),
            augment.resize or self.config.imgsz,
            self.random_seed(replica),
            self.cache_bytes,
        )
        return self.remembering(data, "train")

    def validation(self) -> dataset.SegmentationDataset:
        """Whole images in order."""
        data = dataset.SegmentationDataset(
            self.data.splits["val"],
            self.mean,
            self.std,
            self.data.label_mapping,
            None,
            self.config.imgsz,
            cache_bytes=self.cache_bytes,
        )
        return self.remembering(data, "val")

    def collate(self, samples: list[Any]) -> Batch:
        """Images and masks of equal size, stacked."""
        return default_collate(samples)

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy over pixels that are not ignored; logits (N, classes, H, W), masks (N, H, W)."""
        mask = batch["mask"]
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(outputs.device)  # once, so that no step waits for it
        loss = cross_entropy(outputs.float(), mask, self.class_weights, IGNORE)
        # The mean over no pixel at all would be nan. Chosen on the device, which nobody has to wait for.
        return {"cross_entropy": torch.where((mask == IGNORE).all(), torch.zeros_like(loss), loss)}

    def weight(self, outputs: Any, batch: Batch) -> Tensor:
        """Pixels that are not ignored, each by the weight of its class."""
        counted = batch["mask"][batch["mask"] != IGNORE]
        if self.class_weights is None:
            return torch.tensor(float(len(counted)), device=counted.device)
        return self.class_weights.to(counted.device)[counted].sum()

    def evaluator(self) -> SegmentationEvaluator:
        """Confusion matrix over whole images."""
        return SegmentationEvaluator(self.classes, self.config.evaluate)
