"""The figure of predictions: images are chosen by what both networks say of them, and both scores are shown."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from drawn import draw_data
from drawn_boxes import draw_boxes
from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.config.files import from_data, to_yaml
from fna.data.layouts.opening import open_data
from fna.errors import UserError
from fna.report import predictions
from fna.report.predictions import Scored, choose, figure_predictions
from fna.report.sheet import CAPTION, GAP, TITLE, fitted
from fna.tasks.detection import view as box_view
from fna.tasks.detection.view import Boxes, matches
from fna.tasks.drawing import class_colours
from fna.tasks.segmentation import view as mask_view
from fna.tasks.segmentation.view import Masks
from fna.weights.checkpoint import save_network
from networks import ARCH, info, trained

OTHER = Arch(ARCH.stem, ARCH.stages[:-1], ARCH.last)
DETECTOR = {"score_threshold": 0.02, "nms_threshold": 0.6, "detections": 200}


def masks(folder: Path) -> Path:
    """Five validation images of 10 x 10, grey by number: left half class 0, right half class 1; nothing in the last."""
    for kind in ("images", "masks"):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True)
    for n in range(5):
        mask = np.repeat(np.repeat(np.uint8([[0, 1]]), 5, 1), 10, 0) if n < 4 else np.full((10, 10), 255, np.uint8)
        for split in ("train", "val"):
            Image.fromarray(np.full((10, 10, 3), 10 * n, np.uint8)).save(folder / f"images/{split}/{n}.png")
            Image.fromarray(mask).save(folder / f"masks/{split}/{n}.png")
    (folder / "classes.txt").write_text("left\nright\nother\n")
    return folder


def design_json(arch: Arch) -> str:
    """A network on a backbone."""
    return Design("seed", arch, parse_head("fpn"), 32, (48, 64)).to_json()


def run_of(folder: Path, data: Path, task: str = "seg", trainings: tuple[str, ...] = ("seed", "train")) -> Path:
    """A run folder whose trainings are there but have no weights."""
    for training in trainings:
        (folder / training).mkdir(parents=True)
        (folder / training / "best.safetensors").touch()
        (folder / training / "design.json").write_text(design_json(ARCH if training == "seed" else OTHER))
    (folder / "seed-design.json").write_text(design_json(ARCH))
    (folder / "config.yaml").write_text(to_yaml(from_data({"task": task, "weights": "seed.safetensors"})))
    (folder / "run.json").write_text(json.dumps({"verb": "adapt", "data": str(data), "arch": None}))
    names = [sample.name for sample in open_data(data).splits["val"]]
    (folder / "dataset.json").write_text(json.dumps({"splits": {"val": names}}))
    return folder


def pixels_of(file: Path) -> np.ndarray:
    """uint8 (H, W, 3)."""
    with Image.open(file) as picture:
        return np.array(picture)


def pretend(patch: pytest.MonkeyPatch, about: Any, name: str, predict: Callable[[str, Tensor], Any]) -> None:
    """Networks that are only names (of their trainings), and what they predict of an image."""

    def load(folder: Path, training: str) -> Any:
        network = SimpleNamespace(info=about, training=training)
        network.to = lambda device: network
        return network

    patch.setattr(predictions, "load", load)
    view = mask_view if name == "predict_mask" else box_view
    patch.setattr(view, name, lambda network, image, *how: predict(network.training, image))


def mask_of(training: str, image: Tensor) -> Tensor:
    """Image 1: the seed is perfect and the other one blind to class 1; image 2: the reverse, but for 10 pixels."""
    number = int(image[0, 0, 0]) // 10
    right = torch.tensor([0, 1], dtype=torch.uint8).repeat_interleave(5).repeat(10, 1)
    if (number, training) in ((1, "train"), (2, "seed")):
        return torch.zeros_like(right)
    if (number, training) == (2, "train"):
        right[:, 5] = 0
    if (number, training) == (3, "seed"):
        right[0, 0] = 2
    return right


@pytest.fixture
def seg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pretend(monkeypatch, info(classes=("left", "right", "other")), "predict_mask", mask_of)
    return run_of(tmp_path / "run", masks(tmp_path / "data"))


def test_the_images_of_the_largest_difference_are_shown_whichever_network_is_better(seg: Path, tmp_path: Path) -> None:
    found = figure_predictions(seg, out=tmp_path / "out", images=3, device="cpu")
    assert [image.name for image in found.shown] == ["1", "2", "3"]
    # By hand: blind to class 1, IoU 50/100 and 0; 10 of its pixels taken for class 0, IoU 50/60 and 40/50; one pixel
    # of class 0 wrong, IoU 49/50 and 1: the class that is not in the truth does not enter.
    expected = [(1.0, 1.0), (1.0, 0.25), (0.25, (50 / 60 + 0.8) / 2), (0.99, 1.0)]
    for image, scores in zip(found.scored, expected, strict=False):
        assert image.scores == pytest.approx(scores)
    assert found.scored[4].scores == (None, None)  # all of it is ignored
    assert found.titles == ("seed architecture", "adapted network")
    text = found.text()
    assert "3 of 5 validation images" in text
    assert "the adapted network is better in 2, worse in 1, equal in 1" in text
    assert "1: 100.0, 25.0 (-75.0)" in text
    assert "2: 25.0, 81.7 (+56.7)" in text
    written = json.loads((tmp_path / "out/scores.json").read_text())
    assert [image["name"] for image in written["shown"]] == ["1", "2", "3"]
    assert len(written["scored"]) == 5


def test_the_picture_has_four_panels_a_row_in_the_colours_of_the_classes(seg: Path, tmp_path: Path) -> None:
    for rows in (1, 2):
        figure_predictions(seg, out=tmp_path / f"{rows}.png", images=rows, device="cpu")
    one, two = pixels_of(tmp_path / "1.png"), pixels_of(tmp_path / "2.png")
    side = 450  # a square image is as high as a cell
    assert one.shape[1] == two.shape[1] == 4 * (side + GAP) + GAP
    assert two.shape[0] - one.shape[0] == side + CAPTION * 3 // 2 + GAP
    middle = TITLE * 3 // 2 + GAP + side // 2
    left, right = class_colours(2)
    halves = [
        [tuple(one[middle, GAP + column * (side + GAP) + x].tolist()) for x in (side // 4, 3 * side // 4)]
        for column in range(4)
    ]
    assert halves == [[(10, 10, 10)] * 2, [left, right], [left, right], [left, left]]


def test_the_same_picture_comes_out_every_time(seg: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figure_predictions(seg, out=tmp_path / name, images=1, device="cpu")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_two_runs_are_compared_in_the_order_given(seg: Path, tmp_path: Path) -> None:
    second = run_of(tmp_path / "second", tmp_path / "data", trainings=("train",))
    found = figure_predictions(seg, second, tmp_path / "out", device="cpu")
    assert found.titles == ("adapted network (run)", "adapted network (second)")
    assert all(image.difference in (0, None) for image in found.scored)


def test_networks_are_loaded_from_their_files_and_predict_as_they_do_alone(tmp_path: Path) -> None:
    data = draw_data(tmp_path / "data")
    run, about = run_of(tmp_path / "run", data), replace(info(), classes=("ground", "disc", "bar"))
    for random_seed, training in enumerate(("seed", "train")):
        save_network(run / training / "best.safetensors", trained(about, random_seed).state_dict(), about)
    found = figure_predictions(run, out=tmp_path / "out", images=2, device="cpu")
    assert len(found.shown) == 2
    differences = [abs(image.difference or 0) for image in found.scored]
    assert [abs(image.difference or 0) for image in found.shown] == sorted(differences, reverse=True)[:2]
    assert all(0 <= score <= 1 for image in found.scored for score in image.scores if score is not None)
    assert (tmp_path / "out/predictions.png").is_file()


def test_boxes_are_compared_by_f1_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = draw_boxes(tmp_path / "data")
    samples = open_data(data).splits["val"]
    truths = {sample.image.read_bytes(): Boxes(open_data(data)).truth(sample) for sample in samples}
    pixels = {pixels_of(sample.image).tobytes(): truths[sample.image.read_bytes()] for sample in samples}

    def predict(training: str, image: Tensor) -> dict[str, Tensor]:
        truth = pixels[image.permute(1, 2, 0).numpy().tobytes()]
        sure = torch.full((len(truth["boxes"]),), 0.9 if training == "train" else 0.2)  # below what is drawn
        return {"boxes": truth["boxes"], "labels": truth["labels"], "scores": sure}

    about = replace(info("ssdlite", ("disc", "square")), task="det", settings=DETECTOR)
    pretend(monkeypatch, about, "predict_boxes", predict)
    found = figure_predictions(run_of(tmp_path / "run", data, "det"), out=tmp_path / "boxes.png", device="cpu")
    # The fourth image has no box: both are right to find none. In the others the seed finds nothing.
    assert [image.scores for image in found.scored] == [(0.0, 1.0)] * 3 + [(1.0, 1.0)]
    assert found.metric.name == "F1"
    # Panels of 60 x 80 are 450 x 600; the seed's are those of the input, the others have boxes.
    shown = pixels_of(tmp_path / "boxes.png")
    top = TITLE * 3 // 2 + GAP
    panels = [shown[top : top + 450, GAP + c * (600 + GAP) : GAP + c * (600 + GAP) + 600] for c in range(4)]
    assert (panels[0] == panels[2]).all()
    assert (panels[0] != panels[1]).any()
    assert (panels[0] != panels[3]).any()


def boxes(*rows: tuple[float, float, float, float, int]) -> dict[str, Tensor]:
    """From x1, y1, x2, y2 and label."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    return {"boxes": table[:, :4], "labels": table[:, 4].long()}


