"""Plain backbones: what timm's models give to heads, what they cost, and names and strides that are refused."""

import json

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from fna.arch.arch import Tap
from fna.arch.design import Design
from fna.arch.heads import describe, parse_head
from fna.arch.plain import PlainBackbone
from fna.cli.main import main
from fna.errors import UserError
from fna.nn.cost import count, count_backbone
from fna.nn.network import assemble, build
from fna.nn.plain import build_features, build_plain, describe_plain

RESNET18 = PlainBackbone("timm:resnet18", (64, 64, 128, 256, 512), (2, 4, 8, 16, 32))


def test_a_backbone_is_described_by_what_it_gives() -> None:
    assert describe_plain("timm:resnet18") == RESNET18
    # This model's outputs are at strides 16, 32 and 64; no head reads the last one.
    assert build_features("timm:levit_128s").strides == (16, 32)


@pytest.mark.parametrize("name", ["resnet18", "lcnet_050", "convnext_atto", "swin_s3_tiny_224"])
def test_outputs_have_the_stated_channels_and_strides(name: str) -> None:
    features = build_features(f"timm:{name}").eval()
    outputs = features(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in outputs] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(features.channels, features.strides, strict=True)
    ]


@pytest.mark.parametrize(("output_stride", "strides"), [(16, [4, 16]), (8, [4, 8])])
def test_deep_stages_are_dilated_to_the_output_stride(output_stride: int, strides: list[int]) -> None:
    module = build_plain(RESNET18, (Tap(1), Tap(4)), output_stride).eval()
    sizes = [x.shape[2:] for x in module(torch.zeros(1, 3, 64, 96))]
    assert [(64 // h, 96 // w) for h, w in sizes] == [(stride, stride) for stride in strides]


@pytest.mark.parametrize(
    ("name", "params", "giga_madds"), [("resnet18", 21_410_100, 160.279), ("resnet50", 37_968_692, 202.840)]
)
def test_retinanet_on_resnets_costs_what_is_published(
    name: str, params: int, giga_madds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """The baselines of FNA++ (arXiv 2006.12986): 21.41M / 160.28B and 37.97M / 202.84B."""
    assert (
        main(["count", f"timm:{name}", "--head", "retinanet", "--imgsz", "800x1088", "--classes", "80", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["params"] == params
    assert round(found["madds"] / 1e9, 3) == giga_madds
    assert found.keys() == {"params", "madds", "conv_madds", "linear_madds", "conv_bias_adds", "backbone"}


def test_the_backbone_costs_as_much_as_torchvisions_without_its_classifier() -> None:
    with torch.device("meta"):
        reference = resnet18()
        images = torch.zeros(1, 3, 97, 131)
    with FlopCounterMode(display=False) as counter:
        reference.eval()(images)
    cost = count_backbone(RESNET18, (97, 131))
    assert cost.params == sum(p.numel() for p in reference.parameters()) - 512 * 1000 - 1000
    assert cost.madds == counter.get_total_flops() // 2 - 512 * 1000


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("lcnet_050", "deeplabv3"),
        ("lcnet_050", "deeplabv3plus"),
        ("lcnet_050", "ssdlite"),
        ("swin_s3_tiny_224", "retinanet"),
    ],
)
def test_whole_models_cost_what_torchs_counter_says(name: str, head: str) -> None:
    backbone = describe_plain(f"timm:{name}")
    design = Design("none", backbone, parse_head(head), 32, (96, 160))
    cost = count(design, 7)
    network = build(design, 7, 0).eval().to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 96, 160, device="meta"))
    flops = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    attention = sum(n for op, n in flops.items() if "bmm" in op or "attention" in op)
    assert 2 * (cost.conv_madds + cost.linear_madds) == sum(flops.values()) - attention
    assert cost.params == sum(p.numel() for p in network.parameters())


def test_ssdlite_reads_the_outputs_at_strides_16_and_32() -> None:
    head = describe("ssdlite", RESNET18, 3, 32)
    assert head.taps == (Tap(3), Tap(4))
    assert head.conv("last").weight_shape == (1280, 512, 1, 1)
    grids = assemble(RESNET18, head, 32, 0).eval()(torch.zeros(1, 3, 320, 320))["grids"]
    assert grids[:2].tolist() == [[20, 20], [10, 10]]


def test_weights_follow_from_the_random_seed_alone() -> None:
    head = describe("deeplabv3", RESNET18, 3, 16)
    a, b, other = (assemble(RESNET18, head, 16, random_seed).state_dict() for random_seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["backbone.features.body.conv1.weight"], other["backbone.features.body.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm:resnet81", ["resnet81", "did you mean", "resnet"]),
        ("timm:resnet18.imagenet", ["'imagenet'", "a1_in1k"]),
        ("tim:resnet18", ["unknown backbone 'tim:resnet18'", "did you mean 'timm:resnet18'?"]),
        ("resnet18", ["unknown backbone 'resnet18'", "did you mean 'timm:resnet18'?"]),
        ("timm:vit_tiny_patch16_224", ["128x160", "224"]),
        ("timm:inception_v3", ["at stride 2", "61, 77"]),
        ("timm:convmixer_768_32", ["strides 7, 7, 7", "heads read 4 to 32"]),
    ],
)
def test_backbones_that_no_head_can_read_are_refused(name: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        describe_plain(name)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_model_without_features_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, **options: object) -> None:
        raise RuntimeError("features_only not implemented for this model.")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(UserError, match="timm:resnet18 has no features_only"):
        describe_plain("timm:resnet18")


@pytest.mark.parametrize("name", ["edgenext_xx_small", "swin_s3_tiny_224"])
def test_an_output_stride_that_a_model_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"timm:{name} has no output stride 16; try --output_stride 32"):
        build_features(f"timm:{name}", 16)


def test_a_head_says_which_strides_there_are() -> None:
    shallow = PlainBackbone("timm:some", (8, 16), (4, 16))
    with pytest.raises(UserError, match="no stage at stride 8, only at 4, 16"):
        describe("retinanet", shallow, 3, 32)
    with pytest.raises(UserError, match=r"output stride 8 is not to be had: .* at strides 2, 4, 8, 8, 8"):
        build_plain(RESNET18, (Tap(1),), 8)


def test_a_description_that_is_not_the_modules_is_refused() -> None:
    wrong = PlainBackbone("timm:resnet18", (64, 64, 128, 256, 511), RESNET18.strides)
    with pytest.raises(UserError, match="its description says 64, 64, 128, 256, 511 channels"):
        build_plain(wrong, (Tap(4),), 32)
