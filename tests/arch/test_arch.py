"""An architecture survives a JSON round trip, and everything else in a file is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from fna.arch.arch import Arch, Stage, Tap, placed, stages_at_stride, tap_channels, tap_stride
from fna.arch.layers import MBConv
from fna.arch.zoo import LAYERS, build
from fna.errors import UserError


def data(**changes: Any) -> dict[str, Any]:
    """A small valid file as data, with changes."""
    stages = [{"channels": 8, "stride": 2, "layers": ["k3_e1", "k5_e6"]}]
    return {"format": "fna-arch-1", "stem": 8, "stages": stages, "last": 16} | changes


def stage(**changes: Any) -> dict[str, Any]:
    return data(stages=[data()["stages"][0] | changes])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("width", [0.1, 1.0, 1.4])
def test_json_gives_back_the_same_architecture(name: str, width: float, tmp_path: Path) -> None:
    arch = build(name, width)
    file = tmp_path / "arch.json"
    file.write_text(arch.to_json(), encoding="utf-8")
    assert Arch.load(file) == arch
    assert Arch.from_json(json.dumps(json.loads(arch.to_json()))) == arch, "also without our line breaks"


def test_json_has_one_readable_line_per_stage() -> None:
    assert Arch(8, (Stage(16, 2, (MBConv(3, 1), MBConv(5, 6))),), 1280).to_json() == (
        '{\n  "format": "fna-arch-1",\n  "stem": 8,\n  "stages": [\n'
        '    {"channels": 16, "stride": 2, "layers": ["k3_e1", "k5_e6"]}\n'
        '  ],\n  "last": 1280\n}\n'
    )


def test_the_smallest_valid_file_is_read() -> None:
    assert Arch.from_json(json.dumps(data())) == Arch(8, (Stage(8, 2, (MBConv(3, 1), MBConv(5, 6))),), 16)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (data(format="fna-arch-2"), ["format", "fna-arch-2", "fna-arch-1"]),
        (data(stem="8"), ["stem", "'8'", "whole number"]),
        (data(stem=8.0), ["stem", "8.0"]),
        (data(stem=True), ["stem", "True"]),
        (data(stem=0), ["stem", "0"]),
        (data(last=-1), ["last", "-1"]),
        (data(last=None), ["last", "None"]),
        (data(stages=[]), ["at least one stage"]),
        (data(stages={}), ["stages", "list", "dict"]),
        (data(stages=["k3_e6"]), ["stage 0", "object", "str"]),
        (data(stagse=[]), ["stagse", "stages"]),
        ({k: v for k, v in data().items() if k != "last"}, ["no 'last'"]),
        (stage(channels=[8]), ["stage 0", "channels", "[8]"]),
        (stage(stride=3), ["stage 0", "stride", "1 or 2", "3"]),
        (stage(stride=0), ["stage 0", "stride", "0"]),
        (stage(stride=2.0), ["stage 0", "stride", "2.0"]),
        (stage(stride=True), ["stage 0", "stride", "True"]),
        (stage(stride="1"), ["stage 0", "stride", "'1'"]),
        (stage(layers=[]), ["stage 0", "at least one layer"]),
        (stage(layers="k3_e6"), ["stage 0", "list", "str"]),
        (stage(layers=["k3_e1", "skip"]), ["stage 0", "skip", "delete it"]),
        (stage(layers=["k4_e6"]), ["stage 0", "odd", "4"]),
        (stage(layers=["k3_e0"]), ["stage 0", "expansion", "0"]),
        (stage(layers=["conv3x3"]), ["stage 0", "unknown op", "conv3x3", "k5_e6"]),
        (stage(layers=["k3_e6 "]), ["stage 0", "unknown op"]),
        (stage(layers=[3]), ["stage 0", "unknown op", "3"]),
        (stage(layers=[None]), ["stage 0", "unknown op", "None"]),
        (stage(chanels=8), ["stage 0", "chanels", "channels"]),
        ([], ["object", "list"]),
        (None, ["object", "NoneType"]),
    ],
)
def test_a_wrong_file_is_one_error_that_names_file_place_and_value(bad: Any, words: list[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(bad), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Arch.load(file)
    for word in [str(file), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"stem": 8, "stem": 16}', "'stem' is written twice"),
        (json.dumps(data())[:-1] + ', "stages": []}', "'stages' is written twice"),
    ],
)
def test_text_that_json_would_bend_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Arch.from_json(text)


def test_a_file_that_is_not_there_or_not_text_is_an_error_with_its_name(tmp_path: Path) -> None:
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nowhere.json", tmp_path, binary):
        with pytest.raises(UserError, match=str(path)):
            Arch.load(path)


@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations"),
    [
        # Accumulated strides of MobileNetV2's stages by hand: 2 4 8 16 16 32 32.
        (32, [2, 4, 8, 16, 16, 32, 32], [1, 1, 1, 1, 1, 1, 1]),
        (16, [2, 4, 8, 16, 16, 16, 16], [1, 1, 1, 1, 1, 2, 2]),
        (8, [2, 4, 8, 8, 8, 8, 8], [1, 1, 1, 2, 2, 4, 4]),
    ],
)
def test_beyond_the_output_stride_every_layer_is_dilated_instead(
    output_stride: int, strides: list[int], dilations: list[int]
) -> None:
    arch = build("mobilenet_v2")
    assert [tap_stride(arch, Tap(s), output_stride) for s in range(7)] == strides
    for place, _ in placed(arch, (256, 512), output_stride):
        assert place.dilation == dilations[place.stage]
        assert place.out_hw == (256 // strides[place.stage], 512 // strides[place.stage])


def test_only_a_stages_first_layer_has_its_stride() -> None:
    strides = [place.stride for place, _ in placed(build("mobilenet_v2"))]
    assert strides == [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1]


def test_odd_sizes_round_up_as_padded_convolutions_do() -> None:
    *_, (last, _) = placed(build("mobilenet_v2"), (225, 33))
    assert last.out_hw == (8, 2)


def test_an_output_stride_other_than_8_16_32_is_an_error() -> None:
    with pytest.raises(UserError, match="8, 16 or 32, got 4"):
        placed(build("mobilenet_v2"), output_stride=4)


def test_the_stage_at_a_stride_is_the_deepest_one() -> None:
    arch = build("mobilenet_v2")
    assert [stages_at_stride(arch, stride) for stride in (2, 4, 8, 16, 32)] == [[0], [1], [2], [3, 4], [5, 6]]
    assert tap_channels(arch, Tap(4)) == 96
    with pytest.raises(UserError, match="no stage at stride 64"):
        stages_at_stride(arch, 64)


def test_printing_shows_one_stage_per_line() -> None:
    lines = str(build("fna_deeplabv3")).splitlines()
    assert len(lines) == 7
    assert lines[5].split() == ["stage", "5", "160", "channels", "stride", "2", "k7_e6", "k5_e6"]
