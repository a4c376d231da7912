"""The check of boxes finds each kind of mistake, names the places, and stays quiet about good data."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fna.cli.main import main
from fna.data.check.box_check import BoxCheckReport
from fna.data.check.check import check
from fna.data.layouts.opening import open_data

Draw = Callable[..., Path]


def report(root: Path) -> BoxCheckReport:
    found = check(open_data(root, "det"))
    assert isinstance(found, BoxCheckReport)
    return found


def only(report: BoxCheckReport, severity: str, start: str) -> tuple[str, ...]:
    """The places of the one problem of that severity, which must start like this."""
    found = [problem for problem in report.problems if problem.severity == severity]
    assert [problem.text[: len(start)] for problem in found] == [start], report.text()
    return found[0].files


def test_good_data_has_no_problem(coco: Any) -> None:
    found = report(coco.write())
    assert found.problems == ()
    assert (found.errors, found.warnings) == ((), ())
    assert found.text().endswith("0 errors, 0 warnings")


def test_a_split_is_counted(coco: Any) -> None:
    coco.train["annotations"] += [
        coco.box(8, 12, 7, [1, 1, 2, 2]),
        coco.box(9, 13, 3, [0, 0, 2, 2], iscrowd=1),
    ]
    found = report(coco.write())
    train = found.splits["train"]
    assert (train.images, train.empty_images, train.crowd) == (3, 1, 1)
    assert train.sizes == Counter({(8, 10): 3})
    assert (train.boxes, train.class_images) == ((1, 3), (1, 2))
    assert found.splits["val"].boxes == (1, 1)
    # Shares of the 80 pixels, as a side: 12 -> 39 %, 80 -> 100 %, 5 -> 25 %, 4 -> 22 %
    assert (train.areas, train.sides) == ((4, 0, 0), (0, 0, 0, 3, 1))


def test_the_size_histogram_has_the_limits_of_pycocotools(coco: Any, draw: Draw) -> None:
    from pycocotools.cocoeval import Params

    areas = dict(zip(*(getattr(Params("bbox"), name) for name in ("areaRngLbl", "areaRng")), strict=True))
    draw("train/c.png", size=(400, 400))
    coco.train["images"][2] |= {"width": 400, "height": 400}
    limits = [areas["small"][1], areas["medium"][1]]
    for number, area in enumerate((limits[0] - 0.1, limits[0], limits[1] - 0.1, limits[1], 1)):
        coco.train["annotations"].append(coco.box(50 + number, 13, 3, [0, 0, 200, 200], area=area))
    train = report(coco.write()).splits["train"]
    assert train.areas == (3 + 2, 2, 1)
    assert sum(train.sides) == sum(train.areas) == sum(train.boxes)


def test_the_animals_are_counted_as_their_files_say(shared: Path) -> None:
    root = shared / "data" / "animals"
    found = report(root)
    assert found.problems == ()
    for split in ("train", "val"):
        content = json.loads((root / f"annotations/instances_{split}.json").read_text())
        count = found.splits[split]
        by_class = [[a for a in content["annotations"] if a["category_id"] == number] for number in range(1, 7)]
        assert count.images == len(content["images"])
        assert count.boxes == tuple(map(len, by_class))
        assert count.class_images == tuple(len({a["image_id"] for a in annotations}) for annotations in by_class)
        assert count.sizes == Counter((image["height"], image["width"]) for image in content["images"])
        assert count.empty_images == len(content["images"]) - len({a["image_id"] for a in content["annotations"]})
        areas = [annotation["area"] for annotation in content["annotations"]]
        small, medium = sum(area < 1024 for area in areas), sum(1024 <= area < 9216 for area in areas)
        assert count.areas == (small, medium, len(areas) - small - medium)
        assert sum(count.sides) == len(areas)


def test_problems_of_the_reader_are_in_the_report(coco: Any) -> None:
    coco.train["annotations"].append(coco.box(9, 13, 3, [1, 1, 0, 2]))
    assert len(only(report(coco.write()), "warning", "train: box without an area, left out")) == 1


def test_an_unreadable_image_is_named_with_the_reason(coco: Any) -> None:
    file = coco.root / "train/b.png"
    file.write_bytes(file.read_bytes()[:100])
    files = only(report(coco.write()), "error", "train: image cannot be used")
    assert files[0].startswith(f"{file}: cannot be read as an image")


def test_a_size_that_differs_from_the_annotation_is_an_error(coco: Any, draw: Draw) -> None:
    draw("train/b.png", size=(9, 10))
    files = only(report(coco.write()), "error", "train: image and annotation differ in size (height x width)")
    assert files == (f"{coco.root}/train/b.png: image 9x10, annotation 8x10",)


def test_boxes_on_the_image_before_its_exif_rotation_are_explained(coco: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 8), (9, 9, 9)).save(coco.root / "train/b.png", exif=exif)
    found = report(coco.write())
    files = only(found, "error", "train: image and annotation differ in size")
    assert files[0].endswith(
        "image 10x8, annotation 8x10 (fits the image without its EXIF rotation: draw the boxes on the upright image, "
        "or remove the tag from the image)"
    )
    assert only(found, "warning", "train: rotated by EXIF; are the boxes") == (f"{coco.root}/train/b.png",)


def test_boxes_outside_of_an_image_whose_size_only_the_image_tells_are_found(coco: Any) -> None:
    del coco.train["images"][2]["width"], coco.train["images"][2]["height"]
    coco.train["annotations"] += [coco.box(8, 13, 3, [12, 1, 2, 2]), coco.box(9, 13, 3, [5, 1, 9, 2])]
    found = report(coco.write())
    place = f"{coco.root}/train/c.png: box from x"
    size = "in an image of 8x10 (height x width)"
    assert only(found, "error", "train: box entirely outside") == (f"{place} 12, y 1 to x 14, y 3 {size}",)
    assert only(found, "warning", "train: box reaches outside") == (f"{place} 5, y 1 to x 14, y 3 {size}",)


def test_what_a_reader_would_have_left_out_is_found_in_hand_made_data(coco: Any) -> None:
    data = open_data(coco.write())
    a, b, c = data.splits["train"]
    wrong = replace(b, boxes=np.array([[3.0, 3, 3, 9]]), labels=np.array([2]), image_id=a.image_id, name=a.name)
    nowhere = replace(c, image=coco.root / "train/gone.png")
    found = check(replace(data, splits={**data.splits, "train": (a, wrong, nowhere)}))
    texts = [problem.text for problem in found.problems]
    assert texts == [
        "train: image cannot be used",
        "train: image id is there twice",
        "train: file name is there twice",
        "train: label that is no class (known: 0 to 1)",
        "train: box without an area",
    ]
    assert found.problems[0].files == (f"{coco.root}/train/gone.png: no such file.",)
    assert found.problems[3].files == (f"{coco.root}/train/b.png: 2",)


def test_the_same_image_in_train_and_val_is_found_under_any_name(coco: Any) -> None:
    (coco.root / "val/v.png").write_bytes((coco.root / "train/b.png").read_bytes())
    files = only(report(coco.write()), "error", "train and val share images (equal content)")
    assert files == (f"{coco.root}/train/b.png = {coco.root}/val/v.png",)


def test_empty_splits_and_splits_without_a_box_are_errors(coco: Any) -> None:
    coco.train["annotations"] = [coco.box(1, 11, 3, [1, 1, 3, 3], iscrowd=1)]
    coco.val |= {"images": [], "annotations": []}
    found = report(coco.write())
    assert [problem.text for problem in found.errors] == ["val: the split is empty", "train: no image has a box"]


def test_classes_that_are_absent_from_a_split_or_from_its_list_are_warnings(coco: Any) -> None:
    coco.val["annotations"].pop()
    coco.train["categories"].append({"id": 9, "name": "cow"})
    texts = [problem.text for problem in report(coco.write()).warnings]
    assert texts == [
        "the class lists of the splits differ; classes are matched by name",
        "train: no box of cow",
        "val: no box of dog, cow",
    ]


def test_the_text_has_counts_classes_and_sizes_and_lists_ten_places(coco: Any) -> None:
    coco.train["annotations"] += [coco.box(100 + n, 13, 3, [1, 1, 0, 2]) for n in range(25)]
    coco.train["annotations"].append(coco.box(9, 13, 3, [0, 0, 2, 2], iscrowd=1))
    lines = report(coco.write()).text().splitlines()
    assert lines[0] == f"{coco.root}: coco, 2 classes"
    assert "train       3 images  all 8x10 (height x width)" in lines
    assert "            3 boxes, and 1 crowd; 1 image without boxes" in lines
    assert "            2 boxes; 0 images without boxes" in lines
    rows = [line.split() for line in lines]
    assert ["1", "dog", "2", "2", "1", "1"] in rows
    assert ["(crowd)", "1", "0"] in rows
    assert ["small,", "below", "32x32", "px", "3", "100.0%", "2", "100.0%"] in rows
    assert ["20%", "to", "40%", "2", "66.7%", "0", "0.0%"] in rows
    assert "warning: train: box without an area, left out [25 places]" in lines
    assert "    ... and 15 more" in lines
    assert sum("annotation 1" in line for line in lines) == 10


def test_the_command_line_checks_boxes_and_takes_the_task(coco: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root = coco.write()
    assert main(["check", str(root)]) == 0
    assert "train boxes" in capsys.readouterr().out
    assert main(["check", str(root), "--task", "det"]) == 0
    capsys.readouterr()
    assert main(["check", str(root), "--task", "seg"]) != 0
    assert "did you mean --task det?" in capsys.readouterr().err
    assert main(["check", str(root), "--task", "pose"]) != 0
    assert "invalid choice: 'pose'" in capsys.readouterr().err


def test_the_check_of_boxes_needs_no_torch(coco: Any) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from fna.data.layouts.opening import open_data; from fna.data.check.check import check\n"
        "print(check(open_data(sys.argv[1])).text()); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(coco.write())], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 errors" in done.stdout
