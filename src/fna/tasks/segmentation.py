"""Semantic segmentation: DeepLab heads, cross entropy, mean intersection over union."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from torchmetrics.classification import MulticlassConfusionMatrix

from fna.config import Augment, Config, Evaluate
from fna.data.reading import dataset
from fna.data.samples import IGNORE, Sample, SegmentationData
from fna.nn.repeatable import cross_entropy
from fna.tasks.task import Batch, CheckedTask


class Segmentation(CheckedTask):
    """The task plug-in."""

    score = "mIoU"

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

    def evaluator(self) -> "SegmentationEvaluator":
        """Confusion matrix over whole images."""
        return SegmentationEvaluator(self.classes, self.config.evaluate)


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
