"""Heads as data: what they read and which convolutions they have."""

import pytest

from fna.arch.arch import Tap
from fna.arch.heads import HEADS, describe
from fna.arch.zoo import build


def test_deeplabv3_reads_the_last_stage_and_deeplabv3plus_the_stride_4_stage_too() -> None:
    arch = build("mobilenet_v2")
    assert describe("classifier", arch, 10, 32).taps == (Tap(6),)
    assert describe("deeplabv3", arch, 10, 16).taps == (Tap(6),)
    assert describe("deeplabv3plus", arch, 10, 16).taps == (Tap(1), Tap(6))
    assert describe("deeplabv3plus", arch, 10, 16).conv("low").weight_shape == (48, 24, 1, 1)


@pytest.mark.parametrize(("output_stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_rates_double_when_the_output_stride_halves(output_stride: int, rates: list[int]) -> None:
    arch = build("mobilenet_v2")
    separable = describe("deeplabv3", arch, 10, output_stride)
    assert [separable.conv(f"aspp.{i}.depthwise").dilation for i in (1, 2, 3)] == rates
    assert [separable.conv(f"aspp.{i}.depthwise").groups for i in (1, 2, 3)] == [320] * 3
    full = describe("deeplabv3plus", arch, 10, output_stride)
    assert [full.conv(f"aspp.{i}").dilation for i in (1, 2, 3)] == rates
    assert full.conv("aspp.1").weight_shape == (256, 320, 3, 3)


@pytest.mark.parametrize("name", ["classifier", "deeplabv3", "deeplabv3plus", "dpc"])
def test_scores_are_biased_without_norm_and_all_else_is_normed_without_bias(name: str) -> None:
    *rest, last = (part.conv for part in describe(name, build("mobilenet_v2"), 10, HEADS[name].output_stride).convs)
    assert (last.cout, last.bias, last.norm, last.activation) == (10, True, False, None)
    assert all(conv.norm and not conv.bias for conv in rest)


def test_retinanet_reads_the_last_stages_at_strides_8_16_and_32() -> None:
    head = describe("retinanet", build("mobilenet_v2"), 80, 32)
    assert head.taps == (Tap(2), Tap(4), Tap(6))
    assert [head.conv(f"fpn.inner.{i}").cin for i in range(3)] == [32, 96, 320]
    assert head.conv("fpn.p6").cin == 320, "from C5"
    assert all(part.conv.bias and not part.conv.norm for part in head.convs)


def test_ssdlite_reads_inside_the_160_stage_and_has_the_authors_widths() -> None:
    head = describe("ssdlite", build("mobilenet_v2"), 80, 32)
    assert head.taps == (Tap(5, expanded=True), Tap(6))
    assert [head.conv(f"class.{i}.depthwise").cin for i in range(6)] == [576, 1280, 512, 256, 256, 128]
    assert head.conv("class.1.project").cout == 6 * 81, "the background is one more"
    assert all(part.conv.norm and not part.conv.bias for part in head.convs), "norms on the predictions too"
