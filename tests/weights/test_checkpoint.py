"""A network file holds everything needed to use it, is written whole or not at all, and nothing else is read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.zoo import build
from fna.errors import UserError
from fna.weights.checkpoint import NetworkInfo, load_network, save_network

INFO = NetworkInfo(
    Design("mobilenet_v2", build("fna_deeplabv3", 0.1), parse_head("deeplabv3(width=64)"), 16, (360, 480)),
    "seg",
    ("sky", 'façade, "old"'),
    (0.485, 0.456, 0.406),
    (0.1, 0.2, 0.3),
)


def test_weights_and_all_metadata_come_back(tmp_path: Path) -> None:
    weights = {"a": torch.randn(2, 3).t(), "b": torch.tensor(7)}
    save_network(tmp_path / "deep" / "net.safetensors", weights, INFO)
    found, info = load_network(tmp_path / "deep" / "net.safetensors")
    assert info == INFO
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "net.safetensors"
    save_network(file, {"a": torch.zeros(1)}, INFO)

    def fail(_: object, path: Path, __: object) -> None:
        Path(path).write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr("fna.weights.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_network(file, {"a": torch.ones(1)}, INFO)
    assert torch.equal(load_network(file)[0]["a"], torch.zeros(1))


def test_anything_else_is_an_error_with_the_files_name(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    with pytest.raises(UserError, match=f"no trained network at {file}"):
        load_network(file)
    save_network(file, {"a": torch.zeros(100)}, INFO)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{file}: not a whole safetensors file"):
        load_network(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(UserError, match=f"{file} is not a network written by fna"):
        load_network(file)


@pytest.mark.parametrize("key", ["fna_design", "task", "classes", "mean", "std"])
def test_missing_metadata_is_named(tmp_path: Path, key: str) -> None:
    metadata = INFO.metadata()
    del metadata[key]
    with pytest.raises(UserError, match=key):
        NetworkInfo.from_metadata(metadata, "net.safetensors")
