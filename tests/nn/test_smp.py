"""Decoders of segmentation-models-pytorch on our backbones are what the library makes, and are counted exactly."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from drawn import TINY, configured, draw_data
from fna import jobs, pipeline
from fna.arch.design import Design
from fna.arch.heads import HEADS, describe, head_from_data, parse_head
from fna.arch.plain import PlainBackbone
from fna.arch.zoo import mobilenet_v2
from fna.cost.count import count as count_data
from fna.errors import UserError
from fna.nn.cost import count
from fna.nn.heads import build_head
from fna.nn.network import build
from fna.tasks.kinds import TASKS
from fna.use.load import load

smp: Any = pytest.importorskip("segmentation_models_pytorch")
DECODERS = [name for name in HEADS if name.startswith("smp:")]


def design(name: str, imgsz: tuple[int, int] = (128, 160)) -> Design:
    kind = parse_head(name)
    return Design("none", mobilenet_v2(0.1), kind, kind.output_stride, imgsz)


def test_every_decoder_of_the_library_that_reads_any_backbone_is_a_head() -> None:
    there = {f"smp:{name}" for name in smp.MODEL_ARCHITECTURES_MAPPING}
    assert set(DECODERS) == there - {"smp:pspnet", "smp:dpt"}
    assert set(DECODERS) <= set(TASKS["seg"].heads)
    for name in DECODERS:
        assert str(parse_head(name)) == name
        assert head_from_data(parse_head(name).as_dict()) == parse_head(name)


@pytest.mark.parametrize("name", ["smp:unet", "smp:linknet", "smp:fpn", "smp:deeplabv3plus", "smp:pan"])
def test_counts_are_those_of_torchs_counter_and_every_parameter_is_trained(name: str) -> None:
    network = build(design(name), 5, 0)
    logits = network.train()(torch.randn(2, 3, 129, 161))
    assert logits.shape == (2, 5, 129, 161), "sizes that are no multiple of the stride too"
    logits.square().mean().backward()
    assert [key for key, parameter in network.named_parameters() if parameter.grad is None] == []
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.randn(1, 3, 128, 160))
    found = count(design(name), 5)
    assert 2 * found.conv_madds == counter.get_total_flops()
    assert found.params == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "output_stride"), [("unet", 32), ("fpn", 32), ("deeplabv3plus", 16)])
def test_a_decoder_gives_the_logits_of_the_librarys_own_model(name: str, output_stride: int) -> None:
    own = {"encoder_output_stride": output_stride} if output_stride != 32 else {}
    theirs = smp.create_model(name, "mobilenet_v2", encoder_weights=None, classes=5, **own).eval()
    backbone = PlainBackbone("theirs", tuple(theirs.encoder.out_channels[1:]), (2, 4, 8, 16, 32))
    ours = build_head(describe(f"smp:{name}", backbone, 5, output_stride)).eval()
    ours.decoder.load_state_dict(theirs.decoder.state_dict())
    ours.score.load_state_dict(theirs.segmentation_head.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        _, *features = theirs.encoder(images)
        assert torch.equal(ours(features, (64, 96)), theirs(images))


def test_a_size_that_the_library_cannot_take_is_said() -> None:
    with pytest.raises(UserError, match="smp:pan does not take images of 33x33"):
        count(design("smp:pan", (33, 33)), 5)


def test_unet_is_trained_and_loaded_like_any_head(tmp_path: Path) -> None:
    data = draw_data(tmp_path / "data")
    how = configured(TINY, head="smp:unet")
    run = pipeline.execute("train", jobs.start("train", data, tmp_path / "t", how))
    metrics = json.loads((run / "train/metrics.json").read_text())
    assert metrics["steps"] == 6
    network = load(run)
    assert network.info.design.head == parse_head("smp:unet")
    assert network(torch.zeros(1, 3, 40, 56)).shape == (1, 3, 40, 56)


def test_from_data_alone_such_a_head_is_not_counted_and_a_search_under_it_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="smp:unet has no layers as data"):
        count_data(design("smp:unet"), 5)
    data = draw_data(tmp_path / "data")
    with pytest.raises(UserError, match="fna train takes it, searches do not"):
        jobs.start("adapt", data, tmp_path / "a", configured(TINY, head="smp:unet"))
    assert not (tmp_path / "a").exists()


def test_without_the_library_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name == "segmentation_models_pytorch":
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"smp:unet needs segmentation-models-pytorch: pip install 'fna\[smp\]'"):
        build(design("smp:unet"), 5, 0)
