"""An exported file computes what the network computes, says how to use it, and is not kept if it does not."""

import importlib
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

import fna
from fna.arch.design import Design
from fna.errors import UserError
from fna.use.export import compare, export
from fna.use.load import load
from fna.weights.checkpoint import save_network
from fna.weights.trained import prepare
from networks import CLASSES, blocks, info, trained

pytest.importorskip("onnxscript")
MODULE = importlib.import_module("fna.use.export")  # `fna.use.export` is the function


def make_run(folder: Path, data: str) -> Path:
    save_network(folder / "train" / "best.safetensors", trained(info()).state_dict(), info())
    (folder / "run.json").write_text(json.dumps({"verb": "adapt", "data": data, "arch": None}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of a run whose data are gone."""
    return export(make_run(tmp_path_factory.mktemp("run"), "/nowhere"))


def test_onnx_runtime_and_torch_give_the_same_classes_at_any_batch_and_size(exported: Path) -> None:
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    network = load(exported.parents[1])
    for shape in [(1, 3, 48, 64), (3, 3, 17, 95), (2, 3, 130, 41)]:
        images = torch.randn(shape)
        with torch.no_grad():
            expected = network(images)
        logits = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
        assert (logits.argmax(1) == expected.argmax(1)).float().mean() > 0.999
        assert expected.std() > 0.1


def test_an_onnx_file_says_what_it_is_and_how_its_input_is_made(exported: Path) -> None:
    assert exported.name == "model.onnx"
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["classes"]) == list(CLASSES)
    assert json.loads(said["mean"]) == [0.4, 0.5, 0.6]
    assert json.loads(said["std"]) == [0.2, 0.25, 0.3]
    assert json.loads(said["scale"]) == pytest.approx(1 / 255)
    assert [json.loads(said[key]) for key in ("channel_order", "layout", "task")] == ["RGB", "NCHW", "seg"]
    assert json.loads(said["fna_design"])["imgsz"] == [48, 64]
    assert Design.from_json(said["fna_design"]) == info().design
    shape = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 3, "height", "width"]
    assert [model.graph.input[0].name, model.graph.output[0].name] == ["images", "logits"]


def test_no_path_of_this_machine_leaves_with_the_file(exported: Path) -> None:
    assert str(Path(fna.__file__).parent).encode() not in exported.read_bytes()


def test_the_result_of_the_check_is_written_and_says_what_it_was_made_on(exported: Path) -> None:
    result = json.loads((exported.parent / "check.json").read_text(encoding="utf-8"))["model.onnx"]
    assert result["agrees"]
    assert result["max_difference"] < 1e-3
    assert result["equal_argmax"] > 0.999
    assert result["images"][0].startswith("noise: the run's data cannot be opened (/nowhere")
    assert result["shapes"] == [[1, 3, 48, 64], [2, 3, 37, 49]]


def test_the_code_in_the_documentation_predicts_what_fna_predicts(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "export.md"
    [code] = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    [pixels] = blocks(1, random_seed=1)
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(exported.read_bytes())
    names: dict[str, np.ndarray] = {}
    exec(code.replace("photo.jpg", "photo.png"), names)
    with torch.no_grad():
        expected = load(exported.parents[1])(prepare(pixels, info())[None]).argmax(1)[0].numpy()
    assert (names["mask"] == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1


def test_pt2_is_checked_on_validation_images_and_loads_without_fna(shared: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", str(shared / "data" / "camvid"))
    file = export(run, "pt2")
    result = json.loads((run / "export" / "check.json").read_text(encoding="utf-8"))["model.pt2"]
    assert result["agrees"]
    assert len(result["images"]) == 4
    assert all(Path(name).parent == shared / "data" / "camvid" / "images" / "val" for name in result["images"])
    said = {"metadata.json": ""}
    program = torch.export.load(file, extra_files=said).module()
    assert json.loads(json.loads(said["metadata.json"])["classes"]) == list(CLASSES)
    images = torch.randn(3, 3, 33, 50)
    with torch.no_grad():
        torch.testing.assert_close(program(images), load(run)(images), rtol=1e-4, atol=1e-4)
    with zipfile.ZipFile(file) as archive:
        package = str(Path(fna.__file__).parent).encode()
        assert not any(package in archive.read(name) for name in archive.namelist())


def test_safetensors_is_the_trained_file_and_its_check_joins_the_others(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "/nowhere")
    (run / "export").mkdir()
    (run / "export" / "check.json").write_text('{"model.onnx": {"agrees": true}}', encoding="utf-8")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), (10, 200, 90)).save(photo)
    file = export(run, "safetensors", check_images=[photo])
    assert file.read_bytes() == (run / "train" / "best.safetensors").read_bytes()
    checks = json.loads((run / "export" / "check.json").read_text(encoding="utf-8"))
    assert list(checks) == ["model.onnx", "model.safetensors"]
    assert checks["model.safetensors"]["images"] == [str(photo)]
    assert load(file).info == info()
    # From a file instead of a run, and to a place of the user's choice.
    assert export(file, "safetensors") == run / "export" / "export" / "model.safetensors"
    assert export(file, "safetensors", tmp_path / "deploy" / "net.safetensors").is_file()


class Shifted(nn.Module):
    """A network that is off by `shift` in one class."""

    def __init__(self, network: nn.Module, shift: float) -> None:
        super().__init__()
        self.network, self.shift = network, shift

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images) + torch.tensor([self.shift, 0, 0]).view(1, 3, 1, 1)


@pytest.mark.parametrize("shift", [0.5, -0.5, float("nan"), 1e-2])
def test_a_file_that_disagrees_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    run = make_run(tmp_path / "run", "/nowhere")

    def write_wrong(network: nn.Module, source: Path, file: Path) -> nn.Module:
        file.write_bytes(b"wrong")
        return Shifted(load(source), shift)

    monkeypatch.setitem(MODULE.WRITERS, "safetensors", write_wrong)
    with pytest.raises(RuntimeError, match="disagrees with PyTorch and was not kept"):
        export(run, "safetensors")
    assert [file.name for file in (run / "export").iterdir()] == ["check.json"]
    assert '"agrees": false' in (run / "export" / "check.json").read_text(encoding="utf-8")


def test_images_of_a_batch_that_are_swapped_are_noticed() -> None:
    network = trained(info())
    images = [torch.randn(3, 48, 64)]
    assert compare(network, network, images)["agrees"]
    assert not compare(network, lambda batch: network(batch.flip(0)), images)["agrees"]


def test_a_nan_is_the_largest_difference_and_not_none() -> None:
    network = trained(info())
    assert compare(network, lambda batch: network(batch) * torch.nan, [torch.randn(3, 48, 64)])["max_difference"] > 1e38


def test_what_cannot_be_exported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", "/nowhere")
    with pytest.raises(UserError, match=r"unknown format 'onx'; did you mean 'onnx'\? Allowed: onnx, pt2, safetensors"):
        export(run, "onx")
    with pytest.raises(UserError, match=r"net\.bin must end in \.pt2"):
        export(run, "pt2", tmp_path / "net.bin")
    monkeypatch.setattr(MODULE, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UserError, match=r'needs onnxruntime, not installed here\..*pip install "fna\[export\]"'):
        export(run, "onnx")
    assert not (run / "export").exists()
