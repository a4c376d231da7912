"""Image classification: the linear head of the seed's family, cross entropy, top-1 accuracy."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

from fna.config.config import Config
from fna.config.sections import Augment
from fna.data.reading.class_dataset import ClassificationDataset
from fna.data.samples import ClassificationData, ClassSample
from fna.errors import UserError
from fna.tasks.classification.evaluator import ClassificationEvaluator
from fna.tasks.task import Batch, CheckedTask


class Classification(CheckedTask):
    """What `fna.tasks.task.Task` asks for."""

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

    def evaluator(self) -> ClassificationEvaluator:
        """Accuracies over the validation images."""
        return ClassificationEvaluator(self.classes)
