"""YOLO boxes: both folder orders, data.yaml as other tools write it, and lines that are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fna.data.layouts.opening import DetectionData, open_data
from fna.data.samples import BoxSample
from fna.errors import UserError

Draw = Callable[..., Path]
FOLDERS = {"train": "images/train", "val": "images/val"}


def label(root: Path, name: str, *lines: str) -> Path:
    file = root / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def describe(root: Path, **content: object) -> Path:
    file = root / "data.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def samples(data: DetectionData, split: str = "train") -> dict[str, BoxSample]:
    return {sample.name: sample for sample in data.splits[split]}


@pytest.fixture
def yolo(tmp_path: Path, draw: Draw) -> Path:
    """images/{train,val} + labels/{train,val}, images of 10x20 pixels (height x width), three of five with boxes."""
    for name in ("train/a", "train/b", "train/sub/c", "train/d", "val/v"):
        draw(f"images/{name}.png", size=(10, 20))
    label(tmp_path, "labels/train/a", "1 0.5 0.5 1 1", "0 0.25 0.5 0.1 0.2")
    label(tmp_path, "labels/train/sub/c", "", "0 .5 .5 .5 .5")
    label(tmp_path, "labels/train/d")
    label(tmp_path, "labels/val/v", "1.0 0.5 0.5 0.5 0.5")
    describe(tmp_path, names=["cat", "dog"])
    return tmp_path


def test_boxes_are_in_pixels_and_images_without_them_are_kept(yolo: Path) -> None:
    data = open_data(yolo)
    assert (data.kind, data.layout, data.problems) == ("boxes", "yolo", ())
    assert (data.classes, data.category_ids) == (("cat", "dog"), (0, 1))
    found = samples(data)
    assert list(found) == ["a", "b", "d", "sub/c"]
    assert found["a"].boxes == pytest.approx(np.array([[0, 0, 20, 10], [4, 4, 6, 6]]), abs=1e-12)
    assert (found["a"].labels.tolist(), found["a"].areas.tolist()) == ([1, 0], pytest.approx([200, 4]))
    assert (found["a"].size, found["a"].image_id) == ((10, 20), 1)
    assert found["b"].boxes.shape == found["d"].boxes.shape == (0, 4)
    assert found["sub/c"].boxes == pytest.approx(np.array([[5, 2.5, 15, 7.5]]))
    assert samples(data, "val")["v"].labels.tolist() == [1]


@pytest.mark.parametrize("order", ["split first", "flat", "yaml split first", "yaml", "yaml of whole splits"])
def test_all_folder_orders_give_the_same_boxes(yolo: Path, order: str) -> None:
    names = {"names": {0: "cat", 1: "dog"}}
    if "split first" in order or "whole" in order:
        for split, new in (("train", "train"), ("val", "valid")):
            for kind in ("images", "labels"):
                (yolo / new).mkdir(exist_ok=True)
                (yolo / kind / split).rename(yolo / new / kind)
        for kind in ("images", "labels"):
            (yolo / kind).rmdir()
    if order == "yaml split first":
        # The paths of Roboflow's exports lead one folder too high.
        describe(yolo, **names, train="../train/images", val="../valid/images", test="../test/images", nc=2)
        (yolo / "test/images").mkdir(parents=True)
    elif order == "yaml":
        describe(yolo, **names, **FOLDERS)
    elif order == "yaml of whole splits":
        describe(yolo, **names, train="train", val="valid")
    elif order == "flat":
        for kind in ("images", "labels"):
            for split in ("train", "val"):
                for entry in list((yolo / kind / split).iterdir()):
                    entry.rename(yolo / kind / entry.name)
                (yolo / kind / split).rmdir()
    data = open_data(yolo)
    assert data.problems == ()
    if order == "flat":
        assert any(note.startswith("no val split: 20% of train by hash") for note in data.notes)
        assert sorted([*samples(data), *samples(data, "val")]) == ["a", "b", "d", "sub/c", "v"]
        return
    assert {split: list(samples(data, split)) for split in data.splits} == {
        "train": ["a", "b", "d", "sub/c"],
        "val": ["v"],
    }
    assert samples(data)["a"].boxes == pytest.approx(np.array([[0, 0, 20, 10], [4, 4, 6, 6]]), abs=1e-12)
    if order == "yaml split first":
        assert "train: there is no ../train/images, train/images is taken" in data.notes
        assert "test has no labels and is left out" in data.notes


def test_only_the_last_images_in_a_path_is_replaced(yolo: Path) -> None:
    (yolo / "deep/images").mkdir(parents=True)
    for kind in ("images", "labels"):
        (yolo / kind).rename(yolo / "deep/images" / kind)
    describe(yolo, names=["cat", "dog"], train="deep/images/images/train", val="deep/images/images/val")
    assert [len(sample.boxes) for sample in open_data(yolo).splits["train"]] == [2, 0, 0, 1]


def test_a_yaml_file_elsewhere_with_path(yolo: Path) -> None:
    (yolo / "data.yaml").unlink()
    (yolo / "elsewhere").mkdir()
    file = describe(yolo / "elsewhere", path="..", names=["cat", "dog"], **FOLDERS)
    assert len(open_data(file).splits["train"]) == 4


def test_the_keys_of_other_tools_are_accepted_and_noted(yolo: Path) -> None:
    describe(yolo, names=["cat", "dog"], nc=2, roboflow={"url": "x"}, download="script", test=None, **FOLDERS)
    data = open_data(yolo)
    assert "keys not used: roboflow, download, test" in data.notes
    describe(yolo, names=["cat", "dog"], nc=3)
    with pytest.raises(UserError, match=r"data.yaml: nc is 3, but there are 2 names"):
        open_data(yolo)
    describe(yolo, names=["cat", "dog"], ignore=0, label_mapping={0: 255, 1: 0})
    with pytest.raises(UserError, match=r"data.yaml: ignore, label_mapping is about masks"):
        open_data(yolo)


def test_names_with_gaps_keep_their_numbers_and_one_class_or_1000_are_fine(yolo: Path) -> None:
    describe(yolo, names={1: "dog", 0: "cat", 40: "cow"})
    assert (open_data(yolo).classes, open_data(yolo).category_ids) == (("cat", "dog", "cow"), (0, 1, 40))
    label(yolo, "labels/train/a", "40 .5 .5 .5 .5")
    assert samples(open_data(yolo))["a"].labels.tolist() == [2]
    label(yolo, "labels/train/a", "2 .5 .5 .5 .5")
    assert open_data(yolo).problems[0].text.startswith("train: class number that names do not have (known: 0, 1, 40)")
    describe(yolo, names=[f"class {number}" for number in range(1000)])
    label(yolo, "labels/train/a", "999 .5 .5 .5 .5", "255 .5 .5 .5 .5")
    data = open_data(yolo)
    assert (len(data.classes), samples(data)["a"].labels.tolist(), data.problems) == (1000, [999, 255], ())


def test_classes_may_be_named_in_classes_txt_and_must_be_named(yolo: Path) -> None:
    (yolo / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"the classes have no names. Add data.yaml with names"):
        open_data(yolo)
    (yolo / "classes.txt").write_text("cat\ndog\n", encoding="utf-8")
    (yolo / "labels/classes.txt").write_text("cat\ndog\n", encoding="utf-8")
    (yolo / "labels/train/classes.txt").write_text("cat\ndog\n", encoding="utf-8")
    (yolo / "labels/train.cache").touch()
    data = open_data(yolo)
    assert (data.classes, data.problems) == (("cat", "dog"), ())


@pytest.mark.parametrize("number", ["2", "-1", "0.5", "nan", "1e400"])
def test_a_class_number_without_a_name_is_an_error_and_its_box_left_out(yolo: Path, number: str) -> None:
    file = label(yolo, "labels/train/a", f"{number} 0.5 0.5 1 1", "0 0.25 0.5 0.1 0.2")
    data = open_data(yolo)
    assert [(problem.severity, problem.text, problem.files) for problem in data.problems] == [
        (
            "error",
            "train: class number that names do not have (known: 0 to 1), box left out",
            (f"{file}: line 1: {number}",),
        )
    ]
    assert samples(data)["a"].labels.tolist() == [0]


def test_boxes_that_cannot_be_used_are_left_out_with_file_and_line(yolo: Path) -> None:
    file = label(
        yolo,
        "labels/train/a",
        "0 0.5 0.5 0 0.5",
        "0 0.5 0.5 -0.2 0.5",
        "",
        "0 1.5 0.5 0.2 0.5",
        "0 nan 0.5 0.2 0.5",
        "0 1.0 0.5 0.5 0.5",
        "0 0.500001 0.5 1 1",
    )
    data = open_data(yolo)
    problems = {problem.text: (problem.severity, problem.files[0].split(": box")[0]) for problem in data.problems}
    assert problems == {
        "train: box without an area, left out": ("warning", f"{file}: line 1"),
        "train: box of negative width or height, left out": ("error", f"{file}: line 2"),
        "train: box entirely outside of its image, left out": ("error", f"{file}: line 4"),
        "train: box with numbers that are not finite, left out": ("error", f"{file}: line 5"),
        "train: box reaches outside of its image, clipped in training": ("warning", f"{file}: line 6"),
    }
    assert len(samples(data)["a"].boxes) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .1 .1 .2 .1 .2 .2", "has 7 numbers, expected 5: class cx cy width height; polygons, oriented boxes"),
        ("0 .1 .1 .2 .1 .9", "has 6 numbers, expected 5"),
        ("0 .1 .1 .2", r"has 4 numbers, expected 5: class cx cy width height\."),
        ("cat .1 .1 .2 .2", "is 'cat .1 .1 .2 .2', expected 5 numbers"),
    ],
)
def test_other_lines_are_refused_with_file_and_line(yolo: Path, line: str, message: str) -> None:
    label(yolo, "labels/train/a", "0 .5 .5 .1 .1", line)
    with pytest.raises(UserError, match=rf"labels/train/a.txt: line 2 {message}"):
        open_data(yolo)


def test_a_label_file_that_is_no_text_is_refused(yolo: Path) -> None:
    (yolo / "labels/train/a.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"a.txt: cannot be read as text"):
        open_data(yolo)


def test_files_without_partner_unreadable_images_and_double_names_are_named(yolo: Path, draw: Draw) -> None:
    label(yolo, "labels/train/lonely", "0 .5 .5 .5 .5")
    draw("images/train/b.jpg")
    (yolo / "images/train/a.png").write_bytes(b"nothing")
    (yolo / "images/train/notes.md").touch()
    data = open_data(yolo)
    problems = {problem.text: (problem.severity, problem.files) for problem in data.problems}
    assert problems["train: label file without an image"] == ("error", (f"{yolo}/labels/train/lonely.txt",))
    assert problems["train: several files for one name, the first is taken"][0] == "error"
    assert problems["train: not an image by its suffix, not used"] == ("warning", (f"{yolo}/images/train/notes.md",))
    severity, files = problems["train: image cannot be used"]
    assert severity == "error"
    assert files[0].startswith(f"{yolo}/images/train/a.png: cannot be read as an image")
    assert len(problems) == 4
    assert list(samples(data)) == ["b", "d", "sub/c"]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_boxes_of_an_image_that_is_rotated_by_exif_are_on_the_upright_one(yolo: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (yolo / "images/val/v.png").unlink()
    Image.new("RGB", (20, 10)).save(yolo / f"images/val/v.{suffix}", exif=exif)
    found = samples(open_data(yolo), "val")["v"]
    assert found.size == (20, 10)
    assert found.boxes.tolist() == [[2.5, 5, 7.5, 15]]


def test_a_named_folder_that_is_missing_or_has_no_images_part_is_refused(yolo: Path) -> None:
    file = describe(yolo, names=["cat", "dog"], train="images/train", val="images/nothing")
    with pytest.raises(UserError, match=r"val is .*images/nothing, and there is no such folder"):
        open_data(file)
    (yolo / "photos").mkdir()
    file = describe(yolo, names=["cat", "dog"], train="images/train", val="photos")
    with pytest.raises(UserError, match=r"val is .*photos: expected a path with a part named images"):
        open_data(file)
