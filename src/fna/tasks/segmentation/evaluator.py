"""Intersection over union of whole images, at once or by sliding windows."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from fna.config.sections import Evaluate
from fna.data.samples import IGNORE
from fna.tasks.task import Batch


class SegmentationEvaluator:
    """mIoU, IoU per class and pixel accuracy from one confusion matrix."""

    def __init__(self, classes: Sequence[str], how: Evaluate) -> None:
        self.classes = tuple(classes)
        self.how = how
        # Processes are put together by `combine`; by itself the library would do it once more.
        self.matrix = MulticlassConfusionMatrix(len(classes), ignore_index=IGNORE, sync_on_compute=False)

    def update(self, model: nn.Module, batch: Batch) -> None:
        """Predict whole images and count pixels."""
        self.matrix.to(batch["image"].device).update(predict_classes(model, batch["image"], self.how), batch["mask"])

    def counted(self) -> Tensor:
        """The confusion matrix (classes, classes)."""
        return self.matrix.confmat.cpu()

    def combine(self, parts: Sequence[Tensor]) -> None:
        """The sum of the matrices."""
        self.matrix.confmat = torch.stack(list(parts)).sum(0)

    def result(self) -> dict[str, Any]:
        """score (= mIoU), mIoU, pixel_acc, per_class (IoU); a class in neither truth nor prediction is None."""
        matrix = self.matrix.compute().double()
        right, union = matrix.diag(), matrix.sum(0) + matrix.sum(1) - matrix.diag()
        iou = {name: (float(right[c] / union[c]) if union[c] > 0 else None) for c, name in enumerate(self.classes)}
        present = [value for value in iou.values() if value is not None]
        miou = sum(present) / len(present) if present else math.nan
        accuracy = float(right.sum() / matrix.sum()) if matrix.sum() > 0 else math.nan
        counts = matrix.long().tolist()
        return {"score": miou, "mIoU": miou, "pixel_acc": accuracy, "per_class": iou, "confusion": counts}

    def files(self) -> dict[str, Any]:
        """Nothing: masks of all images would fill the run folder; `fna predict` makes them."""
        return {}


def predict_classes(model: nn.Module, images: Tensor, how: Evaluate) -> Tensor:
    """Class index of every pixel, (N, 3, H, W) -> (N, H, W): the whole image at once, or sliding windows.

    Windows overlap and their class probabilities are summed (the authors evaluate with 769 and a step of 2/3).
    """
    if how.window is None:
        return model(images).argmax(1)
    height, width = images.shape[2:]
    window = (min(how.window[0], height), min(how.window[1], width))
    total: Tensor | None = None
    for top in window_starts(height, window[0], how.window_stride):
        for left in window_starts(width, window[1], how.window_stride):
            rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
            probabilities = model(images[:, :, rows, columns]).float().softmax(1)
            if total is None:
                total = probabilities.new_zeros(len(images), probabilities.shape[1], height, width)
            total[:, :, rows, columns] += probabilities
    assert total is not None
    return total.argmax(1)


def window_starts(size: int, window: int, stride: float) -> list[int]:
    """First pixels of windows that cover `size`; the last one ends at the border."""
    step = max(1, math.ceil(window * stride))
    return sorted({min(start, size - window) for start in range(0, size - window + step, step)})
