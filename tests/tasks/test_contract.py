"""The three tasks keep the contract of tasks, and the contract notices a task that does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.ops import box_iou

from drawn import draw_data
from drawn_boxes import draw_boxes
from drawn_classes import draw_classes
from fna.data.samples import IGNORE
from fna.tasks.classification.evaluator import ClassificationEvaluator
from fna.tasks.classification.task import Classification
from fna.tasks.contract import check_task
from fna.tasks.detection.task import Detection, targets_of
from fna.tasks.kinds import TASKS
from fna.tasks.score import Score
from fna.tasks.task import Batch

SURE = 50.0


def right_masks(task: Any, batch: Batch, outputs: Tensor) -> Tensor:
    """Logits of the true class of every pixel."""
    mask = batch["mask"].where(batch["mask"] != IGNORE, 0)
    return SURE * one_hot(mask, len(task.classes)).permute(0, 3, 1, 2).float()


def right_boxes(task: Detection, batch: Batch, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each box of the truth from the anchor that overlaps it most, by the inverse of SSD's decoding."""
    logits, offsets = torch.zeros_like(outputs["cls_logits"]), torch.zeros_like(outputs["bbox_regression"])
    logits[..., 0] = SURE
    anchors = task.detector.anchors(outputs, batch["image"].shape[2:])
    for image, target in enumerate(targets_of(batch)):
        for box, label in zip(target["boxes"], target["labels"], strict=True):
            place = int(box_iou(box[None], anchors[image])[0].argmax())
            logits[image, place] = 0.0
            logits[image, place, label + 1] = SURE
            coded = task.detector.rules.box_coder.encode_single(box[None], anchors[image][place : place + 1])
            offsets[image, place] = coded[0]
    return outputs | {"cls_logits": logits, "bbox_regression": offsets}


def right_classes(task: Any, batch: Batch, outputs: Tensor) -> Tensor:
    """Logits of the true class."""
    return SURE * one_hot(batch["label"], len(task.classes)).float()


SUBJECTS: dict[str, tuple[Callable[[Path], Path], Callable[..., Any], dict[str, Any]]] = {
    "seg": (draw_data, right_masks, {}),
    "det": (draw_boxes, right_boxes, {"imgsz": "64x64"}),
    "cls": (draw_classes, right_classes, {"imgsz": "48x48"}),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_task_keeps_the_contract(tmp_path: Path, name: str) -> None:
    draw, perfect, changes = SUBJECTS[name]
    check_task(TASKS[name], draw, perfect, tmp_path, **changes)


def test_every_task_is_checked() -> None:
    assert list(SUBJECTS) == list(TASKS)


def _random(real: Any) -> Any:
    def training(self: Any, *args: Any, **how: Any) -> Any:
        data = real(self, *args, **how)
        data.random_seed = int(torch.randint(1 << 30, ()))
        return data

    return training


def _one_random_seed(real: Any) -> Any:
    return lambda self, augment, samples=None, replica=0: real(self, augment, samples)


def _both(real: Any) -> Any:
    return lambda self, replica=0: (self.data.splits["train"],) * 2


def _nothing_learned(real: Any) -> Any:
    return lambda self, outputs, batch: {"loss": real(self, outputs, batch)["cross_entropy"].detach().requires_grad_()}


def _only_the_first(real: Any) -> Any:
    def combine(self: Any, parts: Any) -> None:
        self.images, self.first, self.among = parts[0]

    return combine


@pytest.mark.parametrize(
    ("owner", "method", "broken", "complaint"),
    [
        (Classification, "training", _random, "depends on more than its position"),
        (Classification, "training", _one_random_seed, "another replica has the same training samples"),
        (Classification, "splits", _both, "held out at the same time"),
        (Classification, "losses", _nothing_learned, "no gradient reaches the backbone"),
        (Classification, "weight", lambda real: lambda *given: torch.tensor(1.0), "weights of parts of a batch"),
        (ClassificationEvaluator, "combine", _only_the_first, "another result than the whole"),
    ],
)
def test_a_task_that_breaks_the_contract_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, broken: Any, complaint: str
) -> None:
    draw, perfect, changes = SUBJECTS["cls"]
    monkeypatch.setattr(owner, method, broken(getattr(owner, method)))
    with pytest.raises(AssertionError, match=complaint):
        check_task(TASKS["cls"], draw, perfect, tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"score": Score("top1", "", higher_is_better=False)}, "the perfect answer has top1 1.0"),
        ({"score": Score("top-1")}, "the result lacks top-1"),
        ({"data": "masks"}, "no task learns from classes"),
    ],
)
def test_a_row_that_is_not_true_of_its_task_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], complaint: str
) -> None:
    draw, perfect, config = SUBJECTS["cls"]
    monkeypatch.setitem(TASKS, "cls", replace(TASKS["cls"], **changes))
    with pytest.raises((AssertionError, ValueError), match=complaint):
        check_task(TASKS["cls"], draw, perfect, tmp_path, **config)


def test_a_task_without_a_row_is_not_checked(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no row 'depth'"):
        check_task(replace(TASKS["seg"], name="depth"), draw_data, right_masks, tmp_path)
