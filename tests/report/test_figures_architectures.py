"""The drawing of architectures: what is in the SVG is what is in the architectures."""

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest
from handmade import ADAPTED, IMGSZ, SEED, adapted_run, add_search, add_training, run_base, write
from PIL import Image

from fna.arch import zoo
from fna.arch.decision import Decision
from fna.errors import UserError
from fna.report.architectures import KERNEL_COLOURS
from fna.report.columns import figure_architectures, side_by_side, space_depths
from fna.search.result import write_result
from searched import result_of

SVG = "{http://www.w3.org/2000/svg}"


class Drawing:
    """An SVG file: its boxes by id, their colours, and its texts."""

    def __init__(self, file: Path) -> None:
        root = ET.parse(file).getroot()
        self.texts = ["".join(text.itertext()).strip() for text in root.iter(f"{SVG}text")]
        groups = {group.get("id", ""): group for group in root.iter(f"{SVG}g")}
        self.paths = {
            name: next(group.iter(f"{SVG}path"))
            for name, group in groups.items()
            if name.startswith(("layer-", "absent-", "stem-"))
        }

    def named(self, start: str) -> list[str]:
        return [name for name in self.paths if name.startswith(start)]

    def colours(self, column: int) -> Counter[str]:
        styles = [self.paths[name].get("style", "") for name in self.named(f"layer-{column}-")]
        return Counter(style.split("fill: ")[1][:7] for style in styles)

    def width(self, name: str) -> float:
        """From the corners of the path, `M x y L x y ...`."""
        words = self.paths[name].get("d", "").split()
        xs = [float(words[i + 1]) for i, word in enumerate(words) if word in "ML"]
        return max(xs) - min(xs)


def draw(tmp_path: Path, *archs: str | Path) -> Drawing:
    [file] = figure_architectures(archs, tmp_path / "archs.svg")
    return Drawing(file)


def test_the_papers_architectures_have_a_box_for_each_of_their_layers(tmp_path: Path) -> None:
    drawing = draw(tmp_path, "mobilenet_v2", "fna_deeplabv3", "fna_retinanet", "fna_ssdlite")
    # Paper figure 4: layers by kernel. MobileNetV2 has 1 + 2 + 3 + 4 + 3 + 3 + 1 layers, all of kernel 3.
    kernels = [{3: 17}, {3: 6, 5: 3, 7: 11}, {3: 5, 5: 3, 7: 8}, {3: 3, 5: 6, 7: 8}]
    for column, expected in enumerate(kernels):
        assert drawing.colours(column) == {KERNEL_COLOURS[k]: count for k, count in expected.items()}
    assert len(drawing.named("stem-")) == 4
    assert {"mobilenet_v2", "fna_deeplabv3", "fna_retinanet", "fna_ssdlite"} <= set(drawing.texts)
    # The only layers with expansion 1 are the first ones, with expansion 3 two of the adapted ones.
    assert Counter(drawing.texts)["K3 E1"] == 4
    assert Counter(drawing.texts)["K7 E3"] == 2
    assert Counter(drawing.texts)["320 channels"] == 1  # said once where all have the same


def test_a_box_is_as_wide_as_the_expansion_says(tmp_path: Path) -> None:
    drawing = draw(tmp_path, "fna_deeplabv3")
    one, three, six = (drawing.width(f"layer-0-stages.{place}") for place in ("0.0", "6.0", "1.0"))
    assert one < three < six
    assert (six - three) / (three - one) == pytest.approx(1.5, rel=0.01)


def test_layers_that_a_stage_does_not_have_are_dashed_and_empty(tmp_path: Path) -> None:
    drawing = draw(tmp_path, "mobilenet_v2", "fna_ssdlite")
    # Stages of 1 2 3 4 3 3 1 layers beside 1 1 4 3 4 3 1.
    absent = ["absent-0-stages.2.3", "absent-0-stages.4.3", "absent-1-stages.1.1", "absent-1-stages.3.3"]
    assert sorted(drawing.named("absent-")) == absent
    for name in absent:
        style = drawing.paths[name].get("style", "")
        assert "fill: none" in style
        assert "stroke-dasharray" in style
    assert "no such layer" in drawing.texts
    assert "no such layer" not in draw(tmp_path, "mobilenet_v2").texts


