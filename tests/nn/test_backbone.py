"""A backbone gives each tap with the channels and the stride that it states."""

import pytest
import torch
from torchvision.models import mobilenet_v2

from fna.arch.arch import Tap
from fna.arch.zoo import build
from fna.nn.backbone import Backbone


@pytest.mark.parametrize("name", ["mobilenet_v2", "fna_deeplabv3", "fna_retinanet", "fna_ssdlite"])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_taps_are_as_stated(name: str, output_stride: int) -> None:
    taps = [Tap(1), Tap(2), Tap(4), Tap(6)]
    with torch.device("meta"):
        backbone = Backbone(build(name), taps, output_stride).eval()
        outputs = backbone(torch.empty(2, 3, 65, 96))
    assert backbone.channels == [24, 32, 96, 320]
    assert backbone.strides == [4, min(8, output_stride), min(16, output_stride), output_stride]
    assert [tuple(y.shape) for y in outputs] == [
        (2, channels, -(-65 // stride), -(-96 // stride))
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


def test_the_only_tap_without_a_request_is_the_last_stage() -> None:
    backbone = Backbone(build("mobilenet_v2", 0.1)).eval()
    (features,) = backbone(torch.randn(1, 3, 33, 65))
    assert features.shape == (1, 32, 2, 3)


def test_parameters_are_torchvisions_without_last_convolution_and_classifier() -> None:
    theirs = mobilenet_v2(width_mult=0.35).features[:-1]
    assert sum(p.numel() for p in Backbone(build("mobilenet_v2", 0.35)).parameters()) == sum(
        p.numel() for p in theirs.parameters()
    )


def test_dilation_replaces_stride_in_every_layer_from_the_stage_on() -> None:
    backbone = Backbone(build("fna_deeplabv3", 0.1), output_stride=8)
    for s, (stride, dilation) in enumerate([(1, 1), (2, 1), (2, 1), (1, 2), (1, 2), (1, 4), (1, 4)]):
        for i, layer in enumerate(backbone.stages[s].children()):
            conv = layer.get_submodule("depthwise.conv")
            assert conv.stride == ((stride, stride) if i == 0 else (1, 1))
            assert conv.dilation == (dilation, dilation)
