"""Published architectures are as published, at any width."""

import json
from pathlib import Path

import pytest
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2

from fna.arch.zoo import LAYERS, build, lookup
from fna.errors import UserError


def test_layers_channels_and_strides_are_the_reference_ones(shared: Path) -> None:
    reference = json.loads((shared / "counts.json").read_text(encoding="utf-8"))["architectures"]
    assert set(LAYERS) == set(reference)
    for name, stages in reference.items():
        arch = build(name)
        assert [[str(op) for op in stage.layers] for stage in arch.stages] == stages
        assert [arch.stem, *[stage.channels for stage in arch.stages]] == [32, 16, 24, 32, 64, 96, 160, 320]
        assert [stage.stride for stage in arch.stages] == [1, 2, 2, 2, 1, 2, 1]


@pytest.mark.parametrize("width", [0.1, 0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
def test_widths_round_as_torchvisions_do(width: float) -> None:
    ours, theirs = build("mobilenet_v2", width), torchvision_mobilenet_v2(width_mult=width)
    outputs = [getattr(block, "out_channels") for block in theirs.features]  # noqa: B009  # not in the Module's type
    depths = [len(stage.layers) for stage in ours.stages]
    expected = [ours.stem, *[s.channels for s, depth in zip(ours.stages, depths, strict=True) for _ in range(depth)]]
    assert [*expected, ours.last] == outputs


def test_a_name_may_end_in_a_width_in_percent() -> None:
    assert lookup("fna_deeplabv3_w050") == build("fna_deeplabv3", 0.5)
    assert lookup("mobilenet_v2") == build("mobilenet_v2")


@pytest.mark.parametrize("name", ["mobilenet_v3", "mobilenet_v3_w050", "mobilenet_v2_w35", ""])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UserError, match=r"unknown architecture.*fna_ssdlite"):
        lookup(name)


@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan")])
def test_a_width_that_scales_nothing_is_an_error(width: float) -> None:
    with pytest.raises(UserError, match="width of mobilenet_v2"):
        build("mobilenet_v2", width)
