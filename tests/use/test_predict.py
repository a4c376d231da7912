"""Prediction writes what the network says of each image, at the image's own size, and loses none of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fna.config.files import from_data, to_yaml
from fna.data.reading.dataset import SegmentationDataset
from fna.data.reading.images import read_mask
from fna.data.samples import Sample
from fna.errors import UserError
from fna.tasks.drawing import class_colours, legend
from fna.tasks.segmentation.drawing import OPACITY, mask_picture, overlay
from fna.use.load import load
from fna.use.predict import compute_device, predict
from fna.weights.checkpoint import save_network
from networks import CLASSES, info, trained

Paint = Callable[..., Path]
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


@pytest.fixture
def paint(tmp_path: Path) -> Paint:
    """`paint("a/b.png")` writes an image of coarse noise, a different one for each name and size."""

    def _paint(name: str, size: tuple[int, int] = (40, 56)) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = np.random.default_rng(sum(map(ord, name))).integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(blocks).resize(size[::-1], Image.Resampling.NEAREST).save(file)
        return file

    return _paint


def run_folder(folder: Path, classes: tuple[str, ...] = CLASSES, **config: object) -> Path:
    about = info(classes=classes)
    if config.get("imgsz") is not None:
        about = replace(about, design=replace(about.design, imgsz=config["imgsz"], resize=True))
    save_network(folder / "train" / "best.safetensors", trained(about).state_dict(), about)
    (folder / "config.yaml").write_text(to_yaml(from_data(config)), encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_folder(tmp_path / "run")


def indices(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        assert (picture.mode, picture.format) == ("P", "PNG")
        return np.array(picture)


@torch.no_grad()
@pytest.mark.parametrize("imgsz", [None, (96, 128)])
def test_a_photo_is_predicted_as_validation_sees_it(
    shared: Path, tmp_path: Path, imgsz: tuple[int, int] | None
) -> None:
    images = shared / "data" / "camvid" / "images" / "val"
    photo = sorted(images.iterdir())[0]
    run = run_folder(tmp_path / "run", CAMVID, imgsz=imgsz)
    [written] = predict(run, [photo], tmp_path / "out")

    # The reader and transforms of evaluation, and the network called directly.
    about = info(classes=CAMVID)
    mask_file = shared / "data" / "camvid" / "masks" / "val" / f"{photo.stem}.png"
    sample = Sample(photo.stem, photo, mask_file)
    image = SegmentationDataset([sample], about.mean, about.std, imgsz=imgsz)[0]["image"]
    expected = load(run)(image[None]).argmax(1)[0]
    found = torch.from_numpy(indices(written.result))
    assert found.shape == (360, 480)
    assert len(expected.unique()) > 3
    if imgsz is not None:
        # Every pixel of the original shows the class of the pixel of the small mask that it lies in.
        rows = ((torch.arange(360) + 0.5) * imgsz[0] / 360).long()
        columns = ((torch.arange(480) + 0.5) * imgsz[1] / 480).long()
        expected = expected[rows][:, columns]
    assert (found == expected).float().mean() > 0.9999  # equal but for ties in the last bit
    [of_file] = predict(run / "train" / "best.safetensors", [photo], tmp_path / "from_file")
    assert (indices(of_file.result) == indices(written.result)).all(), "the network alone says how images are resized"
    with Image.open(written.overlay) as picture:
        assert picture.mode == "RGB"
        assert picture.width >= 480
        assert picture.height > 360


def test_the_mask_is_read_back_as_class_indices_and_has_the_colours_of_the_overlay(run: Path, paint: Paint) -> None:
    [written] = predict(run, [paint("scene.png", (33, 47))], run / "out")
    mask = read_mask(written.result)
    assert mask.shape == (33, 47)
    assert set(mask.unique().tolist()) <= {0, 1, 2}
    with Image.open(written.result) as picture:
        shown = np.array(picture.convert("RGB"))
    for index in mask.unique().tolist():
        assert (shown[mask.numpy() == index] == class_colours(3)[index]).all()


def test_the_window_of_the_configuration_slides_over_the_image(tmp_path: Path, paint: Paint) -> None:
    photo = paint("wide.png", (48, 96))
    whole = run_folder(tmp_path / "whole")
    halves = run_folder(tmp_path / "halves", evaluate={"window": (48, 48), "window_stride": 1.0})
    left, right = Image.open(photo).crop((0, 0, 48, 48)), Image.open(photo).crop((48, 0, 96, 48))
    left.save(tmp_path / "left.png")
    right.save(tmp_path / "right.png")
    parts = predict(whole, [tmp_path / "left.png", tmp_path / "right.png"], tmp_path / "a")
    [joined] = predict(halves, [photo], tmp_path / "b")
    expected = np.concatenate([indices(part.result) for part in parts], 1)
    assert (indices(joined.result) == expected).mean() > 0.999
    [at_once] = predict(whole, [photo], tmp_path / "c")
    assert (indices(at_once.result) != expected).any()


def test_images_of_one_name_keep_results_of_their_own(run: Path, tmp_path: Path, paint: Paint) -> None:
    files = [paint(name) for name in ("a/x.png", "b/x.png", "b/x-2.png", "b/X.jpg", "b/deep/x.png")]
    out = tmp_path / "out"
    written = predict(run, [files[0], tmp_path / "b"], out)
    assert [prediction.image for prediction in written] == [files[i] for i in (0, 3, 4, 2, 1)]
    names = [prediction.result.relative_to(out).as_posix() for prediction in written]
    assert names == ["x_mask.png", "X-2_mask.png", "deep/x_mask.png", "x-2-2_mask.png", "x-3_mask.png"]
    assert len([file for file in out.rglob("*") if file.is_file()]) == 10
    for prediction in written:  # each has its own image's result
        [alone] = predict(run, [prediction.image], tmp_path / "alone")
        assert (indices(prediction.result) == indices(alone.result)).all()


def test_one_unreadable_image_is_named_before_anything_is_written(run: Path, tmp_path: Path, paint: Paint) -> None:
    paint("images/good.png")
    broken = tmp_path / "images" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing more")
    with pytest.raises(UserError, match=r"1 of 2 images cannot be read; nothing was predicted:[\s\S]*broken\.jpg"):
        predict(run, [tmp_path / "images"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_a_folder_that_are_not_images_are_left_out_by_name(
    run: Path, tmp_path: Path, paint: Paint, capfd: pytest.CaptureFixture[str]
) -> None:
    paint("images/good.png")
    (tmp_path / "images" / "notes.txt").write_text("x", encoding="utf-8")
    assert len(predict(run, [tmp_path / "images"], tmp_path / "out")) == 1
    assert "left out: notes.txt" in capfd.readouterr().err


def test_an_output_folder_that_would_mix_results_with_images_is_refused(
    run: Path, tmp_path: Path, paint: Paint
) -> None:
    paint("images/x.png")
    with pytest.raises(UserError, match="lies in"):
        predict(run, [tmp_path / "images"], tmp_path / "images" / "results")
    victim = paint("images/x_mask.png")
    content = victim.read_bytes()
    with pytest.raises(UserError, match="would be overwritten"):
        predict(run, [tmp_path / "images" / "x.png", victim], tmp_path / "images")
    assert victim.read_bytes() == content


def test_what_is_missing_or_unknown_is_refused(run: Path, tmp_path: Path, paint: Paint) -> None:
    image, out = paint("x.png"), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"y\.png: no such file or folder"):
        predict(run, [tmp_path / "y.png"], out)
    with pytest.raises(UserError, match="no images were given"):
        predict(run, [], out)
    with pytest.raises(UserError, match="has no images"):
        predict(run, [tmp_path / "empty"], out)
    with pytest.raises(UserError, match=r"device 'gpu' cannot be used here.*Use auto, cpu"):
        predict(run, [image], out, device="gpu")
    about = replace(info(), task="depth")
    save_network(tmp_path / "other.safetensors", trained(about).state_dict(), about)
    with pytest.raises(UserError, match=r"other\.safetensors is a network for the task 'depth'"):
        predict(tmp_path / "other.safetensors", [image], out)
    assert compute_device("cpu") == torch.device("cpu")


def test_colours_of_many_classes_can_be_told_apart_and_stay_the_same() -> None:
    colours = class_colours(255)
    assert len(set(colours)) == 255
    assert class_colours(19) == colours[:19]
    # Plain distance in RGB, another measure than the one they were picked by.
    first = np.array(colours[:20], float)
    distances = np.linalg.norm(first[:, None] - first, axis=2) + 1000 * np.eye(20)
    assert distances.min() > 50


def test_an_overlay_is_the_share_of_the_colour_and_ignored_pixels_stay() -> None:
    image = torch.full((3, 2, 4), 100, dtype=torch.uint8)
    mask = torch.tensor([[0, 0, 1, 1], [0, 255, 255, 1]])
    colours = [(200, 0, 100), (0, 0, 0), (1, 2, 3)]
    drawn = np.array(overlay(image, mask, ["road", "sky", "never"], colours))[:2, :4]
    mixed = [round(100 * (1 - OPACITY) + value * OPACITY) for value in (200, 0, 100)]
    assert drawn[0, 0].tolist() == mixed
    assert drawn[0, 2].tolist() == [round(100 * (1 - OPACITY))] * 3
    assert drawn[1, 1].tolist() == drawn[1, 2].tolist() == [100, 100, 100]


def test_the_legend_names_the_classes_that_occur_and_no_others() -> None:
    image = torch.zeros(3, 60, 300, dtype=torch.uint8)
    colours = class_colours(5)
    names = ["sky", "road", "car", "Häuschen", "ελιά"]
    mask = torch.zeros(60, 300, dtype=torch.uint8)
    mask[:30], mask[40:] = 3, 255
    below = np.array(overlay(image, mask, names, colours))[60:]
    assert (below == np.array(legend(["sky", "Häuschen"], [colours[0], colours[3]], 60, 300))).all()
    shown = {tuple(pixel) for pixel in below.reshape(-1, 3).tolist()}
    assert {colours[0], colours[3]} <= shown
    assert not {colours[1], colours[2], colours[4]} & shown
    # More names than fit into a line take more lines; a name longer than the picture widens the legend.
    assert legend(names, colours, 60, 100).height > legend(names, colours, 60, 1000).height
    assert legend(["a very long name of a class"], colours[:1], 10, 20).width > 20


def test_a_mask_of_two_classes_is_still_an_8_bit_palette_file(tmp_path: Path) -> None:
    mask = torch.tensor([[0, 1], [255, 1]])
    mask_picture(mask, class_colours(2)).save(tmp_path / "m.png")
    header = (tmp_path / "m.png").read_bytes()[24:26]  # bit depth and colour type (PNG specification, 11.2.1)
    assert tuple(header) == (8, 3)
    assert indices(tmp_path / "m.png").tolist() == mask.tolist()
