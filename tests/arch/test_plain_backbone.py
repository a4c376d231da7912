"""Plain backbones as data: the JSON round trip, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from fna.arch.design import find, find_arch, is_found
from fna.arch.plain import PlainBackbone, arch_from_data
from fna.arch.zoo import build
from fna.errors import UserError

BACKBONE = PlainBackbone("timm:resnet18", (64, 64, 128, 256, 512), (2, 4, 8, 16, 32))


def test_json_gives_back_an_equal_value_of_either_kind(tmp_path: Path) -> None:
    for arch in (BACKBONE, build("fna_deeplabv3")):
        (tmp_path / "arch.json").write_text(arch.to_json())
        assert find(tmp_path / "arch.json") == arch


def test_the_smallest_valid_file_is_read() -> None:
    text = '{"format": "fna-plain-1", "name": "a", "channels": [8], "strides": [16]}'
    assert arch_from_data(json.loads(text)) == PlainBackbone("a", (8,), (16,))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": [64]}, ["one entry an output", "got 1 and 5"]),
        ({"channels": 64}, ["channels must be a list", "int"]),
        ({"channels": [64, 0, 1, 1, 1]}, ["channels", "positive", "0"]),
        ({"strides": [2, 4, 8, 32, 16]}, ["strides must not fall", "2, 4, 8, 32, 16"]),
        ({"name": ""}, ["name", "timm:resnet18"]),
        ({"chanels": []}, ["'chanels'", "did you mean 'channels'?"]),
        ({"format": "fna-plain-2"}, ["'fna-plain-2'"]),
    ],
)
def test_a_wrong_file_is_one_error_that_names_file_and_value(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    data = json.loads(BACKBONE.to_json()) | changes
    if changes.keys() == {"format"}:
        data = {key: [] if key == "stages" else data.get(key, 1) for key in ("format", "stem", "stages", "last")}
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        find(tmp_path / "a.json")
    assert "\n" not in str(caught.value)
    assert [word for word in ["a.json", *words] if word not in str(caught.value)] == []


def test_a_plain_backbone_is_no_architecture_with_layers(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(BACKBONE.to_json())
    with pytest.raises(UserError, match="a.json is timm:resnet18, which has no layers as data"):
        find_arch(str(tmp_path / "a.json"))


def test_names_of_the_zoo_and_files_are_architectures(tmp_path: Path) -> None:
    assert all(map(is_found, ["mobilenet_v2", "fna_ssdlite_w050", "some.json", str(tmp_path)]))
    assert not any(map(is_found, ["timm:resnet18", "mobilenet_v3", "resnet18"]))
