"""How found boxes are scored image by image and drawn for a comparison."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_area, box_iou
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.arch.arch import HW
from fna.config.config import Config
from fna.data.samples import BoxSample, Colour
from fna.tasks.detection.drawing import box_colours, draw_boxes
from fna.tasks.detection.predict import DRAWN_SCORE, predict_boxes
from fna.tasks.detection.task import detector_of
from fna.tasks.score import Score
from fna.weights.trained import TrainedNetwork

LETTERS = 26
"""Pixels: the size of text on boxes."""
MATCHED_IOU = 0.5
Found = dict[str, Tensor]
"""`boxes` (n, 4) in pixels of the image, `labels` (n,) and, of predictions, `scores` (n,), best first."""


class Boxes:
    """Detection: F1 of the drawn boxes, matched to boxes of the truth of their class from IoU 0.5."""

    metric = Score("F1")

    def __init__(self, data: Any) -> None:
        self.data = data
        self.colours = box_colours(len(data.classes))

    def truth(self, sample: BoxSample) -> Found:
        boxes, labels = torch.from_numpy(sample.boxes).float(), torch.from_numpy(sample.labels)
        crowd = torch.from_numpy(sample.crowd)
        return {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd": boxes[crowd], "of": labels[crowd]}

    def predict(self, network: TrainedNetwork, config: Config, image: Tensor) -> Found:
        found = predict_boxes(network, image, *detector_of(network.info))
        return {key: value[found["scores"] >= DRAWN_SCORE] for key, value in found.items()}

    def score(self, truth: Found, found: Found) -> float | None:
        """2 TP / (2 TP + FP + FN); 1 where there is nothing to find and nothing was found. Crowds do not count."""
        right = matches(truth["boxes"], truth["labels"], found["boxes"], found["labels"])
        inside = box_shares(found["boxes"], truth["crowd"]) * (found["labels"][:, None] == truth["of"])
        free = ~right & (inside >= MATCHED_IOU).any(1)
        everything = len(truth["boxes"]) + len(found["boxes"]) - int(free.sum())
        return 2 * int(right.sum()) / everything if everything else 1.0

    def picture(self, image: Tensor, result: Found, size: HW) -> Image.Image:
        scale = torch.tensor([size[1] / image.shape[2], size[0] / image.shape[1]]).repeat(2)
        small = transforms.resize(image, list(size), InterpolationMode.BICUBIC, antialias=True)
        boxes, labels, scores = result["boxes"] * scale, result["labels"], result.get("scores")
        return draw_boxes(small, boxes, labels, scores, self.data.classes, self.colours, LETTERS)

    def legend(self, results: Sequence[Found]) -> tuple[list[str], list[Colour]]:
        occurring = sorted({c for found in results for c in found["labels"].tolist()})
        return [self.data.classes[c] for c in occurring], [self.colours[c] for c in occurring]


def matches(truth: Tensor, labels: Tensor, found: Tensor, found_labels: Tensor) -> Tensor:
    """Which of the found boxes (n, 4), best first, are right (n,): each box of the truth (m, 4) is given away once."""
    overlap = box_iou(found, truth) * (found_labels[:, None] == labels)
    right = torch.zeros(len(found), dtype=torch.bool)
    for place in range(len(found) if len(truth) else 0):
        best = int(overlap[place].argmax())
        if overlap[place, best] >= MATCHED_IOU:
            right[place] = True
            overlap[:, best] = 0
    return right


def box_shares(boxes: Tensor, others: Tensor) -> Tensor:
    """The share of each box (n, 4) that lies in each of the others (m, 4); (n, m)."""
    corner, opposite = torch.max(boxes[:, None, :2], others[:, :2]), torch.min(boxes[:, None, 2:], others[:, 2:])
    return (opposite - corner).clamp(min=0).prod(2) / box_area(boxes)[:, None]
