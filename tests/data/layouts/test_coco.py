"""COCO boxes: what is read, matched by name, left out and named; pycocotools and the JSON itself are the referees."""

import contextlib
import io
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fna.data.layouts.opening import DetectionData, open_data
from fna.data.samples import BoxSample
from fna.errors import UserError

Draw = Callable[..., Path]


def samples(data: DetectionData, split: str = "train") -> dict[str, BoxSample]:
    return {sample.name: sample for sample in data.splits[split]}


def problems(data: DetectionData) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {problem.text: (problem.severity, problem.files) for problem in data.problems}


def test_boxes_sizes_areas_and_ids_are_those_of_the_file(coco: Any) -> None:
    coco.train["annotations"][2]["area"] = 4.25
    data = open_data(coco.write())
    assert (data.kind, data.layout, data.root, data.problems) == ("boxes", "coco", coco.root, ())
    assert (data.classes, data.category_ids) == (("cat", "dog"), (3, 7))
    found = samples(data)
    assert list(found) == ["a", "b", "c"]
    assert found["a"].boxes.tolist() == [[0, 0, 10, 8], [4.5, 3, 6.5, 5.5]]
    assert found["a"].labels.tolist() == [0, 1]
    assert found["a"].areas.tolist() == [80, 4.25]
    assert found["a"].crowd.tolist() == [False, False]
    assert (found["a"].size, found["a"].image_id, found["a"].image) == ((8, 10), 11, coco.root / "train/a.png")
    assert (found["b"].boxes.tolist(), found["b"].labels.tolist()) == ([[1, 2, 4, 6]], [1])


def test_an_image_without_boxes_is_kept_with_empty_arrays_of_the_right_shape(coco: Any) -> None:
    empty = samples(open_data(coco.write()))["c"]
    assert (empty.boxes.shape, empty.labels.shape, empty.crowd.shape, empty.areas.shape) == ((0, 4), (0,), (0,), (0,))
    assert (empty.boxes.dtype, empty.labels.dtype, empty.crowd.dtype) == (np.float64, np.int64, np.bool_)


def test_crowd_boxes_are_kept_and_marked_and_segmentations_do_not_count(coco: Any) -> None:
    coco.train["annotations"][1] |= {"iscrowd": 1, "segmentation": {"counts": "xyz", "size": [8, 10]}, "area": 12}
    found = samples(open_data(coco.write()))["a"]
    assert (found.crowd.tolist(), found.areas.tolist()) == ([True, False], [12, 5])
    assert found.boxes[0].tolist() == [0, 0, 10, 8]


