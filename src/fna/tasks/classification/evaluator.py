"""Accuracies over whole validation sets."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fna.tasks.task import Batch

TOP = 5
"""The second accuracy counts an image as right where its class is among so many."""


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
