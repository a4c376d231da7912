"""Layouts found on disk: what is accepted, what is refused, and what is said about it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fna.data.layouts.opening import LAYOUTS, ClassificationData, DetectionData, SegmentationData, open_data
from fna.errors import UserError
from fna.tasks.kinds import task_of_data

Draw = Callable[..., Path]


def names(data: SegmentationData) -> dict[str, list[str]]:
    return {split: [sample.name for sample in samples] for split, samples in data.splits.items()}


def describe(root: Path, **content: object) -> Path:
    file = root / "data.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def move(root: Path, old: str, new: str) -> None:
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)


def test_camvid_is_found_with_its_367_and_101_images_and_11_classes(shared: Path) -> None:
    data = open_data(shared / "data" / "camvid")
    assert (data.layout, len(data.classes), data.ignore, data.label_mapping) == ("folders", 11, 255, None)
    assert {split: len(samples) for split, samples in data.splits.items()} == {"train": 367, "val": 101}
    assert data.problems == ()
    assert data.classes[:3] == ("sky", "building", "pole")
    for sample in (*data.splits["train"], *data.splits["val"]):
        assert sample.image.stem == sample.mask.stem == sample.name


def test_a_folder_of_the_other_task_is_refused_by_what_it_holds(shared: Path) -> None:
    with pytest.raises(
        UserError, match=r"(?s)no known layout for --task seg .*Found: annotations/, train/, val/.*det\?"
    ):
        open_data(shared / "data" / "animals", "seg")
    with pytest.raises(
        UserError, match=r"(?s)no known layout for --task det .*Found: .*masks/.*did you mean --task seg\?"
    ):
        open_data(shared / "data" / "camvid", "det")


@pytest.mark.parametrize(
    "moves",
    [
        {},
        {"images/val": "images/valid", "masks/val": "masks/validation"},
        {"images": "img_dir", "masks": "ann_dir"},
        {"images": "Images", "masks": "labels"},
        {
            "images/train": "train/images",
            "masks/train": "train/masks",
            "images/val": "val/img",
            "masks/val": "val/labels",
        },
    ],
)
def test_both_folder_orders_and_the_usual_names_give_the_same_samples(tree: Path, moves: dict[str, str]) -> None:
    for old, new in moves.items():
        move(tree, old, new)
    for empty in ("images", "masks"):
        if (tree / empty).is_dir() and not any((tree / empty).iterdir()):
            (tree / empty).rmdir()
    data = open_data(tree)
    assert data.problems == ()
    assert data.classes == ("sky", "road", "car")
    assert names(data) == {"train": [f"train{n}" for n in range(6)], "val": ["val0", "val1"]}


def test_masks_in_subfolders_are_paired_by_their_path(tmp_path: Path, draw: Draw) -> None:
    for city in ("a", "b"):
        draw(f"images/train/{city}/1.png")
        draw(f"masks/train/{city}/1.png")
    (tmp_path / "classes.txt").write_text("x\ny\nz", encoding="utf-8")
    data = open_data(tmp_path)
    pairs = [(s.image.parent.name, s.mask.parent.name) for samples in data.splits.values() for s in samples]
    assert sorted(pairs) == [("a", "a"), ("b", "b")]


def test_a_common_ending_of_the_masks_is_accepted_and_noted(tree: Path) -> None:
    for mask in list((tree / "masks").rglob("*.png")):
        mask.rename(mask.with_stem(mask.stem + "_mask"))
    data = open_data(tree)
    assert data.problems == ()
    assert "train: mask names end in _mask" in data.notes


def test_without_a_val_split_a_fifth_goes_there_by_name_alone(tmp_path: Path, draw: Draw) -> None:
    (tmp_path / "classes.txt").write_text("x\ny\nz", encoding="utf-8")
    blank = np.zeros((2, 2), np.uint8)
    for number in range(200):
        draw(f"images/{number}.png", blank)
        draw(f"masks/{number}.png", blank)
    first = names(open_data(tmp_path))
    assert not set(first["train"]) & set(first["val"])
    assert sorted(first["train"] + first["val"]) == sorted(map(str, range(200)))
    assert 25 <= len(first["val"]) <= 55  # binomial(200, 0.2): 40 +- 5.7
    note = f"no val split: 20% of train by hash of the file name ({len(first['train'])} train, {len(first['val'])} val)"
    assert note in open_data(tmp_path).notes
    for number in range(200, 250):
        draw(f"images/{number}.png", blank)
        draw(f"masks/{number}.png", blank)
    more = names(open_data(tmp_path))
    assert set(first["val"]) <= set(more["val"])
    assert set(first["train"]) <= set(more["train"])


def test_two_images_without_a_val_split_go_one_to_each_side(tmp_path: Path, draw: Draw) -> None:
    (tmp_path / "classes.txt").write_text("x\ny\nz", encoding="utf-8")
    for number in range(2):
        draw(f"images/{number}.png")
        draw(f"masks/{number}.png")
    assert [len(samples) for samples in open_data(tmp_path).splits.values()] == [1, 1]


def test_missing_partners_odd_files_and_double_names_are_problems_by_name(tree: Path, draw: Draw) -> None:
    (tree / "masks/train/train0.png").unlink()
    (tree / "images/train/train1.png").unlink()
    Image.new("RGB", (8, 6)).save(tree / "images/train/train2.jpg")
    (tree / "images/train/notes.txt").touch()
    (tree / "images/train/.hidden").touch()
    (tree / "masks/train/train3.png").rename(tree / "masks/train/train3.jpg")
    data = open_data(tree)
    found = {problem.text: (problem.severity, [Path(file).name for file in problem.files]) for problem in data.problems}
    assert found == {
        "train: image without a mask": ("error", ["train0.png", "train3.png"]),
        "train: mask without an image": ("error", ["train1.png"]),
        "train: several files for one name": ("error", ["train2.jpg", "train2.png", "train2.png"]),
        "train: not an image by its suffix, not used": ("warning", ["notes.txt"]),
        "train: not a mask by its suffix (accepted: .bmp, .png, .tif, .tiff)": ("error", ["train3.jpg"]),
    }
    assert names(data)["train"] == ["train4", "train5"]


def test_a_test_split_without_masks_is_left_out_and_noted(tree: Path, draw: Draw) -> None:
    draw("images/test/1.png")
    data = open_data(tree)
    assert set(data.splits) == {"train", "val"}
    assert "test has no masks and is left out" in data.notes


def test_a_missing_mask_folder_makes_every_image_a_problem(tree: Path) -> None:
    for mask in (tree / "masks/val").iterdir():
        mask.unlink()
    (tree / "masks/val").rmdir()
    data = open_data(tree)
    assert [(problem.text, len(problem.files)) for problem in data.problems] == [("val: image without a mask", 2)]


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (["img_dir/train"], "expected one folder named images, .*; found images, img_dir"),
        (["images/valid"], "both val and valid look like the val split"),
        (["images/extra"], "holds extra, and it is not clear to which split"),
        (["train/images", "train/masks"], "fits more than one layout"),
        (["leftImg8bit", "gtFine"], "fits more than one layout: .*Cityscapes"),
    ],
)
def test_what_is_ambiguous_is_refused_and_named(tree: Path, add: list[str], message: str) -> None:
    for folder in add:
        (tree / folder).mkdir(parents=True)
    with pytest.raises(UserError, match=message):
        open_data(tree)


def test_an_unknown_folder_names_what_is_there_what_is_accepted_and_what_may_be_meant(tree: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)Found: .*Accepted:.*images/SPLIT.*Cityscapes.*VOC.*YAML.*Did you mean"):
        open_data(tree.parent)
    with pytest.raises(UserError, match="nothing is there"):
        open_data(tree / "nowhere")
    with pytest.raises(UserError, match="another kind of file"):
        open_data(tree / "classes.txt")


def test_boxes_in_text_files_are_not_taken_for_masks(tree: Path) -> None:
    for mask in list((tree / "masks").rglob("*.png")):
        mask.unlink()
        mask.with_suffix(".txt").touch()
    with pytest.raises(UserError, match=r"holds only \.txt files.*boxes or polygons"):
        open_data(tree)
    move(tree, "masks", "labels")
    data = open_data(tree)
    assert (data.kind, data.layout) == ("boxes", "yolo")
    with pytest.raises(UserError, match=r"no known layout for --task seg .masks."):
        open_data(tree, "seg")


def test_folders_without_class_names_are_refused(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    with pytest.raises(UserError, match=r"classes have no names. Add classes.txt"):
        open_data(tree)


def test_names_come_from_yaml_as_a_list_or_a_table(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    describe(tree, names=["a", "b", "c"])
    assert open_data(tree).classes == ("a", "b", "c")
    describe(tree, names={0: "a", 1: "b", 2: "c"})
    assert (open_data(tree).classes, open_data(tree).label_mapping) == (("a", "b", "c"), None)


def test_names_that_leave_numbers_out_become_a_mapping(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    describe(tree, names={7: "road", 26: "car"}, ignore=0)
    data = open_data(tree)
    assert (data.classes, data.label_mapping, data.ignore) == (("road", "car"), {0: 255, 7: 0, 26: 1}, 0)


def test_a_binary_mask_of_0_and_255_is_described_by_a_mapping(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    describe(tree, names=["background", "crack"], label_mapping={0: 0, 255: 1})
    assert open_data(tree).label_mapping == {0: 0, 255: 1}


def test_a_yaml_file_elsewhere_names_path_folders_and_masks(tree: Path, tmp_path: Path) -> None:
    move(tree, "masks", "truth")
    (tree / "classes.txt").unlink()
    file = tmp_path / "elsewhere" / "mine.yaml"
    file.parent.mkdir()
    folders = {"path": "..", "train": "images/train", "val": "images/val", "masks_dir": "truth"}
    file.write_text(yaml.safe_dump({**folders, "names": ["a", "b", "c"]}), encoding="utf-8")
    data = open_data(file)
    assert names(data) == {"train": [f"train{n}" for n in range(6)], "val": ["val0", "val1"]}
    assert data.splits["val"][0].mask == tree / "truth/val/val0.png"
    assert data.problems == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": ["a", "b"]}, "unknown key 'name'; did you mean 'names'"),
        ({"names": ["a"]}, "1 classes, expected 2 to 255. The background"),
        ({"names": [f"class {n}" for n in range(256)]}, "256 classes, expected 2 to 255. The background"),
        ({"names": []}, "names no class"),
        ({"names": ["a", "b"], "nc": 3}, "nc is 3, but there are 2 names"),
        ({"names": ["a", "b"], "nc": "two"}, "nc is 'two', expected the number"),
        ({"names": ["a", False]}, "class 1 is False, expected a name"),
        ({"names": ["a", "a"]}, "'a' is there twice"),
        ({"names": "a b"}, "names is 'a b', expected a list or a table"),
        ({"names": {"x": "a", 1: "b"}}, "key 'x', expected whole numbers"),
        ({"names": ["a", "b"], "label_mapping": {0: 0, 1: 5}}, "takes 1 to 5, expected 0 to 1, or 255"),
        ({"names": ["a", "b"], "label_mapping": {"x": 0}}, "key 'x', expected whole numbers from -1"),
        ({"names": ["a", "b"], "label_mapping": [0, 1]}, "label_mapping is a list of 2, expected a table"),
        ({"names": {1: "a", 2: "b"}, "label_mapping": {1: 0}}, "with a label_mapping the names are counted 0, 1, 2"),
        ({"names": ["a", "b"], "ignore": 1}, "ignore is 1, which is also class 1"),
        ({"names": ["a", "b"], "ignore": 7, "label_mapping": {7: 0}}, "ignore is 7, but 7 is also mapped to class 0"),
        ({"names": ["a", "b"], "ignore": "none"}, "ignore is 'none', expected the mask value"),
        ({"names": ["a", "b"], "palette": [[0, 0, 0]]}, "palette is a list of 1, expected one"),
        ({"names": ["a", "b"], "palette": [[0, 0, 0], [0, 0, 256]]}, r"palette has \[0, 0, 256\]"),
        ({"names": ["a", "b"], "path": "nowhere"}, "there is no folder"),
        ({"names": ["a", "b"], "train": "images/nothing"}, "there is no such folder"),
        ({"names": ["a", "b"], "train": "masks/train"}, "expected a path with one part named images"),
        ({"names": ["a", "b"], "train": ["images/train"]}, "train is a list of 1, expected a folder"),
        ({"names": ["a", "b"], "masks_dir": "masks"}, "masks_dir is given, but no image folders"),
        ({"label_mapping": {0: 0}}, "label_mapping without names"),
        ({"ignore": 254}, "ignore without names"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_with_key_and_value(
    tree: Path, content: dict[str, object], message: str
) -> None:
    (tree / "classes.txt").unlink()
    describe(tree, **content)
    with pytest.raises(UserError, match=message):
        open_data(tree)


def test_two_descriptions_must_agree(tree: Path) -> None:
    describe(tree, names=["sky", "road", "car"])
    assert open_data(tree).classes == ("sky", "road", "car")
    describe(tree, names=["sky", "car", "road"])
    with pytest.raises(UserError, match="names differ from those in the YAML file"):
        open_data(tree)
    (tree / "data.yml").touch()
    with pytest.raises(UserError, match=r"both data.yaml and data.yml"):
        open_data(tree)


def test_broken_yaml_and_blank_lines_between_names_are_refused(tree: Path) -> None:
    (tree / "classes.txt").write_text("sky\n\nroad\n", encoding="utf-8")
    with pytest.raises(UserError, match="class 1 is ''"):
        open_data(tree)
    (tree / "data.yaml").write_text("names: [a", encoding="utf-8")
    with pytest.raises(UserError, match=r"data.yaml: cannot be read as YAML"):
        open_data(tree)
    (tree / "data.yaml").write_text("- a", encoding="utf-8")
    with pytest.raises(UserError, match="holds a list of 1, expected keys"):
        open_data(tree)


def test_the_colours_of_palette_masks_are_kept(tree: Path) -> None:
    mask = Image.new("P", (8, 6))
    mask.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    mask.save(tree / "masks/train/train0.png")
    assert open_data(tree).palette == ((10, 20, 30), (40, 50, 60), (70, 80, 90))


@pytest.fixture
def cityscapes(tmp_path: Path, draw: Draw) -> Path:
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "munster"), ("test", "bonn")):
        draw(f"leftImg8bit/{split}/{city}/{city}_000000_000019_leftImg8bit.png")
        draw(f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_labelIds.png")
        draw(f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_color.png")
        (tmp_path / f"gtFine/{split}/{city}/{city}_000000_000019_gtFine_polygons.json").touch()
    return tmp_path


def test_cityscapes_has_the_classes_the_map_and_the_colours_of_torchvision(cityscapes: Path) -> None:
    from torchvision.datasets import Cityscapes

    data = open_data(cityscapes)
    reference = {entry.id: entry for entry in Cityscapes.classes}
    evaluated = sorted((e for e in reference.values() if not e.ignore_in_eval), key=lambda e: e.train_id)
    assert data.classes == tuple(entry.name for entry in evaluated)
    assert data.palette == tuple(entry.color for entry in evaluated)
    assert data.label_mapping is not None
    assert {value: data.label_mapping[value] for value in reference} == {
        value: 255 if entry.ignore_in_eval else entry.train_id for value, entry in reference.items()
    }


def test_cityscapes_splits_are_paired_and_the_test_split_is_left_out(cityscapes: Path) -> None:
    data = open_data(cityscapes)
    assert (data.layout, data.problems) == ("cityscapes", ())
    assert names(data) == {
        "train": ["aachen/aachen_000000_000019", "ulm/ulm_000000_000019"],
        "val": ["munster/munster_000000_000019"],
    }
    assert data.notes == ("Cityscapes tree, masks: labelIds", "test is left out: its labels are not public")


def test_cityscapes_train_ids_are_taken_where_there_are_any_and_gaps_are_named(cityscapes: Path, draw: Draw) -> None:
    draw("gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png")
    data = open_data(cityscapes)
    assert data.label_mapping is None
    assert "Cityscapes tree, masks: labelTrainIds" in data.notes
    assert names(data)["train"] == ["ulm/ulm_000000_000019"]
    assert [len(problem.files) for problem in data.problems] == [1, 1]


def test_cityscapes_without_masks_says_which_names_are_expected(cityscapes: Path) -> None:
    for mask in list((cityscapes / "gtFine").rglob("*labelIds.png")):
        mask.unlink()
    with pytest.raises(UserError, match=r"_gtFine_labelTrainIds or _gtFine_labelIds"):
        open_data(cityscapes)


@pytest.fixture
def voc(tmp_path: Path, draw: Draw) -> Path:
    for name in ("2007_1", "2007_2", "2007_3", "2007_9"):
        draw(f"JPEGImages/{name}.jpg")
    for name in ("2007_1", "2007_2", "2007_3"):
        draw(f"SegmentationClass/{name}.png")
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n2007_2\n", encoding="utf-8")
    (lists / "val.txt").write_text("2007_3\n", encoding="utf-8")
    (lists / "trainval.txt").write_text("2007_1\n2007_2\n2007_3\n", encoding="utf-8")
    return tmp_path


def test_voc_has_the_21_classes_of_torchvision_and_its_lists(voc: Path) -> None:
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    data = open_data(voc)
    categories = DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"]
    assert data.classes == ("background", *categories[1:])
    assert names(data) == {"train": ["2007_1", "2007_2"], "val": ["2007_3"]}
    assert (data.layout, data.problems, data.label_mapping) == ("voc", (), None)
    assert "lists not used: trainval.txt" in data.notes
    # The first colours of the development kit's map: aeroplane dark red, bicycle dark green, bird olive, tvmonitor
    assert data.palette is not None
    assert (data.palette[1], data.palette[2], data.palette[3], data.palette[20]) == (
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 64, 128),
    )


def test_voc_takes_own_classes_and_makes_a_val_split(voc: Path) -> None:
    (voc / "classes.txt").write_text("x\ny\nz", encoding="utf-8")
    (voc / "ImageSets/Segmentation/val.txt").unlink()
    data = open_data(voc)
    assert (data.classes, data.palette) == (("x", "y", "z"), None)
    assert [len(samples) for samples in data.splits.values()] == [1, 1]


def test_voc_names_without_files_and_listed_twice_are_problems(voc: Path) -> None:
    (voc / "ImageSets/Segmentation/train.txt").write_text("2007_1\n2007_1\n2007_9\nnothing\n", encoding="utf-8")
    problems = {problem.text: problem.files for problem in open_data(voc).problems}
    assert set(problems) == {
        "train: image without a mask",
        "train: listed twice in train.txt",
        "train: listed in train.txt, neither image nor mask found",
    }
    assert problems["train: listed in train.txt, neither image nor mask found"] == ("nothing",)
    (voc / "ImageSets/Segmentation/train.txt").unlink()
    with pytest.raises(UserError, match=r"found no train.txt"):
        open_data(voc)


def test_every_data_set_knows_the_kind_of_its_annotations_and_some_task_learns_from_it() -> None:
    kinds = [data.kind for data in (SegmentationData, DetectionData, ClassificationData)]
    assert kinds == ["masks", "boxes", "classes"]
    assert [task_of_data(kind) for kind in kinds] == ["seg", "det", "cls"]


@pytest.mark.parametrize("task", ["segmentation", "boxes", ""])
def test_an_unknown_task_is_refused(tree: Path, task: str) -> None:
    with pytest.raises(UserError, match=r"unknown task .* Allowed: cls, det, seg"):
        open_data(tree, task)


def test_a_folder_that_fits_nothing_is_told_the_layouts_of_both_tasks(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_data(tmp_path)
    assert all(layout.name in str(caught.value) for layout in LAYOUTS)
    with pytest.raises(UserError) as caught:
        open_data(tmp_path, "det")
    assert [layout.kind for layout in LAYOUTS if layout.name in str(caught.value)] == ["boxes"] * 5


VOC_XML = "<annotation><object><name>cat</name><bndbox>{}</bndbox></object></annotation>".format(
    "".join(f"<{key}>{value}</{key}>" for key, value in (("xmin", 1), ("ymin", 1), ("xmax", 4), ("ymax", 5)))
)


def test_voc_with_masks_and_boxes_needs_the_task(voc: Path) -> None:
    (voc / "Annotations").mkdir()
    assert open_data(voc).kind == "masks"
    lists = voc / "ImageSets/Main"
    lists.mkdir()
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_text((voc / f"ImageSets/Segmentation/{split}.txt").read_text())
    for name in ("2007_1", "2007_2", "2007_3"):
        (voc / f"Annotations/{name}.xml").write_text(VOC_XML)
    with pytest.raises(
        UserError, match=r"SegmentationClass.* \(masks\); .*Annotations.* \(boxes\).*--task seg or --task det"
    ):
        open_data(voc)
    assert open_data(voc, "seg").classes[0] == "background"
    assert open_data(voc, "det").classes == ("cat",)


def test_masks_in_labels_are_not_taken_for_yolo(tree: Path) -> None:
    move(tree, "masks", "labels")
    (tree / "labels/classes.txt").write_text("sky\nroad\ncar\n", encoding="utf-8")
    assert open_data(tree).kind == "masks"
    (tree / "labels/train/notes.txt").touch()  # belongs to no image
    assert open_data(tree).kind == "masks"
    with pytest.raises(UserError, match=r"no known layout for --task det"):
        open_data(tree, "det")


def test_labels_with_masks_and_boxes_need_the_task(tree: Path) -> None:
    move(tree, "masks", "labels")
    (tree / "labels/train/train0.txt").write_text("0 .5 .5 .5 .5\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"images/SPLIT \+ masks/SPLIT .*\(masks\); YOLO.*\(boxes\).*--task seg"):
        open_data(tree)
    assert len(open_data(tree, "det").splits["train"][0].boxes) == 1
    seg = open_data(tree, "seg")
    assert [problem.files for problem in seg.problems] == [(str(tree / "labels/train/train0.txt"),)]


def test_labels_without_any_file_may_be_either(tree: Path) -> None:
    for mask in (tree / "masks").rglob("*.png"):
        mask.unlink()
    move(tree, "masks", "labels")
    with pytest.raises(UserError, match="--task seg or --task det"):
        open_data(tree)
    assert len(open_data(tree, "det").splits["train"]) == 6
    assert len(open_data(tree, "seg").problems[0].files) == 6


def test_masks_beside_yolo_labels_need_the_task(tree: Path) -> None:
    for split, name in (("train", "train0"), ("val", "val0")):
        (tree / "labels" / split).mkdir(parents=True)
        (tree / "labels" / split / f"{name}.txt").write_text("2 .5 .5 .5 .5\n", encoding="utf-8")
    with pytest.raises(UserError, match="--task seg or --task det"):
        open_data(tree)
    assert open_data(tree, "det").layout == "yolo"
    assert open_data(tree, "seg").layout == "folders"
    (tree / "classes.txt").unlink()
    file = describe(tree, train="images/train", val="images/val", names=["a", "b", "c"])
    with pytest.raises(UserError, match="both masks and YOLO labels beside them. .*--task seg or --task det"):
        open_data(file)
    assert open_data(file, "det").layout == "yolo"
    assert open_data(file, "seg").layout == "folders"
    file = describe(tree, train="images/train", val="images/val", names=["a", "b", "c"], masks_dir="masks")
    assert open_data(file).layout == "folders"
    with pytest.raises(UserError, match="masks_dir is about masks"):
        open_data(file, "det")


def test_json_beside_images_is_not_taken_for_masks_but_png_in_annotations_is(tree: Path) -> None:
    move(tree, "masks", "annotations")
    assert open_data(tree).kind == "masks"
    (tree / "annotations/instances_train.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"instances_train.json: holds a list of 0, expected a table with images"):
        open_data(tree)


def test_keys_of_other_tools_are_noted_and_an_empty_test_is_no_split(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    describe(tree, names=["a", "b", "c"], nc=3, roboflow={"version": 1}, download="https://example.org", test=None)
    assert "keys not used: roboflow, download, test" in open_data(tree).notes