def test_classes_are_matched_by_name_when_the_ids_of_the_splits_differ(coco: Any) -> None:
    coco.val["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    for annotation in coco.val["annotations"]:
        annotation["category_id"] = {7: 1, 3: 2}[annotation["category_id"]]
    data = open_data(coco.write())
    assert (data.classes, data.category_ids, data.problems) == (("dog", "cat"), (1, 2), ())
    assert samples(data)["a"].labels.tolist() == [1, 0]
    assert samples(data, "val")["v"].labels.tolist() == [1, 0]


def test_class_lists_that_differ_are_named_and_a_number_that_is_taken_gives_way(coco: Any) -> None:
    coco.train["categories"] = [{"id": 3, "name": "Cat"}, {"id": 7, "name": "dog"}]
    data = open_data(coco.write())
    assert (data.classes, data.category_ids) == (("cat", "dog", "Cat"), (3, 7, 8))
    text = "the class lists of the splits differ; classes are matched by name"
    assert problems(data) == {text: ("warning", ("cat: only in val", "Cat: only in train"))}


def test_a_category_without_boxes_stays_a_class(coco: Any) -> None:
    for content in (coco.train, coco.val):
        content["categories"].append({"id": 90, "name": "cow", "supercategory": "animal"})
    assert open_data(coco.write()).classes == ("cat", "dog", "cow")


@pytest.mark.parametrize("name", ["animals", "dog"])
def test_the_supercategory_that_is_no_class_is_left_out_unless_a_box_has_it(coco: Any, name: str) -> None:
    for content in (coco.train, coco.val):
        for category in content["categories"]:
            category["supercategory"] = name
        content["categories"].append({"id": 0, "name": name, "supercategory": "none"})
    data = open_data(coco.write())
    assert (data.classes, data.category_ids) == (("cat", "dog"), (3, 7))
    assert f"left out, being no class but the supercategory of all others: {name}" in data.notes
    if name == "animals":
        coco.train["annotations"][0]["category_id"] = 0
        data = open_data(coco.write())
        assert (data.classes, samples(data)["b"].labels.tolist()) == (("animals", "cat", "dog"), [0])


def test_without_val_a_fifth_of_train_becomes_val_and_the_ids_are_those_of_train(coco: Any) -> None:
    coco.val = None
    data = open_data(coco.write())
    assert sorted([*samples(data), *samples(data, "val")]) == ["a", "b", "c"]
    assert (len(data.splits["val"]), data.category_ids) == (1, (3, 7))
    assert any(note.startswith("no val split: 20% of train") for note in data.notes)


@pytest.mark.parametrize(
    ("annotation_file", "folder"),
    [
        ("instances_train.json", "train"),
        ("instances_train2017.json", "train2017"),
        ("instances_train2017.json", "train"),
        ("instances_train2017.json", "images/train2017"),
        ("instances_train.json", "images/train"),
        ("instances_train.json", "images"),
        ("instances_training.json", "training"),
        ("instances_train.json", "."),
    ],
)
def test_the_usual_places_of_the_images_are_found(coco: Any, annotation_file: str, folder: str) -> None:
    root = coco.write()
    (root / "annotations/instances_train.json").rename(root / "annotations" / annotation_file)
    (root / "train").rename(root / "moved")
    (root / "train2014").mkdir()
    (root / folder).mkdir(parents=True, exist_ok=True)
    for file in (root / "moved").iterdir():
        file.rename(root / folder / file.name)
    data = open_data(root)
    assert [sample.image for sample in data.splits["train"]] == [root / folder / f"{name}.png" for name in "abc"]
    assert f"train: images in {folder}" in data.notes


def test_names_may_have_folders_and_other_files_in_annotations_are_noted(coco: Any) -> None:
    coco.train["images"][0]["file_name"] = "deep/er/a.png"
    (coco.root / "train/deep/er").mkdir(parents=True)
    (coco.root / "train/a.png").rename(coco.root / "train/deep/er/a.png")
    coco.write()
    for name in ("captions_train.json", "instances_valminusminival.json"):
        (coco.root / "annotations" / name).touch()
    data = open_data(coco.root)
    assert samples(data)["deep/er/a"].image == coco.root / "train/deep/er/a.png"
    assert "annotation files not used: captions_train.json, instances_valminusminival.json" in data.notes


def test_roboflow_folders_are_read_with_valid_and_test(coco: Any, draw: Draw) -> None:
    draw("test/t.png", size=(8, 10))
    (coco.root / "val").rename(coco.root / "valid")
    for split, content in (
        ("train", coco.train),
        ("valid", coco.val),
        ("test", {**coco.val, "images": [coco.image(11, "t.png")]}),
    ):
        (coco.root / split / "_annotations.coco.json").write_text(json.dumps(content), encoding="utf-8")
    data = open_data(coco.root)
    assert (data.layout, data.problems) == ("coco", ())
    assert {split: list(samples(data, split)) for split in data.splits} == {
        "train": ["a", "b", "c"],
        "val": ["v"],
        "test": ["t"],
    }


def test_what_is_wrong_with_boxes_is_left_out_and_named_one_problem_a_kind(coco: Any) -> None:
    boxes = {
        "flat": [[1, 1, 0, 3], [1, 1, 3, 0], [1, 1, 0, 0]],
        "negative": [[5, 5, -2, 3]],
        "not finite": [[math.nan, 0, 1, 1], [0, 0, math.inf, 1]],
        "outside": [[10, 0, 3, 3], [0, 8.5, 3, 3], [-4, 0, 4, 3]],
        "partly": [[8, 6, 4, 1], [-1.5, 0, 4, 4]],
        "rounding": [[9, 0, 2, 8], [-1, 0, 4, 4]],
    }
    number = 100
    ids: dict[str, list[int]] = {}
    for kind, listed in boxes.items():
        ids[kind] = list(range(number, number + len(listed)))
        coco.train["annotations"] += [coco.box(number + place, 13, 3, box) for place, box in enumerate(listed)]
        number += len(listed)
    data = open_data(coco.write())
    found = problems(data)
    file = coco.root / "annotations/instances_train.json"
    for kind, severity, text in (
        ("flat", "warning", "train: box without an area, left out"),
        ("negative", "error", "train: box of negative width or height, left out"),
        ("not finite", "error", "train: box with numbers that are not finite, left out"),
        ("outside", "error", "train: box entirely outside of its image, left out"),
        ("partly", "warning", "train: box reaches outside of its image, clipped in training"),
    ):
        assert found[text][0] == severity
        assert [place.split(": box")[0] for place in found[text][1]] == [f"{file}: annotation {n}" for n in ids[kind]]
    assert len(found) == 5
    assert found["train: box entirely outside of its image, left out"][1][1].endswith(
        "box from x 0, y 8.5 to x 3, y 11.5 in an image of 8x10 (height x width)"
    )
    kept = [[x, y, x + w, y + h] for x, y, w, h in boxes["partly"] + boxes["rounding"]]
    assert samples(data)["c"].boxes.tolist() == kept


def test_annotations_of_what_is_not_there_and_double_ids_are_errors(coco: Any) -> None:
    coco.train["annotations"] += [
        coco.box(20, 99, 3, [1, 1, 2, 2]),
        coco.box(21, 11, 4, [1, 1, 2, 2]),
        coco.box(1, 13, 3, [1, 1, 2, 2]),
        coco.box(22, 14, 3, [1, 1, 2, 2]),
    ]
    coco.train["images"] += [
        coco.image(14, "missing.png"),
        coco.image(11, "again.png"),
        coco.image(15, "b.png"),
        coco.image(16, "b.jpg"),
        coco.image(17, "../val/v.png"),
    ]
    data = open_data(coco.write())
    file = coco.root / "annotations/instances_train.json"
    assert problems(data) == {
        "train: annotation of an image that is not in the file, left out": (
            "error",
            (f"{file}: annotation 20: image_id 99",),
        ),
        "train: annotation of a category that is not in the file, left out": (
            "error",
            (f"{file}: annotation 21: category_id 4",),
        ),
        "train: annotation id is there twice": ("error", (f"{file}: annotation 1",)),
        "train: image file is missing, left out": ("error", (f"{file}: image 14: {coco.root}/train/missing.png",)),
        "train: image id is there twice, the first is taken": ("error", (f"{file}: image 11: again.png",)),
        "train: file name is there twice, the first is taken": ("error", (f"{file}: image 15: b.png",)),
        "train: several files for one name, the first is taken": ("error", (f"{file}: image 16: b.jpg",)),
        "train: file_name does not lead to a file in the image folder, left out": (
            "error",
            (f"{file}: image 17: ../val/v.png",),
        ),
    }
    assert list(samples(data)) == ["a", "b", "c"]
    assert samples(data)["c"].boxes.tolist() == [[1, 1, 3, 3]]


def test_a_useless_area_is_replaced_and_named(coco: Any) -> None:
    coco.train["annotations"][0]["area"] = -1
    coco.train["annotations"][1]["area"] = None
    data = open_data(coco.write())
    assert samples(data)["b"].areas.tolist() == [12]
    assert samples(data)["a"].areas.tolist() == [80, 5]
    assert list(problems(data)) == ["train: area is negative or not finite, width x height is taken"]


@pytest.mark.parametrize(
    ("part", "entry", "change", "message"),
    [
        ("images", 0, {"id": "11"}, r"images, entry 1: id is '11', expected a whole number"),
        ("images", 0, {"id": True}, r"images, entry 1: id is True"),
        ("images", 1, {"file_name": 5}, r"images, entry 2: file_name is 5, expected a text"),
        ("images", 0, {"width": "wide"}, r"images, entry 1: width is 'wide'"),
        ("images", 0, {"height": None}, r"images, entry 1: height is None"),
        ("images", 0, {"height": 0}, r"height and width are 0 and 10"),
        ("images", 0, {"height": 10**400}, r"height is 10+, expected a whole number"),
        ("annotations", 0, {"bbox": None}, r"annotation 1: bbox is None, expected \[x, y, width, height\]"),
        ("annotations", 0, {"bbox": [1, 2, 3]}, r"annotation 1: bbox is a list of 3"),
        ("annotations", 0, {"bbox": [1, 2, 3, "4"]}, r"annotation 1: bbox has '4', expected a number"),
        ("annotations", 0, {"area": "big"}, r"annotation 1: area has 'big'"),
        ("annotations", 0, {"iscrowd": "no"}, r"annotation 1: iscrowd is 'no', expected 0 or 1"),
        ("annotations", 0, {"category_id": 1.5}, r"annotation 1: category_id is 1.5, expected a whole number"),
        ("annotations", 0, {"image_id": {}}, r"annotation 1: image_id is a table"),
        ("categories", 1, {"name": ""}, r"categories, entry 2: name is '', expected a text"),
        ("categories", 1, {"name": "dog"}, r"categories has the name 'dog' twice"),
        ("categories", 1, {"id": 7}, r"categories, entry 2: the id 7 is there twice"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_with_file_place_and_key(
    coco: Any, part: str, entry: int, change: dict[str, Any], message: str
) -> None:
    coco.train[part][entry] |= change
    with pytest.raises(UserError, match=rf"instances_train.json: .*{message}"):
        open_data(coco.write())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("\xff", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[1]", "holds a list of 1, expected a table"),
        ("{}", "has no images, expected a list"),
        ('{"images": {}, "annotations": [], "categories": []}', "images is a table, expected a list"),
        ('{"images": [1], "annotations": [], "categories": []}', "images, entry 1 is 1, expected a table"),
        ('{"images": [], "annotations": [], "categories": []}', "categories is empty"),
        ('{"images": [{"id": 1, "file_name": "x"}], "annotations": [{}], "categories": []}', "entry 1: has no id"),
    ],
)
def test_a_broken_file_is_refused(coco: Any, text: str, message: str) -> None:
    (coco.write() / "annotations/instances_val.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=f"instances_val.json: .*{message}"):
        open_data(coco.root)


def test_images_that_are_nowhere_are_refused_with_the_places(coco: Any) -> None:
    for image in coco.train["images"]:
        image["file_name"] = f"x{image['file_name']}"
    with pytest.raises(UserError, match=r"none of its 3 images is there, the first is xa.png. Looked in: .*/train"):
        open_data(coco.write())


def test_two_files_for_one_split_and_names_that_differ_are_refused(coco: Any) -> None:
    root = coco.write()
    (root / "classes.txt").write_text("dog\ncat\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"classes.txt: its names are not the categories of the annotations, cat, dog"):
        open_data(root)
    (root / "classes.txt").unlink()
    (root / "annotations/instances_train2014.json").touch()
    with pytest.raises(UserError, match=r"instances_train.json and instances_train2014.json are both train. Keep one"):
        open_data(root)


def test_the_animals_have_the_counts_of_their_files(shared: Path) -> None:
    root = shared / "data" / "animals"
    data = open_data(root)
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 1300, "val": 200}
    assert data.problems == ()
    assert (data.classes, data.category_ids) == (("cat", "cow", "dog", "horse", "person", "sheep"), (1, 2, 3, 4, 5, 6))
    for split, boxes in (("train", 2184), ("val", 317)):
        content = json.loads((root / f"annotations/instances_{split}.json").read_text())
        names = {category["id"]: category["name"] for category in content["categories"]}
        expected = Counter(names[annotation["category_id"]] for annotation in content["annotations"])
        labels = np.concatenate([sample.labels for sample in data.splits[split]])
        assert Counter(data.classes[label] for label in labels) == expected
        assert len(labels) == boxes
        assert split == "val" or expected["dog"] == 577


def test_every_animal_box_is_the_one_that_pycocotools_reads(shared: Path) -> None:
    from pycocotools.coco import COCO

    root = shared / "data" / "animals"
    data = open_data(root)
    for split, found in data.splits.items():
        with contextlib.redirect_stdout(io.StringIO()):
            reference = COCO(str(root / f"annotations/instances_{split}.json"))
        for index, category in enumerate(data.category_ids):
            assert sum(int((sample.labels == index).sum()) for sample in found) == len(
                reference.getAnnIds(catIds=category)
            )
        assert {sample.image_id for sample in found} == set(reference.getImgIds())
        for sample in found:
            annotations = reference.loadAnns(reference.getAnnIds(imgIds=sample.image_id))
            expected = np.array([annotation["bbox"] for annotation in annotations]).reshape(-1, 4)
            expected[:, 2:] += expected[:, :2]
            np.testing.assert_array_equal(sample.boxes, expected)
            assert sample.areas.tolist() == [annotation["area"] for annotation in annotations]
            assert sample.labels.tolist() == [
                data.category_ids.index(annotation["category_id"]) for annotation in annotations
            ]
