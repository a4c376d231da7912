"""Heads as data: what they read and which convolutions they have."""

import pytest

from fna.arch.arch import Tap
from fna.arch.heads import DEFAULT_OUTPUT_STRIDE, HEADS, describe
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


@pytest.mark.parametrize("name", HEADS)
def test_scores_are_biased_without_norm_and_all_else_is_normed_without_bias(name: str) -> None:
    *rest, last = (part.conv for part in describe(name, build("mobilenet_v2"), 10, DEFAULT_OUTPUT_STRIDE[name]).convs)
    assert (last.cout, last.bias, last.norm, last.activation) == (10, True, False, None)
    assert all(conv.norm and not conv.bias for conv in rest)
