"""Metrics and whole-image prediction of the segmentation task."""

import math

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex

from fna.config.sections import Evaluate
from fna.data.samples import IGNORE
from fna.tasks.segmentation.evaluator import SegmentationEvaluator, predict_classes, window_starts


class Fixed(nn.Module):
    """Logits that are the image itself: the class of a pixel is its brightest channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images


def scored(truth: list[list[int]], predicted: list[list[int]], classes: int = 3) -> dict[str, object]:
    evaluator = SegmentationEvaluator([f"c{i}" for i in range(classes)], Evaluate())
    logits = nn.functional.one_hot(torch.tensor(predicted), classes).permute(2, 0, 1)[None].float()
    evaluator.update(Fixed(), {"image": logits, "mask": torch.tensor(truth)[None]})
    return evaluator.result()


def test_iou_of_a_case_worked_by_hand() -> None:
    # class 0: 2 right, union 3; class 1: 1 right, union 3; one pixel ignored; class 2 in neither.
    result = scored([[0, 0, 1], [1, IGNORE, 0]], [[0, 0, 1], [0, 1, 1]])
    assert result["per_class"] == {"c0": pytest.approx(2 / 4), "c1": pytest.approx(1 / 3), "c2": None}
    assert result["mIoU"] == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert result["pixel_acc"] == pytest.approx(3 / 5)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    result = scored([[0, 0]], [[0, 2]])
    assert result["per_class"] == {"c0": 0.5, "c1": None, "c2": 0.0}
    assert result["mIoU"] == pytest.approx(0.25)


def test_miou_agrees_with_torchmetrics_on_random_masks() -> None:
    generator = torch.Generator().manual_seed(3)
    truth, predicted = (torch.randint(0, 5, (40, 50), generator=generator) for _ in range(2))
    truth[:5] = IGNORE
    ours = scored(truth.tolist(), predicted.tolist(), 5)
    theirs = MulticlassJaccardIndex(5, ignore_index=IGNORE)(predicted[None], truth[None])
    assert ours["mIoU"] == pytest.approx(float(theirs), abs=1e-6)


def test_nothing_labelled_has_no_score() -> None:
    assert math.isnan(float(scored([[IGNORE]], [[0]])["mIoU"]))  # type: ignore[arg-type]


def test_the_authors_windows_of_769_step_513_and_end_at_the_border() -> None:
    assert window_starts(2048, 769, 2 / 3) == [0, 513, 1026, 1279]
    assert window_starts(1024, 769, 2 / 3) == [0, 255]
    assert window_starts(100, 769, 2 / 3) == [0] or window_starts(100, 100, 2 / 3) == [0]


@pytest.mark.parametrize("window", [(8, 8), (7, 20), (100, 100)])
def test_sliding_windows_of_a_pixelwise_model_predict_what_the_whole_image_gives(window: tuple[int, int]) -> None:
    images = torch.randn(2, 4, 23, 31)
    whole = predict_classes(Fixed(), images, Evaluate())
    assert torch.equal(predict_classes(Fixed(), images, Evaluate(window=window)), whole)


def test_overlapping_windows_sum_their_probabilities() -> None:
    class Confident(nn.Module):
        """The first window is sure of class 1 everywhere, later ones lean towards class 0."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            logits = torch.zeros(1, 2, *images.shape[2:])
            logits[:, 1 if self.calls == 1 else 0] = 5.0 if self.calls == 1 else 0.5
            return logits

    predicted = predict_classes(Confident(), torch.zeros(1, 3, 1, 12), Evaluate(window=(1, 8), window_stride=0.5))
    assert predicted[0, 0].tolist() == [1] * 8 + [0] * 4
