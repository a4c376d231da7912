"""Pascal VOC boxes: pixels counted from 1, lists, classes from the files, and what is refused."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fna.data.layouts.opening import DetectionData, open_data
from fna.data.samples import BoxSample
from fna.errors import UserError

Draw = Callable[..., Path]


def thing(name: str, corners: Sequence[object], more: str = "") -> str:
    box = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def annotate(root: Path, name: str, *things: str, size: str = "<width>8</width><height>6</height>") -> Path:
    file = root / f"Annotations/{name}.xml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"<annotation><size>{size}</size>{''.join(things)}</annotation>", encoding="utf-8")
    return file


@pytest.fixture
def voc(tmp_path: Path, draw: Draw) -> Path:
    """Two images for training, of 6x8 pixels, and one for validation."""
    for name in ("1", "2", "3"):
        draw(f"JPEGImages/{name}.jpg")
    annotate(tmp_path, "1", thing("dog", (1, 1, 8, 6)), thing("cat", (3, 2, 3, 2)))
    annotate(tmp_path, "2")
    annotate(tmp_path, "3", thing("cat", ("2.5", " 2 ", 5, 5)))
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("1\n2\n", encoding="utf-8")
    (lists / "val.txt").write_text("3\n", encoding="utf-8")
    (lists / "cat_train.txt").write_text("1 1\n", encoding="utf-8")
    return tmp_path


def samples(data: DetectionData, split: str = "train") -> dict[str, BoxSample]:
    return {sample.name: sample for sample in data.splits[split]}


def test_pixels_are_counted_from_0_so_that_the_whole_image_is_0_0_width_height(voc: Path) -> None:
    data = open_data(voc)
    assert (data.kind, data.layout, data.problems) == ("boxes", "voc", ())
    assert (data.classes, data.category_ids) == (("cat", "dog"), (1, 2))
    found = samples(data)
    assert found["1"].boxes.tolist() == [[0, 0, 8, 6], [2, 1, 3, 2]]
    assert (found["1"].labels.tolist(), found["1"].areas.tolist()) == ([1, 0], [48, 1])
    assert (found["1"].size, found["1"].image) == ((6, 8), voc / "JPEGImages/1.jpg")
    assert found["2"].boxes.shape == (0, 4)
    assert samples(data, "val")["3"].boxes.tolist() == [[1.5, 1, 5, 5]]
    assert [sample.image_id for sample in data.splits["train"]] == [1, 2]
    assert "lists not used: cat_train.txt" in data.notes
    assert "class names from the annotation files, sorted" in data.notes


def test_difficult_objects_are_crowd_and_parts_of_objects_are_no_boxes(voc: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    annotate(
        voc,
        "2",
        thing("cat", (1, 1, 4, 4), f"<difficult>1</difficult>{part}"),
        thing("cat", (2, 2, 5, 5), "<difficult>0</difficult>"),
    )
    data = open_data(voc)
    assert data.classes == ("cat", "dog")
    assert samples(data)["2"].crowd.tolist() == [True, False]


def test_classes_txt_gives_the_order_and_other_names_are_errors(voc: Path) -> None:
    (voc / "classes.txt").write_text("dog\nbird\n", encoding="utf-8")
    data = open_data(voc)
    assert (data.classes, data.category_ids) == (("dog", "bird"), (1, 2))
    assert samples(data)["1"].labels.tolist() == [0]
    assert [(problem.severity, problem.text, problem.files) for problem in data.problems] == [
        (
            "error",
            f"{split}: class that classes.txt does not have, box left out",
            (f"{voc}/Annotations/{number}.xml: object {place}: cat",),
        )
        for split, number, place in (("train", 1, 2), ("val", 3, 1))
    ]


def test_one_class_is_enough_for_boxes(voc: Path) -> None:
    (voc / "classes.txt").write_text("dog\n", encoding="utf-8")
    assert open_data(voc).classes == ("dog",)


def test_without_val_one_is_made(voc: Path) -> None:
    (voc / "ImageSets/Main/val.txt").unlink()
    assert [len(found) for found in open_data(voc).splits.values()] == [1, 1]


def test_names_without_files_are_problems(voc: Path) -> None:
    (voc / "ImageSets/Main/train.txt").write_text("1\n1\n2\n4\n5\n", encoding="utf-8")
    (voc / "Annotations/2.xml").unlink()
    annotate(voc, "4")
    problems = {problem.text: (problem.severity, problem.files) for problem in open_data(voc).problems}
    assert problems == {
        "train: image without a label file": ("error", (f"{voc}/JPEGImages/2.jpg",)),
        "train: label file without an image": ("error", (f"{voc}/Annotations/4.xml",)),
        "train: listed twice in train.txt": ("error", ("1",)),
        "train: listed in train.txt, neither image nor label file found": ("error", ("5",)),
    }
    (voc / "ImageSets/Main/train.txt").unlink()
    with pytest.raises(UserError, match=r"ImageSets/Main: expected train.txt .*; found no train.txt"):
        open_data(voc)


def test_boxes_that_cannot_be_used_are_left_out_with_file_and_object(voc: Path) -> None:
    file = annotate(
        voc,
        "2",
        thing("cat", (3, 3, 2, 5)),
        thing("cat", (5, 3, 2, 5)),
        thing("cat", (9, 1, 12, 5)),
        thing("cat", ("nan", 1, 12, 5)),
        thing("cat", (1, 1, 10, 6)),
    )
    data = open_data(voc)
    problems = {problem.text: (problem.severity, problem.files[0].split(": box")[0]) for problem in data.problems}
    assert problems == {
        "train: box without an area, left out": ("warning", f"{file}: object 1"),
        "train: box of negative width or height, left out": ("error", f"{file}: object 2"),
        "train: box entirely outside of its image, left out": ("error", f"{file}: object 3"),
        "train: box with numbers that are not finite, left out": ("error", f"{file}: object 4"),
        "train: box reaches outside of its image, clipped in training": ("warning", f"{file}: object 5"),
    }
    assert samples(data)["2"].boxes.tolist() == [[0, 0, 10, 6]]


@pytest.mark.parametrize("size", ["", "<width>0</width><height>0</height>"])
def test_a_size_that_the_file_does_not_say_is_unknown(voc: Path, size: str) -> None:
    annotate(voc, "2", size=size)
    assert samples(open_data(voc))["2"].size is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "cannot be read as XML"),
        ("", "cannot be read as XML"),
        ("<?xml version='1.0' encoding='nonsense'?><a/>", "cannot be read as XML"),
        ("<a><object/></a>", "object 1 has no name"),
        ("<a><object><name>cat</name></object></a>", "object 1 has no bndbox/xmin, expected a number"),
        (f"<a>{thing('cat', (1, 1, 'far', 2))}</a>", "object 1: bndbox/xmax is 'far', expected a number"),
        (f"<a>{thing('cat', (1, 1, 2, ''))}</a>", "object 1: bndbox/ymax is '', expected a number"),
        (f"<a>{thing('cat', (1, 1, 2, 2), '<difficult>very</difficult>')}</a>", "object 1: difficult is 'very'"),
        ("<a><size><width>-1</width></size></a>", "size: height and width are 0 and -1"),
        ("<a><size><width>nan</width></size></a>", "size: height and width are 0 and nan"),
    ],
)
def test_a_broken_file_is_refused_with_object_and_key(voc: Path, text: str, message: str) -> None:
    (voc / "Annotations/2.xml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"2.xml: {message}"):
        open_data(voc)


def test_an_entity_that_names_another_file_is_not_followed(voc: Path) -> None:
    (voc / "secret").write_text("cat", encoding="utf-8")
    entity = f'<!DOCTYPE a [<!ENTITY secret SYSTEM "file://{voc}/secret">]>'
    (voc / "Annotations/2.xml").write_text(f"{entity}<a>{thing('&secret;', (1, 1, 2, 2))}</a>", encoding="utf-8")
    with pytest.raises(UserError, match=r"2.xml: cannot be read as XML \(undefined entity &secret;"):
        open_data(voc)