def test_a_run_is_drawn_as_seed_and_adapted_with_the_depth_of_its_space(tmp_path: Path) -> None:
    run = adapted_run(tmp_path / "run", 0.45, 0.42)
    stages = [Decision("stages.1", ("s",), 0, ((0, 1, 2),)), Decision("stages.3", ("s",), 0, ((0, 1, 2, 3, 4, 5),))]
    write_result(run, result_of(stages, [[[0.0], [0.0]]]))
    drawing = draw(tmp_path, run)
    assert {"seed", "adapted", "kernel 7x7"} <= set(drawing.texts)
    assert drawing.colours(0) == {KERNEL_COLOURS[3]: 17}
    assert drawing.colours(1) == {KERNEL_COLOURS[3]: 16, KERNEL_COLOURS[7]: 1}
    # The seed has 2 and 4 layers in stages for which the space has 3 and 6.
    assert len(drawing.named("absent-0-stages.1.")) == 1
    assert len(drawing.named("absent-1-stages.3.")) == 2
    # At output stride 16 the stride of stage 5 is a dilation in its place.
    assert drawing.texts.count("d2") == 4


@pytest.mark.parametrize(
    ("names", "depths"),
    [(["stages.1.0", "stages.1.1", "stages.2.3"], {1: 2, 2: 4}), (["stages.1", "stages.4"], {1: 3, 4: 3})],
)
def test_the_depth_of_a_space_is_read_from_groups_of_layers_or_of_stages(
    names: list[str], depths: dict[int, int]
) -> None:
    assert space_depths([Decision(name, ("s",), 0, ((0, 0, 0),)) for name in names]) == depths


def test_costs_are_those_of_the_paper_and_of_the_run(tmp_path: Path) -> None:
    columns, note = side_by_side(["mobilenet_v2"])
    # MobileNetV2 has 300,774,272 MAdds and 3,504,872 params; without the last convolution (320 -> 1280 at 7x7, with
    # its norm) and the classifier (1280 -> 1000) that is:
    madds = 300_774_272 - 7 * 7 * 320 * 1280 - 1_280_000
    params = 3_504_872 - 320 * 1280 - 2 * 1280 - 1_281_000
    assert columns[0].lines == (f"backbone {madds / 1e9:.4f} G / {params / 1e6:.2f} M",)
    assert "224x224" in note
    run = adapted_run(tmp_path / "run", 0.45, 0.42)
    columns, note = side_by_side([run, "mobilenet_v2"])
    assert [column.name for column in columns] == ["seed", "adapted", "mobilenet_v2"]
    assert f"{IMGSZ[0]}x{IMGSZ[1]}" in note
    assert "whole model" in note
    assert columns[1].lines[1].startswith("with deeplabv3 ")
    assert {column.output_stride for column in columns} == {16}  # all marks are those of the run


def test_equal_columns_are_drawn_once_and_several_runs_are_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        run_base(folder)
    add_search(first)
    add_training(second, "train", ADAPTED, 0.4)
    columns, _ = side_by_side([first, second])
    assert [(column.name, column.source) for column in columns] == [
        ("seed", "first"),
        ("adapted", "first"),
        ("adapted", "second"),  # it was trained, so the cost of the whole model is known
    ]
    assert len(side_by_side(["mobilenet_v2", "mobilenet_v2"])[0]) == 1


def test_the_same_file_comes_out_every_time_and_without_a_suffix_both(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(SEED.to_json())
    archs = ["mobilenet_v2_w035", tmp_path / "mine.json"]
    first, second = (figure_architectures(archs, tmp_path / name) for name in ("a", "b"))
    assert [file.name for file in first] == ["a.svg", "a.png"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert b"<dc:date>" not in first[0].read_bytes()
    with Image.open(first[1]) as picture:
        assert picture.format == "PNG"
        assert not {"Software", "Creation Time"} & set(picture.info)
    assert "mine" in Drawing(first[0]).texts


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown architecture 'mobilenet_v3'; did you mean 'mobilenet_v2'"):
        figure_architectures(["mobilenet_v3"], tmp_path / "a.svg")
    with pytest.raises(UserError, match=r"unknown format of a figure '.jpg'"):
        figure_architectures(["mobilenet_v2"], tmp_path / "a.jpg")
    write(tmp_path / "empty/config.yaml", "task: seg\n")
    with pytest.raises(UserError, match="empty has no architecture to draw"):
        figure_architectures([tmp_path / "empty"], tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_architectures_of_other_channels_say_them_and_stages_may_be_missing(tmp_path: Path) -> None:
    short = zoo.mobilenet_v2()
    short = type(short)(short.stem, short.stages[:5], short.last)
    (tmp_path / "short.json").write_text(short.to_json())
    drawing = draw(tmp_path, "mobilenet_v2_w035", tmp_path / "short.json")
    assert "112 channels" in drawing.texts
    assert "96 channels" in drawing.texts
    assert len(drawing.named("layer-1-")) == 13
    assert len(drawing.named("absent-1-")) == 4
