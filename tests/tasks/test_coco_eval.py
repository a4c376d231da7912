"""COCO evaluation: the referee is pycocotools, on the same predictions."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fna.data.samples import BoxSample, DetectionData
from fna.tasks.detection.coco_eval import METRICS, CocoEvaluation

CLASSES, CATEGORIES = ("cat", "dog", "cow", "ant"), (17, 3, 90, 5)  # numbers that are not in order


def sample(image_id: int, boxes: Any, labels: Any, crowd: Any = None, areas: Any = None) -> BoxSample:
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    return BoxSample(
        name=f"image{image_id}",
        image=Path(f"image{image_id}.jpg"),
        size=(480, 640),
        boxes=corners,
        labels=np.asarray(labels, np.int64).reshape(-1),
        crowd=np.zeros(len(corners), bool) if crowd is None else np.asarray(crowd, bool),
        areas=sides.prod(1) if areas is None else np.asarray(areas, np.float64),
        image_id=image_id,
    )


def data(
    samples: Sequence[BoxSample], classes: Sequence[str] = CLASSES, categories: Sequence[int] = CATEGORIES
) -> DetectionData:
    return DetectionData(Path(), "coco", tuple(classes), tuple(categories), {"val": tuple(samples)})


def refereed(annotations: dict[str, Any], predictions: list[dict[str, Any]]) -> COCOeval:
    """pycocotools on annotations and on what predictions look like when they come back from a file."""
    truth = COCO()
    truth.dataset = annotations
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(predictions))), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def annotations_of(found: DetectionData) -> dict[str, Any]:
    """Written anew here, from the definition of the format."""
    rows = [
        {
            "image_id": one.image_id,
            "category_id": found.category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(crowd),
        }
        for one in found.splits["val"]
        for (x1, y1, x2, y2), label, crowd, area in zip(one.boxes, one.labels, one.crowd, one.areas, strict=True)
    ]
    return {
        "images": [{"id": one.image_id} for one in found.splits["val"]],
        "annotations": [row | {"id": number} for number, row in enumerate(rows, 1)],
        "categories": [{"id": c, "name": n} for n, c in zip(found.classes, found.category_ids, strict=True)],
    }


def agree(result: dict[str, Any], referee: COCOeval, found: DetectionData) -> None:
    for name, theirs in zip(METRICS, referee.stats, strict=True):
        assert result[name] == (None if theirs == -1 else pytest.approx(theirs, abs=1e-12)), name
    for name, category in zip(found.classes, found.category_ids, strict=True):
        theirs = referee.eval["precision"][:, :, referee.params.catIds.index(category), 0, -1]
        assert result["per_class"][name] == (None if (theirs == -1).all() else pytest.approx(theirs.mean(), abs=1e-12))
    assert result["score"] == result["AP"]


@pytest.fixture
def crowded() -> tuple[DetectionData, CocoEvaluation]:
    """60 images in no order, some empty, some with crowds, many boxes of all sizes; the last class never occurs.

    Predictions are moved truth, some of another class, and much that is wrong; many scores are equal.
    """
    random = np.random.default_rng(0)

    def boxes(count: int) -> np.ndarray:
        corner, side = random.uniform(0, 400, (count, 2)), np.exp(random.uniform(1.5, 5.5, (count, 2)))
        return np.concatenate([corner, corner + side], 1)

    samples = []
    for image_id in random.permutation(60) + 1000:
        count = int(random.integers(0, 25)) if image_id % 6 else 0
        corners = boxes(count)
        sides = (corners[:, 2:] - corners[:, :2]).prod(1)
        crowd, areas = random.random(count) < 0.1, sides * random.uniform(0.5, 1, count)
        samples.append(sample(int(image_id), corners, random.integers(0, 3, count), crowd, areas))
    found = data(samples)
    evaluation = CocoEvaluation(found)
    for place, one in enumerate(samples):
        if place % 10 == 3:
            continue  # nothing was said of this image
        moved = np.repeat(one.boxes, 2, 0) + random.normal(0, 4, (2 * len(one.boxes), 4))
        labels = np.repeat(one.labels, 2)
        labels = np.where(random.random(len(labels)) < 0.8, labels, random.integers(0, 4, len(labels)))
        wrong = boxes(130 if place % 7 == 0 else 12)  # more than the hundred that count
        better = np.repeat([0.5, 0.0], [len(moved), len(wrong)])
        scores = (better + random.random(len(better)) / 2).round(int(random.integers(1, 8)))
        evaluation.add(
            place if place % 2 else one,
            torch.from_numpy(np.concatenate([moved, wrong])).float(),
            torch.from_numpy(scores).float(),
            torch.from_numpy(np.concatenate([labels, random.integers(0, 4, len(wrong))])),
        )
    return found, evaluation


def test_all_numbers_are_those_of_pycocotools(crowded: tuple[DetectionData, CocoEvaluation]) -> None:
    found, evaluation = crowded
    result = evaluation.result()
    agree(result, refereed(annotations_of(found), evaluation.predictions()), found)
    assert 0.05 < result["AP"] < 0.95
    assert len({round(result[name], 9) for name in METRICS}) == 12
    assert result["per_class"]["ant"] is None
    assert evaluation.result() == result


def test_what_several_processes_have_found_is_what_one_has(crowded: tuple[DetectionData, CocoEvaluation]) -> None:
    found, whole = crowded
    ids = [sample.image_id for sample in found.splits["val"]]
    parts = []
    for rank in range(3):
        own = set(ids[rank::3])
        parts.append({image: detections for image, detections in whole.detections.items() if image in own})
    evaluation = CocoEvaluation(found)
    evaluation.merge(parts)
    assert evaluation.predictions() == whole.predictions()
    assert evaluation.result() == whole.result()


def test_on_real_annotations_all_numbers_are_those_of_pycocotools(shared: Path) -> None:
    truth = json.loads((shared / "data/animals/annotations/instances_val.json").read_text(encoding="utf-8"))
    categories = [category["id"] for category in truth["categories"]]
    samples = []
    for image in truth["images"]:
        rows = [row for row in truth["annotations"] if row["image_id"] == image["id"]]
        corners = np.array([row["bbox"] for row in rows]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        labels = [categories.index(row["category_id"]) for row in rows]
        samples.append(sample(image["id"], corners, labels, areas=[row["area"] for row in rows]))
    found = data(samples, [category["name"] for category in truth["categories"]], categories)
    evaluation = CocoEvaluation(found)
    random = np.random.default_rng(1)
    for place, one in enumerate(samples):
        moved = one.boxes + random.normal(0, 12, one.boxes.shape)
        evaluation.add(place, moved, random.random(len(moved)), one.labels)
    result = evaluation.result()
    agree(result, refereed(truth, evaluation.predictions()), found)
    assert 0.3 < result["AP"] < 0.9


def test_a_case_worked_by_hand() -> None:
    """Two cats, one found exactly and one not; the found one comes second to a wrong box. No dog, a cow not found.

    The precision is 1/2 up to the recall 1/2, which are 51 of the 101 recalls 0, 0.01 ... 1, and 0 beyond.
    """
    evaluation = CocoEvaluation(data([sample(1, [[0, 0, 100, 100], [200, 200, 300, 300], [0, 0, 20, 20]], [0, 0, 2])]))
    evaluation.add(0, [[400, 400, 500, 500], [0, 0, 100, 100]], [0.9, 0.8], [0, 0])
    result = evaluation.result()
    cat = 0.5 * 51 / 101
    assert result["per_class"] == {"cat": pytest.approx(cat), "dog": None, "cow": 0.0, "ant": None}
    assert result["AP"] == result["AP50"] == result["score"] == pytest.approx(cat / 2)
    assert (result["AP_small"], result["AP_medium"], result["AP_large"]) == (0.0, None, pytest.approx(cat))
    assert (result["AR1"], result["AR10"]) == (0.0, pytest.approx(0.25))


def test_predictions_are_in_coco_format_and_rounded() -> None:
    evaluation = CocoEvaluation(data([sample(7, [], []), sample(12, [], [])]))
    boxes = torch.tensor([[1.23456, 2.0, 11.98765, 7.5], [0, 0, 1 / 3, 2 / 3]])
    evaluation.add(1, boxes, torch.tensor([0.9, 1 / 3]), torch.tensor([0, 3]))
    evaluation.add(0, torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    assert json.dumps(evaluation.predictions()) == json.dumps(
        [
            {"image_id": 12, "category_id": 17, "bbox": [1.235, 2.0, 10.753, 5.5], "score": 0.9},
            {"image_id": 12, "category_id": 5, "bbox": [0.0, 0.0, 0.333, 0.667], "score": 0.33333},
        ]
    )


@pytest.mark.parametrize("added", [True, False])
def test_without_predictions_everything_is_zero(added: bool) -> None:
    evaluation = CocoEvaluation(data([sample(1, [[0, 0, 10, 10], [0, 0, 50, 50], [0, 0, 200, 200]], [0, 0, 1])]))
    if added:
        evaluation.add(0, torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    result = evaluation.result()
    assert {result[name] for name in ("score", *METRICS)} == {0.0}
    assert result["per_class"] == {"cat": 0.0, "dog": 0.0, "cow": None, "ant": None}
    assert evaluation.predictions() == []


def test_without_anything_to_find_nothing_has_a_number_and_the_score_is_zero() -> None:
    evaluation = CocoEvaluation(data([sample(1, [], [])]))
    evaluation.add(0, [[0, 0, 10, 10]], [0.5], [0])
    result = evaluation.result()
    assert {result[name] for name in METRICS} == {None}
    assert (result["score"], set(result["per_class"].values())) == (0.0, {None})


def test_nothing_is_printed_or_logged(
    crowded: tuple[DetectionData, CocoEvaluation], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        crowded[1].result()
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []


def test_what_cannot_be_evaluated_is_refused() -> None:
    evaluation = CocoEvaluation(data([sample(1, [], []), sample(2, [], [])]))
    for labels in ([-1], [4]):
        with pytest.raises(ValueError, match="image1: labels .* for 4 classes"):
            evaluation.add(0, [[0, 0, 1, 1]], [0.5], labels)
    with pytest.raises(ValueError, match=r"image1: 1 boxes, scores \(2,\), labels \(1,\)"):
        evaluation.add(0, [[0, 0, 1, 1]], [0.5, 0.5], [0])
    evaluation.add(0, [[0, 0, 1, 1]], [0.5], [0])
    with pytest.raises(ValueError, match="image1: the detections in this image were added before"):
        evaluation.add(evaluation.samples[0], [[0, 0, 1, 1]], [0.5], [0])
