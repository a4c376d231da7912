"""One folder of images for each class: which layout it is, class order, the check, the samples, and crops of boxes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from drawn_boxes import draw_boxes
from drawn_classes import draw_classes
from fna.data.check.check import check
from fna.data.check.class_check import ClassCheckReport
from fna.data.layouts.opening import open_data
from fna.data.reading.class_dataset import ClassificationDataset, centre_view
from fna.data.reading.crops import CropCount, crops_of
from fna.data.reading.images import read_image
from fna.data.samples import ClassificationData, DetectionData
from fna.errors import UserError

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return draw_classes(tmp_path / "colours")


def opened(folder: Path) -> ClassificationData:
    data = open_data(folder, "cls")
    assert isinstance(data, ClassificationData)
    return data


def checked(folder: Path) -> ClassCheckReport:
    report = check(open_data(folder))
    assert isinstance(report, ClassCheckReport)
    return report


def test_classes_and_samples_are_those_of_torchvisions_image_folder(classes: Path) -> None:
    (classes / "train/blue/more").mkdir()
    (classes / "train/red/train0.png").rename(classes / "train/blue/more/dark.JPG")
    (classes / "train/.cache").mkdir()
    (classes / "train/.cache/thumbnail.png").touch()
    data = open_data(classes)
    assert isinstance(data, ClassificationData)
    shutil.rmtree(classes / "train/.cache")  # a class for torchvision
    theirs = ImageFolder(str(classes / "train"))
    assert list(data.classes) == theirs.classes == ["Green", "blue", "red"]
    assert {(str(s.image), s.label) for s in data.splits["train"]} == set(theirs.samples)
    assert "class names are the folders of train, sorted" in data.notes


def test_class_order_of_val_is_that_of_train_also_where_val_lacks_a_class(classes: Path) -> None:
    shutil.rmtree(classes / "val/Green")
    assert {s.label for s in opened(classes).splits["val"]} == {1, 2}, "ImageFolder would have counted anew"
    report = checked(classes)
    assert [p.text for p in report.warnings] == ["val: no image of Green"]
    assert not report.errors


def test_a_class_list_gives_the_order(classes: Path) -> None:
    (classes / "classes.txt").write_text("red\nGreen\nblue\n", encoding="utf-8")
    data = open_data(classes)
    assert data.classes == ("red", "Green", "blue")
    assert {(s.image.parent.name, s.label) for s in opened(classes).splits["val"]} == {
        ("red", 0),
        ("Green", 1),
        ("blue", 2),
    }


def test_other_names_of_splits_and_a_missing_val(classes: Path) -> None:
    (classes / "val").rename(classes / "validation")
    assert set(opened(classes).splits) == {"train", "val"}
    shutil.rmtree(classes / "validation")
    data = opened(classes)
    assert len(data.splits["train"]) + len(data.splits["val"]) == 18
    assert any("no val split" in note for note in data.notes)


def test_splits_can_be_named_in_yaml(classes: Path) -> None:
    file = classes.parent / "colours.yaml"
    file.write_text("path: colours\ntrain: val\nval: train\n", encoding="utf-8")
    data = open_data(file, "cls")
    assert (len(data.splits["train"]), len(data.splits["val"])) == (6, 18)


@pytest.mark.parametrize("name", ["images", "masks", "labels"])
def test_folders_of_images_or_masks_are_no_classes(classes: Path, name: str) -> None:
    (classes / "train/red").rename(classes / "train" / name)
    with pytest.raises(UserError, match=r"no known layout(?s:.*)classes: ImageNet: train/CLASS"):
        open_data(classes)


def test_one_folder_is_no_choice(classes: Path) -> None:
    shutil.rmtree(classes / "train/red")
    shutil.rmtree(classes / "train/blue")
    with pytest.raises(UserError, match="no known layout"):
        open_data(classes)


def test_a_folder_that_fits_another_layout_is_read_as_before_unless_classes_are_asked_for(tmp_path: Path) -> None:
    root = draw_boxes(tmp_path / "boxes")
    for split in ("train", "val"):  # COCO allows folders below a split
        shutil.copytree(draw_classes(tmp_path / split) / split, root / split, dirs_exist_ok=True)
    assert open_data(root).kind == "boxes"
    assert open_data(root, "cls").classes == ("Green", "blue", "red")


def test_the_images_of_a_data_set_with_masks_are_not_taken_for_classes(tmp_path: Path) -> None:
    draw_classes(tmp_path / "cities/leftImg8bit")
    (tmp_path / "cities/gtFine").mkdir()
    with pytest.raises(UserError, match=r"no known layout(?s:.*)Did you mean .*cities\?"):
        open_data(tmp_path / "cities/leftImg8bit")


def test_the_other_tasks_refuse_it_with_a_hint(classes: Path) -> None:
    with pytest.raises(UserError, match=r"It fits ImageNet: .*did you mean --task cls\?"):
        open_data(classes, "seg")


def test_the_check_counts_images_of_each_class(classes: Path) -> None:
    (classes / "train/red/train5.png").unlink()
    report = checked(classes)
    assert (report.splits["train"].class_images, report.splits["val"].class_images) == ((6, 6, 5), (2, 2, 2))
    assert report.splits["train"].sizes == {(40, 56): 17}
    lines = report.text().splitlines()
    assert any(line.split() == ["2", "red", "5", "29.4%", "2", "33.3%"] for line in lines), lines
    assert lines[-1] == "0 errors, 0 warnings"


def test_everything_that_is_wrong_is_told_with_its_files(classes: Path) -> None:
    (classes / "train/red/train0.png").write_bytes(b"no image")
    (classes / "val/purple").mkdir()
    (classes / "val/red/val0.png").rename(classes / "val/purple/val0.png")
    (classes / "train/empty").mkdir()
    shutil.copy(classes / "train/blue/train0.png", classes / "val/blue/copy.png")
    shutil.copy(classes / "train/blue/train0.png", classes / "train/stray.png")
    (classes / "train/blue/notes.txt").touch()
    report = checked(classes)
    found = {problem.text: [Path(file.split(": ")[0]).name for file in problem.files] for problem in report.problems}
    assert found == {
        "val: folder that is no class (no such folder in train, or not named)": ["purple"],
        "train: image cannot be used": ["train0.png"],
        "train and val share images (equal content)": ["copy.png"],
        "train: no image of empty": [],
        "train: not an image by its suffix, not used": ["notes.txt"],
        "train: image in no class folder, not used": ["stray.png"],
        "val: no image of empty": [],
    }
    assert [problem.severity for problem in report.problems] == ["error"] * 4 + ["warning"] * 3


def test_no_images_in_a_split_and_mask_keys_are_refused(classes: Path) -> None:
    for file in (classes / "val").rglob("*.png"):
        file.unlink()
    assert "val: the split is empty" in [problem.text for problem in checked(classes).errors]
    (classes / "data.yaml").write_text("ignore: 3\nnames: [red, Green, blue]\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"ignore is about masks, and this is read as classes"):
        open_data(classes)


@pytest.mark.parametrize("size", [(300, 400), (260, 224), (97, 180)])
def test_validation_sees_what_torchvisions_preset_sees(size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    preset = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])
    assert torch.equal(centre_view(image, (224, 224)), preset(image))


@pytest.mark.parametrize("imgsz", [(64, 96), (96, 64), (33, 50)])
def test_a_size_that_is_no_square_is_covered(imgsz: tuple[int, int]) -> None:
    image = torch.full((3, 50, 40), 9, dtype=torch.uint8)
    view = centre_view(image, imgsz)
    assert view.shape == (3, *imgsz)
    assert bool((view == 9).all()), "nothing is padded"


def test_a_training_sample_is_a_function_of_seed_and_position(classes: Path) -> None:
    samples = opened(classes).splits["train"]
    one, two, other = (ClassificationDataset(samples, MEAN, STD, (24, 32), True, random_seed=n) for n in (3, 3, 4))
    torch.rand(5)
    backward = {p: two[p] for p in reversed(range(40))}
    for p in range(40):
        entry = one[p]
        assert entry["image"].shape == (3, 24, 32)
        assert torch.equal(entry["image"], backward[p]["image"])
        assert entry["label"] == samples[entry["index"]].label == backward[p]["label"]
    assert {one[p]["index"] for p in range(18)} == set(range(18)), "an epoch has every image once"
    assert any(not torch.equal(one[p]["image"], other[p]["image"]) for p in range(3))


def test_crops_are_parts_of_the_image_and_flips_mirror_them(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (100, 200, 3))
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / "train" / name / "ramp.png")
    samples = opened(tmp_path).splits["train"] + opened(tmp_path).splits["val"]
    still, flipping = (
        ClassificationDataset(samples, (0, 0, 0), (1, 1, 1), (32, 32), True, flip) for flip in (False, True)
    )
    mirrored, spans = 0, []
    for p in range(30):
        left, right = still[p]["image"], flipping[p]["image"]
        assert bool((left[0, 0].diff() >= 0).all()), "brightness grows to the right"
        spans.append(float(left.max() - left.min()) * 255 / 200)
        if not torch.equal(left, right):
            assert torch.equal(left.flip(-1), right)
            mirrored += 1
    assert 5 < mirrored < 25
    assert min(spans) < 0.4 < 0.6 < max(spans), "crops of different size"


def test_validation_is_normalised_and_in_order(classes: Path) -> None:
    samples = opened(classes).splits["val"]
    data = ClassificationDataset(samples, MEAN, STD, (24, 32), False)
    view = centre_view(read_image(samples[3].image), (24, 32)) / 255
    expected = (view - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(data[3]["image"], expected, atol=2e-2, rtol=0)
    assert [data[p]["label"] for p in range(len(data))] == [s.label for s in samples]


def test_crops_of_boxes_are_an_image_folder_with_what_the_boxes_show(tmp_path: Path) -> None:
    boxes = open_data(draw_boxes(tmp_path / "boxes"), "det")
    counts = crops_of(boxes, tmp_path / "crops", minimum_side=20)
    sides = {s: [min(b[2:] - b[:2]) for one in samples for b in one.boxes] for s, samples in boxes.splits.items()}
    assert counts == {s: CropCount(sum(v >= 20 for v in w), sum(v < 20 for v in w), 0) for s, w in sides.items()}
    assert counts["train"].small > 0
    data = open_data(tmp_path / "crops")
    assert isinstance(data, ClassificationData)
    assert data.classes == ("disc", "square")
    assert len(data.splits["train"]) == counts["train"].written
    assert not check(data).errors
    for sample in data.splits["train"]:
        image = read_image(sample.image)
        centre = image[:, image.shape[1] // 2, image.shape[2] // 2].tolist()
        assert centre in ([80, 200, 240], [230, 90, 60]), "a shape, not the ground"


def test_crops_are_cut_at_the_pixels_of_the_box(tmp_path: Path) -> None:
    root = draw_boxes(tmp_path / "boxes", train=1, val=1)
    boxes = open_data(root, "det")
    sample = boxes.splits["train"][0]
    sample.boxes[0] = (-5, 10.4, 41.2, 35)
    counts = crops_of(boxes, tmp_path / "crops", 1)
    (file,) = (tmp_path / "crops/train").glob("*/1-0.png")
    assert torch.equal(read_image(file), read_image(sample.image)[:, 10:35, 0:42])
    sample.crowd[0] = True
    assert crops_of(boxes, tmp_path / "more", 1)["train"].crowd == 1
    assert counts["train"].written == len(sample.boxes)


def test_crops_do_not_go_where_something_is(tmp_path: Path) -> None:
    boxes = open_data(draw_boxes(tmp_path / "boxes"), "det")
    assert isinstance(boxes, DetectionData)
    with pytest.raises(UserError, match="not an empty folder"):
        crops_of(boxes, tmp_path / "boxes")