@pytest.mark.parametrize(
    ("truth", "found", "crowd", "f1"),
    [
        ([], [], [], 1.0),
        ([], [(0, 0, 9, 9, 0)], [], 0.0),
        ([(0, 0, 9, 9, 0)], [], [], 0.0),
        ([(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 1)], [], 0.0),
        ([(0, 0, 10, 10, 0)], [(0, 0, 10, 5, 0)], [], 1.0),  # IoU 0.5
        ([(0, 0, 10, 10, 0)], [(0, 0, 10, 4.9, 0)], [], 0.0),
        ([(0, 0, 10, 10, 0), (50, 50, 60, 60, 0)], [(0, 0, 10, 10, 0), (0, 0, 10, 10, 0)], [], 0.5),  # found twice
        ([(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0), (50, 50, 60, 60, 0)], [(40, 40, 90, 90, 0)], 1.0),  # in a crowd
        ([(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0), (50, 50, 60, 60, 1)], [(40, 40, 90, 90, 0)], 2 / 3),
    ],
)
def test_f1_by_hand(truth: Any, found: Any, crowd: Any, f1: float) -> None:
    hidden = boxes(*crowd)
    view = Boxes(SimpleNamespace(classes=("a", "b")))
    there = boxes(*truth) | {"crowd": hidden["boxes"], "of": hidden["labels"]}
    assert view.score(there, boxes(*found)) == pytest.approx(f1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_boxes_are_matched_as_coco_does() -> None:
    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 60, (40, 2))
    corners = torch.tensor(np.concatenate([corner, corner + generator.uniform(10, 40, (40, 2))], 1))
    labels = torch.tensor(generator.integers(0, 2, 40))
    truth, found = corners[:15], torch.cat([corners[:15] + 3, corners[15:]])
    kinds, guesses = labels[:15], torch.cat([labels[:15], labels[15:]])
    header = {"images": [{"id": 1}], "categories": [{"id": 0}, {"id": 1}], "info": {}}

    def rows(table: Tensor, of: Tensor) -> list[dict[str, Any]]:
        sides = torch.cat([table[:, :2], table[:, 2:] - table[:, :2]], 1)
        return [
            {"id": n + 1, "image_id": 1, "category_id": int(of[n]), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, box in enumerate(sides.tolist())
        ]

    expected, results = COCO(), COCO()
    scores = [{**row, "score": 1 - row["id"] / 100} for row in rows(found, guesses)]
    for coco, annotations in ((expected, rows(truth, kinds)), (results, scores)):
        coco.dataset = header | {"annotations": annotations}
        coco.createIndex()
    evaluation = COCOeval(expected, results, "bbox")
    evaluation.evaluate()
    right = set()
    for image in evaluation.evalImgs:
        if image is not None and image["aRng"] == evaluation.params.areaRng[0]:
            right |= {n for n, match in zip(image["dtIds"], image["dtMatches"][0], strict=True) if match}
    ours = matches(truth, kinds, found, guesses)
    assert {n + 1 for n in range(len(found)) if ours[n]} == right
    assert 5 < len(right) < 40


def test_ties_go_by_the_order_of_the_data_and_undefined_scores_are_left_out() -> None:
    scores = [(0.5, 0.5), (0.2, 0.4), (0.4, 0.2), (None, 0.9), (0.0, 0.1)]
    scored = [Scored(place, str(place), pair) for place, pair in enumerate(scores)]
    assert [image.place for image in choose(scored, 9)] == [1, 2, 4, 0]
    assert [image.place for image in choose(scored, 1)] == [1]


def test_ignored_pixels_are_named_in_the_legend() -> None:
    view = Masks(SimpleNamespace(classes=("left", "right", "other")))
    names, colours = view.legend([torch.tensor([[2, 255]]), torch.tensor([[0, 0]])])
    assert names == ["left", "other", "not counted"]
    assert colours == [class_colours(3)[0], class_colours(3)[2], (0, 0, 0)]


@pytest.mark.parametrize(("hw", "size"), [((360, 480), (450, 600)), ((100, 400), (150, 600)), ((90, 30), (450, 150))])
def test_images_fill_their_cell_and_keep_their_shape(hw: tuple[int, int], size: tuple[int, int]) -> None:
    assert fitted(*hw) == size


def test_a_run_without_a_trained_seed_says_how_to_make_one(tmp_path: Path) -> None:
    data = masks(tmp_path / "data")
    run = run_of(tmp_path / "run", data, trainings=("train",))
    with pytest.raises(
        UserError, match=rf"has no trained seed .*fna train {data} --arch seed .*predictions SEED {run}"
    ):
        figure_predictions(run, out=tmp_path / "out")
    (run / "train/design.json").write_text(design_json(ARCH))
    with pytest.raises(UserError, match=f"the seed's own architecture alone.*predictions {run} ADAPTED"):
        figure_predictions(run, out=tmp_path / "out")
    trained_seed = run_of(tmp_path / "both", data)
    save_network(trained_seed / "seed/best.safetensors", trained(info()).state_dict(), info())
    with pytest.raises(UserError, match="no network of a training 'train-0.5G'"):
        figure_predictions(trained_seed, out=tmp_path / "out", training="train-0.5G", device="cpu")


def test_bad_input_is_named(seg: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown format of this figure '.svg'"):
        figure_predictions(seg, out=tmp_path / "a.svg")
    with pytest.raises(UserError, match="images is 0"):
        figure_predictions(seg, out=tmp_path / "a.png", images=0)
    (seg / "dataset.json").write_text(json.dumps({"splits": {"val": ["0"]}}))
    with pytest.raises(UserError, match="was validated on other images"):
        figure_predictions(seg, out=tmp_path / "a.png", device="cpu")
    (seg / "run.json").unlink()
    with pytest.raises(UserError, match=r"has no run.json"):
        figure_predictions(seg, out=tmp_path / "a.png", device="cpu")
