"""Image classification: the linear head of the seed's family, cross entropy, top-1 accuracy."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import default_collate

from fna.config import Augment, Config
from fna.data.reading.class_dataset import ClassificationDataset
from fna.data.samples import ClassificationData, ClassSample
from fna.errors import UserError
from fna.tasks.task import Batch, CheckedTask

TOP = 5
"""The second accuracy counts an image as right where its class is among so many."""


class Classification(CheckedTask):
    """The task plug-in."""

    score = "top1"

    def __init__(self, config: Config, data: ClassificationData, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(config, data, mean, std)
        assert config.imgsz is not None  # resolved
        self.imgsz = config.imgsz
        if max(self.imgsz) <= config.output_stride and 1 in (config.adapt.batch, config.search.batch):
            raise UserError("batches must be of at least 2 at this size: the last map has one cell, and a norm")

    def describe(self) -> dict[str, Any]:
        """What was trained on, for dataset.json."""
        return super().describe() | {"train_images": self.report.splits["train"].class_images}

    def training(
        self, augment: Augment, samples: Sequence[ClassSample] | None = None, replica: int = 0
    ) -> ClassificationDataset:
        """Random resized crop, flip."""
        data = ClassificationDataset(
            samples or self.data.splits["train"],
            self.mean,
            self.std,
            augment.resize or self.imgsz,
            True,
            augment.flip,
            self.random_seed(replica),
            self.cache_bytes,
        )
        return self.remembering(data, "train")

    def validation(self) -> ClassificationDataset:
        """The centres of the images in order."""
        val = self.data.splits["val"]
        data = ClassificationDataset(val, self.mean, self.std, self.imgsz, False, cache_bytes=self.cache_bytes)
        return self.remembering(data, "val")

    def collate(self, samples: list[Any]) -> Batch:
        """Images of one size, and labels."""
        return default_collate(samples)

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy; logits (N, classes), labels (N,)."""
        return {"cross_entropy": F.cross_entropy(outputs.float(), batch["label"])}

    def weight(self, outputs: Any, batch: Batch) -> None:
        """None: the loss is a mean over images."""

    def evaluator(self) -> "ClassificationEvaluator":
        """Accuracies over the validation images."""
        return ClassificationEvaluator(self.classes)


class ClassificationEvaluator:
    """Counts right answers by class."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.images, self.first, self.among = (torch.zeros(len(classes), dtype=torch.int64) for _ in range(3))

    @torch.no_grad()
    def update(self, model: nn.Module, batch: Batch) -> None:
        """Predict a batch and count."""
        labels = batch["label"].cpu()
        ranked = model(batch["image"]).float().topk(min(TOP, len(self.classes))).indices.cpu() == labels[:, None]
        self.images += torch.bincount(labels, minlength=len(self.classes))
        self.first += torch.bincount(labels[ranked[:, 0]], minlength=len(self.classes))
        self.among += torch.bincount(labels[ranked.any(1)], minlength=len(self.classes))

    def counted(self) -> Tensor:
        """Images, right answers, and right ones among the first five, by class; (3, classes)."""
        return torch.stack([self.images, self.first, self.among])

    def combine(self, parts: Sequence[Tensor]) -> None:
        """The sums of the counts."""
        self.images, self.first, self.among = torch.stack(list(parts)).sum(0)

    def result(self) -> dict[str, Any]:
        """score (= top1), top1, top5 where there are more than 5 classes, per_class (top1; None without an image)."""
        total = int(self.images.sum())
        top1 = int(self.first.sum()) / total
        counted = zip(self.classes, self.first.tolist(), self.images.tolist(), strict=True)
        per_class = {name: right / images if images else None for name, right, images in counted}
        top5 = {"top5": int(self.among.sum()) / total} if len(self.classes) > TOP else {}
        return {"score": top1, "top1": top1, **top5, "per_class": per_class}

    def files(self) -> dict[str, Any]:
        """Nothing; `fna predict` writes the classes of images."""
        return {}
