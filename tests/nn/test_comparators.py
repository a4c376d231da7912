"""The paper's comparators are the published networks: their counts, their parts and their outputs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import mnasnet1_0
from torchvision.models.shufflenetv2 import InvertedResidual, channel_shuffle

from drawn import TINY, configured, draw_data
from drawn_boxes import TINY_BOXES, draw_boxes
from fna import jobs, pipeline
from fna.arch.arch import placed
from fna.arch.heads import describe
from fna.arch.zoo import build
from fna.config.config import Config
from fna.cost.count import Count, count_backbone, count_model
from fna.errors import UserError
from fna.nn.comparators.auto_deeplab import AutoDeepLabS
from fna.nn.comparators.detnas import Unit, detnasnet, shufflenet_v2_20
from fna.nn.comparators.library import MNASNET_B1, mnasnet, shufflenet_v2_x2_0
from fna.nn.count import count_module
from fna.nn.heads import build_head
from fna.nn.plain import build_plain, describe_plain
from fna.use.load import load

# What torchvision states for its whole networks, without the last 1x1 convolution with its norm and the classifier.
MNASNET = 4_383_312 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)
SHUFFLENET_X2 = 7_393_996 - (976 * 2048 + 2 * 2048) - (2048 * 1000 + 1000)

BACKBONES: list[tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = [
    (shufflenet_v2_20, (64, 160, 320, 640), (4, 8, 16, 32)),
    (detnasnet, (64, 160, 320, 640), (4, 8, 16, 32)),
    (shufflenet_v2_x2_0, (24, 244, 488, 976), (4, 8, 16, 32)),
    (mnasnet, (24, 40, 96, 320), (4, 8, 16, 32)),
    (AutoDeepLabS, (100, 200), (4, 8)),
]


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make().eval()


@pytest.mark.parametrize(("make", "channels", "strides"), BACKBONES)
@pytest.mark.parametrize("imgsz", [(64, 96), (65, 33), (129, 161)])
def test_a_backbone_gives_what_it_says_of_itself(
    make: Callable[[], nn.Module], channels: tuple[int, ...], strides: tuple[int, ...], imgsz: tuple[int, int]
) -> None:
    backbone = on_meta(make)
    assert (backbone.channels, backbone.strides) == (channels, strides)
    shapes = [tuple(output.shape) for output in backbone(torch.empty(2, 3, *imgsz, device="meta"))]
    expected = [(2, c, -(-imgsz[0] // s), -(-imgsz[1] // s)) for c, s in zip(channels, strides, strict=True)]
    assert shapes == expected


@pytest.mark.parametrize("make", [make for make, *_ in BACKBONES])
def test_counts_are_those_of_torchs_own_counter(make: Callable[[], nn.Module]) -> None:
    backbone = on_meta(make)
    count = count_module(backbone, (65, 97))
    assert count.params == sum(parameter.numel() for parameter in backbone.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone(torch.empty(1, 3, 65, 97, device="meta"))
    assert 2 * (count.conv_madds + count.linear_madds) == counter.get_total_flops()


def test_counting_by_hand_with_a_bias_a_group_and_a_layer_that_runs_twice() -> None:
    shared = nn.Linear(4, 4)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 1, groups=2, bias=False),
        nn.Flatten(2),
        nn.Linear(6, 4),
        shared,
        shared,
    ).train()
    # 3x4 pixels -> 2x2 of 4 channels is 4 numbers each; 3x6 pixels -> 2x3 is 6.
    assert count_module(net, (3, 6)) == Count(
        params=4 * 27 + 4 + 4 * 2 + 28 + 20,
        conv_madds=6 * 4 * 27 + 6 * 4 * 2,
        linear_madds=4 * 24 + 2 * 4 * 16,
        conv_bias_adds=24,
    )
    assert net.training
    assert not any(part._forward_hooks for part in net.modules())


def test_torchvisions_networks_have_the_parameters_that_it_states_for_them() -> None:
    assert count_module(on_meta(mnasnet), (32, 32)).params == MNASNET
    assert count_module(on_meta(shufflenet_v2_x2_0), (32, 32)).params == SHUFFLENET_X2


def test_mnasnets_layers_as_data_are_those_of_torchvisions_module() -> None:
    assert count_backbone(MNASNET_B1, (97, 65)) == count_module(on_meta(mnasnet), (97, 65))
    depthwise = [part for part in mnasnet().modules() if isinstance(part, nn.Conv2d) and part.groups > 1]
    ours = [place.block(op).convs[-2] for place, op in placed(MNASNET_B1)]
    assert [(c.cin, c.kernel, c.stride) for c in ours] == [
        (part.in_channels, part.kernel_size[0], part.stride[0]) for part in depthwise
    ]


def test_the_outputs_of_a_library_network_are_its_own() -> None:
    backbone = mnasnet().eval()
    whole = mnasnet1_0(weights=None).eval()
    own = {name.removeprefix("body.layers."): tensor for name, tensor in backbone.state_dict().items()}
    assert not whole.layers.load_state_dict(own, strict=False).unexpected_keys
    x = torch.randn(1, 3, 64, 64)
    for depth, output in zip((9, 10, 12, 14), backbone(x), strict=True):
        torch.testing.assert_close(whole.layers[:depth](x), output)


def test_a_plain_unit_is_shufflenets_own_with_the_shuffle_before_instead_of_after() -> None:
    ours, theirs = Unit(0, 16, 16, 1).eval(), InvertedResidual(16, 16, 1).eval()
    tensors = ours.long.state_dict().values()
    theirs.branch2.load_state_dict(dict(zip(theirs.branch2.state_dict(), tensors, strict=True)))
    x = torch.randn(2, 16, 9, 7)
    torch.testing.assert_close(channel_shuffle(ours(x), 2), theirs(channel_shuffle(x, 2)))


@pytest.mark.parametrize(("kind", "kernels"), [(0, [3]), (1, [5]), (2, [7]), (3, [3, 3, 3])])
@pytest.mark.parametrize("stride", [1, 2])
def test_units_have_the_kernels_of_their_kind(kind: int, kernels: list[int], stride: int) -> None:
    unit = Unit(kind, 8, 16 if stride == 2 else 8, stride)
    convs = [part for part in unit.long.modules() if isinstance(part, nn.Conv2d)]
    assert [conv.kernel_size[0] for conv in convs if conv.groups > 1] == kernels
    assert sum(conv.stride[0] - 1 for conv in convs) == stride - 1


def test_every_parameter_of_auto_deeplab_takes_part() -> None:
    net = AutoDeepLabS().train()
    sum(output.square().mean() for output in net(torch.randn(2, 3, 65, 65))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


# As released with DeepLab (dense_prediction_cell_branch5_top1_cityscapes): input and (vertical, horizontal) rate.
CELL = [("backbone", (1, 6)), (0, (18, 15)), (1, (6, 3)), (0, (1, 1)), (0, (6, 21))]


def test_the_dense_prediction_cell_costs_what_was_counted_independently() -> None:
    # Paper Table 1: 2.51M and 24.69B. Independent count: 2,506,195 and 24.6842 billion.
    arch = build("mobilenet_v2")
    count = count_model(arch, describe("dpc", arch, 19, 16), (1024, 2048), 16)
    assert count.params == 2_506_195
    assert f"{count.madds / 1e9:.4f}" == "24.6842"


def test_the_dense_prediction_cell_is_its_published_graph() -> None:
    head = build_head(describe("dpc", build("mobilenet_v2", 0.1), 3, 16)).eval()
    weights = head.state_dict()

    def conv(x: Tensor, name: str, rates: tuple[int, int] = (1, 1)) -> Tensor:
        weight = weights[f"{name}.conv.weight"]
        padding = rates if weight.shape[2] == 3 else 0
        y = F.conv2d(x, weight, None, 1, padding, rates, groups=len(weight) if weight.shape[1] == 1 else 1)
        norm = [weights[f"{name}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *norm).relu()

    x = torch.randn(1, 32, 50, 41)
    branches: list[Tensor] = []
    for i, (source, rates) in enumerate(CELL):
        y = x if isinstance(source, str) else branches[source]
        branches.append(conv(conv(y, f"cell.{i}.depthwise", rates), f"cell.{i}.pointwise"))
    cell = conv(torch.cat(branches, 1), "project")
    logits = F.conv2d(cell, weights["score.conv.weight"], weights["score.conv.bias"])
    torch.testing.assert_close(head([x], (50, 41)), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 42)), (16, (6, 21)), (32, (3, 10))])
def test_the_cells_rates_follow_the_output_stride_and_stay_above_zero(
    output_stride: int, rates: tuple[int, int]
) -> None:
    head = describe("dpc", build("mobilenet_v2", 0.1), 3, output_stride)
    assert head.conv("cell.4.depthwise").dilation == rates
    assert head.conv("cell.3.depthwise").dilation == (max(1, 16 // output_stride),) * 2


def trained(data: Path, out: Path, config: Config) -> Path:
    """A run of two steps."""
    return pipeline.execute("train", jobs.start("train", data, out, config, "seed"), "seed")


BRIEF = {"steps": 2, "refresh_steps": 0, "validate_steps": 2, "batch": 2}


def test_the_dense_prediction_cell_trains_through_the_pipeline(tmp_path: Path) -> None:
    run = trained(draw_data(tmp_path / "data"), tmp_path / "run", configured(TINY, head="dpc", adapt=BRIEF))
    network = load(run)
    assert network(torch.zeros(1, 3, 40, 56)).shape == (1, 3, 40, 56)


def test_detnasnet_trains_under_retinanet_through_the_pipeline(tmp_path: Path) -> None:
    config = configured(TINY_BOXES, backbone="detnasnet", head="retinanet", adapt=BRIEF)
    run = trained(draw_boxes(tmp_path / "data"), tmp_path / "run", config)
    cost = json.loads((run / "train" / "cost.json").read_text())
    network = load(run)
    assert cost["params"] == sum(parameter.numel() for parameter in network.parameters())
    assert network(torch.zeros(1, 3, 64, 64))["cls_logits"].shape == (1, 9 * (64 + 16 + 4 + 1 + 1), 2)


def test_a_comparator_has_no_variants_and_its_own_output_stride_only() -> None:
    with pytest.raises(UserError, match="detnasnet has no variant '50'; write detnasnet"):
        describe_plain("detnasnet:50")
    backbone = describe_plain("auto_deeplab_s")
    head = describe("deeplabv3plus", backbone, 3, 16)
    with pytest.raises(UserError, match="output stride 16 is not to be had: auto_deeplab_s has 100, 200 channels at"):
        build_plain(backbone, head.taps, 16)
