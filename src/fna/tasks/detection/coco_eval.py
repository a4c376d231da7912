"""Average precision and recall of detections as COCO defines them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]
from numpy.typing import NDArray
from torch import Tensor

from fna.data.samples import BoxSample, DetectionData

METRICS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
"""COCO's twelve numbers in its own order."""
BOX_DECIMALS = 3
"""A thousandth of a pixel."""
SCORE_DECIMALS = 5

Numbers = Tensor | NDArray[Any] | Sequence[Any]


class CocoEvaluation:
    """Collects the detections of one split and compares them with its annotations.

    What is evaluated is what `predictions` writes, with the same rounding, so a file of it gives the same numbers in
    every implementation of COCO's evaluation. Images that were not added have no detections.
    """

    def __init__(self, data: DetectionData, split: str = "val") -> None:
        self.classes = data.classes
        self.category_ids = data.category_ids
        self.samples = data.splits[split]
        self.detections: dict[int, _Detections] = {}
        """By image id."""

    def add(self, image: int | BoxSample, boxes: Numbers, scores: Numbers, labels: Numbers) -> None:
        """The detections in one image, given as its place in the split or as the sample itself.

        boxes (n, 4): x1, y1, x2, y2 in pixels of the upright image in the file; scores (n,); labels (n,), from 0.
        Raises ValueError for other shapes or labels, and for an image that was added before.
        """
        sample = image if isinstance(image, BoxSample) else self.samples[image]
        if sample.image_id in self.detections:
            raise ValueError(f"{sample.name}: the detections in this image were added before.")
        corners, values, classes = _array(boxes).reshape(-1, 4), _array(scores), _array(labels).astype(np.int64)
        if not (len(corners),) == values.shape == classes.shape:
            raise ValueError(f"{sample.name}: {len(corners)} boxes, scores {values.shape}, labels {classes.shape}.")
        if len(classes) and not 0 <= classes.min() <= classes.max() < len(self.classes):
            raise ValueError(
                f"{sample.name}: labels {classes.min()} to {classes.max()} for {len(self.classes)} classes."
            )
        self.detections[sample.image_id] = _Detections(
            _x_y_width_height(corners).round(BOX_DECIMALS), values.round(SCORE_DECIMALS), classes
        )

    def merge(self, parts: Sequence["dict[int, _Detections]"]) -> None:
        """Go on with the detections of several evaluations of this split, each of other images."""
        found = {number: detections for part in parts for number, detections in part.items()}
        ids = [sample.image_id for sample in self.samples]
        self.detections = {number: found[number] for number in ids if number in found}

    def predictions(self) -> list[dict[str, Any]]:
        """All detections in COCO's format for results: image_id, category_id, bbox (x, y, width, height), score."""
        return [
            {"image_id": image_id, "category_id": self.category_ids[label], "bbox": box, "score": score}
            for image_id, found in self.detections.items()
            for box, score, label in zip(
                found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
            )
        ]

    def result(self) -> dict[str, Any]:
        """The twelve numbers (METRICS) as fractions, `score` (AP, or 0) and `per_class` (AP by class name).

        None where the annotations have nothing to find: no box of that size, or of that class.
        """
        truth = COCO({**self._header(), "annotations": self._truth()}, print_function=_silent)
        found = COCO({**self._header(), "annotations": self._found()}, print_function=_silent)
        evaluation = COCOeval_faster(truth, found, "bbox", print_function=_silent)
        evaluation.run()
        numbers = dict(zip(METRICS, map(_number, evaluation.stats), strict=True))
        # (overlaps, recalls, categories by number, sizes, most detections): all sizes, most detections
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        place = {category: column for column, category in enumerate(sorted(self.category_ids))}
        per_class = {
            name: _number(precision[:, :, place[category]].mean())
            for name, category in zip(self.classes, self.category_ids, strict=True)
        }
        return {"score": numbers["AP"] or 0.0, **numbers, "per_class": per_class}

    def _header(self) -> dict[str, Any]:
        return {
            "images": [{"id": sample.image_id} for sample in self.samples],
            "categories": [
                {"id": number, "name": name} for number, name in zip(self.category_ids, self.classes, strict=True)
            ],
        }

    def _truth(self) -> list[dict[str, Any]]:
        annotations: list[dict[str, Any]] = []
        for sample in self.samples:
            columns = (_x_y_width_height(sample.boxes), sample.labels, sample.crowd, sample.areas)
            for box, label, crowd, area in zip(*(column.tolist() for column in columns), strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,  # 0 means "not matched" in the evaluation
                        "image_id": sample.image_id,
                        "category_id": self.category_ids[label],
                        "bbox": box,
                        "area": area,
                        "iscrowd": int(crowd),
                    }
                )
        return annotations

    def _found(self) -> list[dict[str, Any]]:
        return [
            {**prediction, "id": number, "area": prediction["bbox"][2] * prediction["bbox"][3], "iscrowd": 0}
            for number, prediction in enumerate(self.predictions(), 1)
        ]


@dataclass(frozen=True, eq=False)
class _Detections:
    """In one image, rounded: boxes (n, 4) x, y, width, height; scores (n,); labels (n,)."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


def _array(values: Numbers) -> NDArray[np.float64]:
    array: NDArray[np.float64] = torch.as_tensor(values).detach().to("cpu", torch.float64).numpy()
    return array


def _x_y_width_height(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """x1, y1, x2, y2 -> x1, y1, width, height; (n, 4)."""
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)


def _number(value: float) -> float | None:
    """COCO's -1 means that there was nothing to find."""
    return None if value == -1 else float(value)


def _silent(*_: object) -> None:
    """In place of the library's printing."""
