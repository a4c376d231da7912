"""A layer says which convolutions it consists of, and an op's name is its whole description."""

import pytest

from fna.arch.convs import Conv, Gate
from fna.arch.layers import Basic, Bottleneck, MBConv, Op, Skip, expansion_of, parse_op
from fna.errors import UserError


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("k3_e1", MBConv(3, 1)),
        ("k7_e6", MBConv(7, 6)),
        ("k11_e12", MBConv(11, 12)),
        ("k3_e3.67_relu", MBConv(3, 3.67, activation="relu")),
        ("k5_e3_se4_hs", MBConv(5, 3, 4, "hardswish")),
        ("basic_k3", Basic()),
        ("basic_k5_e1.5", Basic(5, 1.5)),
        ("bottleneck_k3", Bottleneck()),
        ("bottleneck_k3_e0.5_g4", Bottleneck(3, 0.5, 4)),
        ("skip", Skip()),
    ],
)
def test_an_op_is_its_name_both_ways(text: str, op: Op) -> None:
    assert parse_op(text) == op
    assert str(op) == text


def test_a_whole_expansion_may_be_written_with_a_point_and_has_one_name() -> None:
    for text, name in (
        ("k3_e6.0", "k3_e6"),
        ("basic_k3_e1.0", "basic_k3"),
        ("bottleneck_k3_e1.00", "bottleneck_k3_e1"),
    ):
        assert str(parse_op(text)) == name


@pytest.mark.parametrize(
    "text",
    [
        "k5e6",
        "K5_e6",
        "k-3_e6",
        "k3_e6\n",
        "identity",
        "",
        "k3_e",
        3,
        None,
        ["k3_e6"],
        "k3_e6_se0",
        "k3_e6_hs_se4",
        "basic_k3_g4",
    ],
)
def test_any_other_text_is_an_unknown_op(text: object) -> None:
    with pytest.raises(UserError, match="unknown op"):
        parse_op(text)


@pytest.mark.parametrize(
    ("kernel", "expansion"), [(4, 6), (0, 6), (3, 0), (-3, 6), (3.0, 6), (True, 6), (3, None), (3, 6.0), (3, 0.5)]
)
def test_a_layer_with_an_even_kernel_or_a_number_that_is_none_is_refused(kernel: int, expansion: float) -> None:
    with pytest.raises(UserError, match="MBConv"):
        MBConv(kernel, expansion)


def test_convolutions_of_an_inverted_residual_layer() -> None:
    # MobileNetV2 paper, table 1: 1x1 to t*k channels, 3x3 depthwise with the stride, linear 1x1 to k' channels.
    expand, depthwise, project = MBConv(5, 6).block(cin=4, cout=10, stride=2, dilation=3).convs
    assert expand.weight_shape == (24, 4, 1, 1)
    assert depthwise.weight_shape == (24, 1, 5, 5)
    assert project.weight_shape == (10, 24, 1, 1)
    assert [conv.stride for conv in (expand, depthwise, project)] == [1, 2, 1]
    assert [conv.dilation for conv in (expand, depthwise, project)] == [1, 3, 1]
    assert [conv.activation for conv in (expand, depthwise, project)] == ["relu6", "relu6", None]


def test_expansion_1_has_no_expanding_convolution_and_the_identity_has_none() -> None:
    assert [conv.name for conv in MBConv(3, 1).block(4, 10).convs] == ["depthwise", "project"]
    assert Skip().block(4, 4).convs == ()


def test_a_gate_is_squeezed_to_a_quarter_of_the_inner_width_in_multiples_of_8() -> None:
    # MobileNetV3 small, fifth layer, as torchvision and timm have it: 240 inner channels, 64 in the gate.
    *_, gate, _ = MBConv(5, 6, 4, "hardswish").block(40, 40).parts
    assert isinstance(gate, Gate)
    assert (gate.squeeze.weight_shape, gate.excite.weight_shape) == ((64, 240, 1, 1), (240, 64, 1, 1))
    assert (gate.squeeze.activation, gate.excite.activation) == ("relu", "hardsigmoid")


def test_axes_carry_the_names_of_widths_and_those_inside_of_groups_none() -> None:
    axes = {conv.name: conv.axes for conv in MBConv(3, 6, 4).block(8, 8).convs}
    assert axes == {
        "expand": ("hidden", "in"),
        "depthwise": ("hidden", None),
        "squeeze": ("gate", "hidden"),
        "excite": ("hidden", "gate"),
        "project": ("out", "hidden"),
    }
    assert [conv.axes for conv in MBConv(3, 1).block(8, 16).convs] == [("in", None), ("out", "in")]
    dense, grouped = (Bottleneck(3, 0.5, group).block(32, 64).convs for group in (0, 4))
    assert [c.axes for c in dense] == [("reduced", "in"), ("hidden", "reduced"), ("out", "hidden"), ("out", "in")]
    assert [c.axes for c in grouped][:2] == [("hidden", "in"), ("hidden", None)], "the groups tie both sides together"


def test_a_residual_layer_has_a_projection_where_the_input_cannot_be_added() -> None:
    # ResNet, arXiv 1512.03385, section 3.3, option B; the stride of a bottleneck is at its 3x3, as in torchvision.
    assert Basic().block(64, 64).shortcut is True
    shortcut = Basic().block(64, 128, stride=2).shortcut
    assert isinstance(shortcut, Conv)
    assert (shortcut.weight_shape, shortcut.stride) == ((128, 64, 1, 1), 2)
    assert [conv.stride for conv in Bottleneck().block(64, 256, stride=2).main] == [1, 2, 1]
    assert [conv.cout for conv in Bottleneck().block(64, 256).main] == [64, 64, 256]


@pytest.mark.parametrize(("inner", "width"), [(48, 8), (88, 24), (200, 80), (184, 80), (64, 256), (1, 3), (7, 1000)])
def test_an_expansion_makes_exactly_the_inner_width_it_was_made_from(inner: int, width: int) -> None:
    assert round(width * expansion_of(inner, width)) == inner
    if inner >= width:
        op = MBConv(3, expansion_of(inner, width))
        assert parse_op(str(op)) == op
        assert op.block(width, width).main[-1].cin == inner
