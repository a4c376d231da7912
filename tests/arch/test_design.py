"""A design is the whole network as one value: JSON and text, strictly read, and none that cannot be trained."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fna.arch.design import Design, find, find_arch
from fna.arch.heads import parse_head
from fna.arch.plain import PlainBackbone
from fna.arch.zoo import build
from fna.errors import UserError

DESIGN = Design(
    "mobilenet_v2_w035", build("fna_deeplabv3", 0.35), parse_head("fpn(width=64, taps=8+16)"), 32, (360, 480)
)


def test_json_gives_back_an_equal_value_whatever_the_backbone() -> None:
    plain = PlainBackbone("timm:resnet18", (64, 64, 128, 256, 512), (2, 4, 8, 16, 32))
    for design in (DESIGN, replace(DESIGN, arch=plain), replace(DESIGN, resize=True, output_stride=16)):
        assert Design.from_json(design.to_json()) == design
        assert hash(Design.from_json(design.to_json())) == hash(design)


def test_a_design_is_one_line() -> None:
    assert str(DESIGN) == (
        "mobilenet_v2_w035 [k3_e1 | 2 k3_e6 | k7_e6 3 k3_e6 | 2 k7_e6 k5_e6 2 k7_e6 k5_e6 | 4 k7_e6 | k7_e6 k5_e6 | "
        "k7_e3] + fpn(width=64, taps=8+16), OS 32, 360x480 (images as they are)"
    )


def test_a_design_written_by_hand_may_leave_out_options_of_its_head() -> None:
    data = json.loads(DESIGN.to_json()) | {"head": {"kind": "fpn"}}
    assert Design.from_json(json.dumps(data)).head == parse_head("fpn")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "fna-design-2"}, ["'fna-design-2'", "'fna-design-1'"]),
        ({"head": {"kind": "fpm"}}, ["unknown head 'fpm'", "did you mean 'fpn'"]),
        ({"head": {"kind": "ssdlite"}, "output_stride": 16}, ["ssdlite needs output stride 32, got 16"]),
        ({"head": {"kind": "fpn", "taps": [3, 8]}}, ["no stage at stride 3", "2, 4, 8, 16, 32"]),
        ({"output_stride": "16"}, ["output_stride", "positive whole number"]),
        ({"output_stride": 12}, ["output stride 8 or 16 or 32, got 12"]),
        ({"imgsz": [360]}, ["imgsz must be [height, width]"]),
        ({"imgsz": [0, 480]}, ["imgsz must be a positive whole number, got 0"]),
        ({"resize": 1}, ["resize must be true or false, got 1"]),
        ({"seed": "a\nb"}, ["seed must be the name of a pretrained network"]),
        ({"imgsz": [360, 10**20]}, ["imgsz must be at most 65536"]),
        ({"head": {"kind": "fpn", "width": 10**30}}, ["fpn: width must be"]),
        ({"head": {"kind": "ssdlite"}, "imgsz": [31, 300]}, ["ssdlite needs images of at least 32 pixels", "31x300"]),
        ({"seeds": []}, ["unknown key in the design 'seeds'", "did you mean 'seed'"]),
        ({"arch": {"format": "fna-arch-1"}}, ["the architecture has no 'stem'"]),
    ],
)
def test_a_wrong_file_is_one_error_that_names_file_and_value(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    (tmp_path / "design.json").write_text(json.dumps(json.loads(DESIGN.to_json()) | changes))
    with pytest.raises(UserError) as caught:
        Design.load(tmp_path)
    assert [word for word in ["design.json", *words] if word not in str(caught.value)] == []


def test_designs_architectures_and_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "design.json").write_text(DESIGN.to_json())
    (tmp_path / "arch.json").write_text(DESIGN.arch.to_json())
    assert find(tmp_path) == find(tmp_path / "design.json") == DESIGN
    assert find(tmp_path / "arch.json") == find("fna_deeplabv3_w035") == find_arch(tmp_path) == DESIGN.arch
    with pytest.raises(UserError, match="cannot read the architecture .*nowhere.json"):
        find(tmp_path / "nowhere.json")


def test_a_folder_of_several_budgets_says_which_designs_it_has(tmp_path: Path) -> None:
    for label in ("0.5G", "0.4G+params=1M"):
        (tmp_path / f"design-{label}.json").write_text(DESIGN.to_json())
    with pytest.raises(UserError, match=r"has design-0\.4G\+params=1M\.json, design-0\.5G\.json: name"):
        find(tmp_path)
    assert find(tmp_path / "design-0.5G.json") == DESIGN
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no design\.json; is it a run folder\?"):
        Design.load(tmp_path / "empty")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' + "9" * 5000 + "}"])
def test_a_file_that_json_cannot_hold_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "design.json").write_text(text)
    with pytest.raises(UserError, match="design.json: no file of fna"):
        find(tmp_path / "design.json")


def test_a_layer_of_hundreds_of_letters_is_no_layer(tmp_path: Path) -> None:
    data = json.loads(DESIGN.to_json())
    data["arch"]["stages"][1]["layers"][0] = "k3_e" + "9" * 400
    (tmp_path / "design.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="has 404 letters; one has at most 60"):
        Design.load(tmp_path)
