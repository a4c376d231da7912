"""The check finds each kind of mistake, names the files, and stays quiet about good data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fna.data.check.check import check
from fna.data.check.mask_check import MaskCheckReport
from fna.data.layouts.opening import open_data

Draw = Callable[..., Path]


def report(root: Path) -> MaskCheckReport:
    return check(open_data(root))


def only(report: MaskCheckReport, severity: str, start: str) -> tuple[str, ...]:
    """The file lines of the one problem of that severity, which must start like this."""
    found = [problem for problem in report.problems if problem.severity == severity]
    assert [problem.text[: len(start)] for problem in found] == [start], report.text()
    return found[0].files


def test_good_data_has_no_problem(tree: Path) -> None:
    found = report(tree)
    assert found.problems == ()
    assert (found.errors, found.warnings) == ((), ())
    assert found.text().endswith("0 errors, 0 warnings")


def test_camvid_is_counted_as_numpy_counts_it(shared: Path) -> None:
    root = shared / "data" / "camvid"
    found = report(root)
    assert found.errors == ()
    for split, images in (("train", 367), ("val", 101)):
        masks = np.stack([np.asarray(Image.open(file)) for file in sorted((root / "masks" / split).iterdir())])
        count = found.splits[split]
        assert (count.images, count.sizes) == (images, {(360, 480): images})
        assert count.pixels == tuple(int((masks == index).sum()) for index in range(11))
        assert count.class_images == tuple(int((masks == index).any((1, 2)).sum()) for index in range(11))
        assert count.ignored == pytest.approx((masks == 255).mean())
        assert sum(count.shares) == pytest.approx(1)


def test_missing_partners_of_the_layout_are_in_the_report(tree: Path) -> None:
    (tree / "masks/train/train0.png").unlink()
    assert only(report(tree), "error", "train: image without a mask") == (str(tree / "images/train/train0.png"),)


def test_unreadable_and_refused_files_are_named_with_the_reason(tree: Path, draw: Draw) -> None:
    whole = (tree / "images/val/val0.png").read_bytes()
    (tree / "images/val/val0.png").write_bytes(whole[: len(whole) // 2])
    files = only(report(tree), "error", "val: image cannot be used")
    assert len(files) == 1
    assert files[0].startswith(f"{tree / 'images/val/val0.png'}: cannot be read as an image")
    (tree / "images/val/val0.png").write_bytes(whole)
    draw("masks/train/train3.png", np.zeros((6, 8, 3), np.uint8))
    files = only(report(tree), "error", "train: mask cannot be used")
    assert files[0].startswith(f"{tree / 'masks/train/train3.png'}: an RGB mask")


def test_a_mask_of_another_size_is_named(tree: Path, draw: Draw) -> None:
    draw("masks/train/train0.png", np.zeros((3, 4), np.uint8))
    files = only(report(tree), "error", "train: image and mask differ in size")
    assert files == (f"{tree / 'images/train/train0.png'}: image 6x8, mask 3x4",)


def test_a_rotated_image_whose_mask_was_drawn_unrotated_is_explained(tree: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 6), (9, 9, 9)).save(tree / "images/train/train0.png", exif=exif)
    found = report(tree)
    assert "fits the image without its EXIF rotation" in only(found, "error", "train: image and mask differ")[0]
    assert only(found, "warning", "train: rotated by EXIF") == (str(tree / "images/train/train0.png"),)


def test_values_that_are_neither_class_nor_ignored_are_counted_and_named(tree: Path, draw: Draw) -> None:
    strange = np.zeros((6, 8), np.uint8)
    strange[0, :3], strange[1, 0], strange[2] = 7, 200, 255
    draw("masks/train/train0.png", strange)
    strange[:] = 7
    draw("masks/train/train1.png", strange)
    found = report(tree)
    start = "train: mask values that are neither class nor ignored (known: 0 to 2, 255 ignored): "
    files = only(found, "error", start + "7 (51 pixels in 2 files), 200 (1 pixels in 1 files); name them")
    assert files == (f"{tree / 'masks/train/train0.png'}: 7, 200", f"{tree / 'masks/train/train1.png'}: 7")
    assert found.splits["train"].unknown_pixels == 52
    assert found.splits["train"].ignored_pixels == 8
    assert "(unknown)" in found.text()


def test_values_outside_of_the_label_mapping_are_named(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    (tree / "data.yaml").write_text("names: {0: a, 1: b, 5: c}", encoding="utf-8")
    errors = report(tree).errors
    assert [error.text.split(":")[0] for error in errors] == ["train", "val"]
    assert all("(known: the keys of the label mapping): 2 (" in error.text for error in errors)


def test_masks_that_count_from_1_are_recognised(tree: Path, draw: Draw) -> None:
    for file in (tree / "masks").rglob("*.png"):
        draw(file.relative_to(tree).as_posix(), np.arange(48, dtype=np.uint8).reshape(6, 8) % 3 + 1)
    found = report(tree)
    assert len(found.errors) == 2
    assert all("count from 1: write names as a table in data.yaml, 1: sky" in error.text for error in found.errors)


def test_masks_of_0_and_255_get_the_hint_that_255_may_be_the_object(tree: Path, draw: Draw) -> None:
    (tree / "classes.txt").write_text("background\ncrack\n", encoding="utf-8")
    for file in (tree / "masks").rglob("*.png"):
        draw(file.relative_to(tree).as_posix(), np.arange(48, dtype=np.uint8).reshape(6, 8) % 2 * 255)
    found = report(tree)
    assert [warning.text[:27] for warning in found.warnings] == [
        "train: no pixel of crack; t",
        "val: no pixel of crack; the",
    ]
    assert all("label_mapping: {0: 0, 255: 1}" in warning.text for warning in found.warnings)


def test_an_empty_split_is_an_error(tree: Path) -> None:
    for folder in ("images/val", "masks/val"):
        for file in (tree / folder).iterdir():
            file.unlink()
    assert only(report(tree), "error", "val: the split is empty") == ()


@pytest.mark.parametrize("name", ["val1", "train4"])
def test_the_same_image_in_train_and_val_is_found_under_any_name(tree: Path, name: str) -> None:
    for kind in ("images", "masks"):
        (tree / kind / "val/val1.png").unlink()
        (tree / kind / f"val/{name}.png").write_bytes((tree / kind / "train/train4.png").read_bytes())
    found = report(tree)
    files = only(found, "error", "train and val share images (equal content)")
    assert files == (f"{tree / 'images/train/train4.png'} = {tree / f'images/val/{name}.png'}",)
    assert found.warnings == ()


def test_the_same_name_with_other_content_is_a_warning(tree: Path, draw: Draw) -> None:
    draw("images/val/train4.png")
    draw("masks/val/train4.png")
    files = only(report(tree), "warning", "train and val have images of the same name with different content")
    assert files == (str(tree / "images/val/train4.png"),)


def test_absent_and_very_rare_classes_are_warnings(tree: Path, draw: Draw) -> None:
    for file in (tree / "images/train").iterdir():
        draw(f"images/train/{file.name}", size=(40, 50))
        draw(f"masks/train/{file.name}", np.zeros((40, 50), np.uint8))
    few = np.zeros((40, 50), np.uint8)
    few[0, :11] = 2
    draw("masks/train/train0.png", few)
    texts = [warning.text for warning in report(tree).warnings]
    assert texts == [
        "train: no pixel of road",
        "train: very rare, below 0.1% of the labelled pixels: car (0.092% in 1 images)",
    ]


def test_a_split_in_which_everything_is_ignored_is_an_error(tree: Path, draw: Draw) -> None:
    for file in (tree / "masks/val").iterdir():
        draw(f"masks/val/{file.name}", np.full((6, 8), 255, np.uint8))
    only(report(tree), "error", "val: no pixel has a class")


def test_the_text_lists_ten_files_and_says_the_total_and_the_report_has_all(tree: Path, draw: Draw) -> None:
    for number in range(25):
        draw(f"images/train/lonely{number:02}.png")
    found = report(tree)
    assert len(found.errors[0].files) == 25
    text = found.text()
    assert "error: train: image without a mask [25 files]" in text
    assert "    images/train/lonely09.png\n    ... and 15 more" in text
    assert text.count("lonely") == 10


def test_the_text_has_counts_sizes_and_the_share_of_each_class(tree: Path, draw: Draw) -> None:
    for number in range(2):
        draw(f"images/val/val{number}.png", size=(10, 20 + number))
        draw(f"masks/val/val{number}.png", np.arange(200 + 10 * number, dtype=np.uint8).reshape(10, -1) % 2)
    lines = report(tree).text().splitlines()
    assert lines[0] == f"{tree}: folders, 3 classes"
    assert "train       6 images  all 6x8 (height x width)" in lines
    assert "val         2 images  2 sizes, height 10 to 10, width 20 to 21, most often 10x20 (1 images)" in lines
    assert any(line.split()[:2] == ["1", "road"] and line.split()[4:] == ["50.000%", "2"] for line in lines)


def test_the_check_needs_no_torch(tree: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from fna.data.layouts.opening import open_data; from fna.data.check.check import check\n"
        "print(check(open_data(sys.argv[1])).text()); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tree)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 errors" in done.stdout
