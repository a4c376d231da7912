"""Counts agree to the last digit with published rows, with the built modules, and with torch's own counter."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fna.arch.arch import Arch, Stage
from fna.arch.convs import Conv
from fna.arch.heads import HEADS, describe, parse_head
from fna.arch.layers import MBConv
from fna.arch.space import named_space
from fna.arch.zoo import build
from fna.cost.count import (
    Count,
    candidate_madds,
    count_backbone,
    count_conv,
    count_head,
    count_model,
    expected_madds,
)
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.nn.heads import build_head
from fna.nn.network import Network

ROWS = ["classifier", "deeplabv3", "deeplabv3plus", "dpc", "retinanet", "ssdlite"]
VARIANTS = [
    *("fpn", "fpn(width=32, taps=2+4+8+16)", "lraspp", "lraspp(width=24, tap=4)", "deeplabv3(width=64, rates=3+9)"),
    "deeplabv3plus(width=64, low=12, decoder=24, tap=8, light=true)",
    *("retinanet(width=32)", "retinanet(width=32, tower=2, light=true)", "retinanet(width=16, tower=5)"),
    *("ssdlite(last=320, extras=128+65)", "ssdlite_fpn", "ssdlite_fpn(width=32, taps=4+8+16, extra=1)"),
]
MASK_VARIANTS = [variant for variant in VARIANTS if 16 in parse_head(variant).output_strides]


def test_published_rows_come_out_to_the_last_digit(shared: Path) -> None:
    rows: list[dict[str, Any]] = json.loads((shared / "counts.json").read_text(encoding="utf-8"))["models"]
    assert {row["head"] for row in rows} == set(ROWS) - {"dpc"}, "that one is in tests/nn/test_comparators.py"
    for row in rows:
        arch, output_stride = build(row["arch"]), row.get("output_stride", 32)
        head = describe(row["head"], arch, row["classes"], output_stride)
        count = count_model(arch, head, tuple(row["imgsz"]), output_stride)
        expected = {"linear_madds": 0} | {key: row[key] for key in row if key in Count.__dataclass_fields__}
        expected["madds"] = expected["conv_madds"] + expected["linear_madds"] + expected["conv_bias_adds"]
        assert count.as_dict() == expected, row


def test_the_backbone_at_output_stride_8_costs_what_was_counted_independently() -> None:
    # Independent counts at 1024x2048, in billions: MobileNetV2 61.36, FNA 58.03; at output stride 16 19.042, 18.695.
    for name, output_stride, expected in [
        ("mobilenet_v2", 8, "61.36"),
        ("fna_deeplabv3", 8, "58.03"),
        ("mobilenet_v2", 16, "19.04"),
        ("fna_deeplabv3", 16, "18.70"),
    ]:
        count = count_backbone(build(name), (1024, 2048), output_stride)
        assert f"{count.madds / 1e9:.2f}" == expected


@pytest.mark.parametrize(
    ("arch_name", "head_name", "output_stride", "imgsz"),
    [
        ("mobilenet_v2", "classifier", 32, (224, 224)),
        ("fna_retinanet", "classifier", 32, (97, 131)),
        ("fna_ssdlite", "classifier", 16, (50, 63)),
        ("mobilenet_v2", "deeplabv3", 16, (321, 321)),
        ("fna_deeplabv3", "deeplabv3", 8, (75, 200)),
        ("fna_ssdlite", "deeplabv3", 32, (33, 17)),
        ("fna_retinanet", "deeplabv3plus", 16, (129, 65)),
        ("fna_deeplabv3", "deeplabv3plus", 8, (1, 33)),
        ("mobilenet_v2", "dpc", 16, (129, 65)),
        ("fna_deeplabv3", "dpc", 8, (33, 75)),
        ("fna_retinanet", "retinanet", 32, (129, 65)),
        ("mobilenet_v2", "retinanet", 32, (320, 224)),
        ("fna_ssdlite", "ssdlite", 32, (320, 320)),
        ("fna_deeplabv3", "ssdlite", 32, (65, 97)),
        *(("fna_deeplabv3", variant, 32, (65, 97)) for variant in VARIANTS),
        *(("fna_retinanet", variant, 16, (66, 130)) for variant in MASK_VARIANTS),
    ],
)
def test_counts_are_those_of_the_built_module(
    arch_name: str, head_name: str, output_stride: int, imgsz: tuple[int, int]
) -> None:
    arch = build(arch_name, 0.5)
    head = describe(head_name, arch, 7, output_stride)
    with torch.device("meta"):
        network = Network(Backbone(arch, head.taps, output_stride), build_head(head)).eval()
        images = torch.empty(1, 3, *imgsz)

    count = count_model(arch, head, imgsz, output_stride)
    assert count.params == sum(p.numel() for p in network.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    flops = counter.get_flop_counts()
    assert 2 * (count.conv_madds + count.linear_madds) == counter.get_total_flops()

    backbone = count_backbone(arch, imgsz, output_stride)
    assert backbone.params == sum(p.numel() for p in network.backbone.parameters())
    assert 2 * backbone.conv_madds == sum(flops["Network.backbone"].values())
    assert count_head(head, arch, imgsz, output_stride).params == sum(p.numel() for p in network.head.parameters())


@pytest.mark.parametrize("head_name", [*ROWS, "retinanet(width=32, tower=2, light=true)"])
def test_bias_adds_are_one_per_output_of_a_biased_convolution(head_name: str) -> None:
    arch = build("fna_deeplabv3", 0.1)
    output_stride = parse_head(head_name).output_stride
    head = describe(head_name, arch, 5, output_stride)
    with torch.device("meta"):
        network = Network(Backbone(arch, head.taps, output_stride), build_head(head)).eval()
        adds = 0

        def record(module: torch.nn.Module, _: object, output: torch.Tensor) -> None:
            nonlocal adds
            if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
                adds += output.numel()

        for module in network.modules():
            module.register_forward_hook(record)
        network(torch.empty(1, 3, 97, 131))
    assert count_model(arch, head, (97, 131), output_stride).conv_bias_adds == adds


def test_the_backbone_alone_has_no_last_convolution() -> None:
    arch = build("mobilenet_v2")
    assert count_model(arch, None, (224, 224)) == count_backbone(arch, (224, 224))
    head = describe("classifier", arch, 1000, 32)
    whole = count_model(arch, head, (224, 224))
    assert whole == count_backbone(arch, (224, 224)) + count_head(head, arch, (224, 224))
    last_and_linear = 7 * 7 * 320 * 1280 + 1280 * 1000
    assert whole.madds - count_backbone(arch, (224, 224)).madds == last_and_linear


def test_a_tiny_network_counted_by_hand() -> None:
    arch = Arch(8, (Stage(16, 2, (MBConv(5, 2),)),), 32)
    # At 9x10 pixels: stem output 5x5, expand at 5x5, depthwise (stride 2) and project at 3x3.
    madds = 25 * 3 * 8 * 9 + 25 * 8 * 16 + 9 * 16 * 25 + 9 * 16 * 16
    params = 3 * 8 * 9 + 8 * 16 + 16 * 25 + 16 * 16 + 2 * (8 + 16 + 16 + 16)
    assert count_backbone(arch, (9, 10)) == Count(params, madds)


def test_a_biased_convolution_and_a_normed_one_by_hand() -> None:
    assert count_conv(Conv("", 4, 6, 3, norm=False, bias=True), (2, 5)) == Count(6 * 4 * 9 + 6, 2160, 0, 60)
    assert count_conv(Conv("", 4, 6, 1, groups=2), (2, 5)) == Count(6 * 2 + 12, 120)


def test_the_cost_of_a_picked_path_is_the_sum_of_its_candidates_and_the_fixed_layers() -> None:
    space = named_space(build("mobilenet_v2", 0.1), "segmentation")
    costs = candidate_madds(space, (33, 65), 16)
    cheapest = tuple(min(range(len(row)), key=row.__getitem__) for row in costs)
    dearest = tuple(max(range(len(row)), key=row.__getitem__) for row in costs)
    fixed = {
        count_backbone(space.pick(path), (33, 65), 16).madds - sum(r[c] for r, c in zip(costs, path, strict=True))
        for path in (cheapest, dearest)
    }
    assert len(fixed) == 1, "stem and first stage cost the same on every path"


def test_expected_cost_by_hand() -> None:
    assert expected_madds([[10, 20], [5, 0, 100]], [[0.25, 0.75], [0.5, 0.5, 0.0]]) == 17.5 + 2.5


def test_an_unknown_head_and_an_impossible_image_size_are_errors() -> None:
    arch = build("mobilenet_v2", 0.1)
    with pytest.raises(UserError, match="unknown head 'deeplab'; did you mean 'deeplabv3'"):
        describe("deeplab", arch, 7, 16)
    with pytest.raises(UserError, match="image size"):
        count_backbone(arch, (0, 224))
    with pytest.raises(UserError, match="the head ssdlite needs output stride 32, got 16"):
        describe("ssdlite", arch, 7, 16)
    outside = {name for name in HEADS if name.startswith("smp:")}  # in tests/nn/test_smp.py
    assert set(HEADS) - outside == {parse_head(text).name for text in (*ROWS, *VARIANTS)}
