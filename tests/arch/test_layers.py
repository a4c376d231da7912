"""A layer says which convolutions it consists of, and an op's name is its whole description."""

import pytest

from fna.arch.layers import MBConv, Skip, parse_op
from fna.errors import UserError


@pytest.mark.parametrize("op", [MBConv(3, 1), MBConv(7, 6), MBConv(11, 12), Skip()])
def test_an_op_is_read_back_from_its_name(op: MBConv | Skip) -> None:
    assert parse_op(str(op)) == op


@pytest.mark.parametrize("text", ["k5e6", "K5_e6", "k-3_e6", "k3_e6\n", "identity", "", "k3_e", 3, None, ["k3_e6"]])
def test_any_other_text_is_an_unknown_op(text: object) -> None:
    with pytest.raises(UserError, match="unknown op"):
        parse_op(text)


@pytest.mark.parametrize(("kernel", "expansion"), [(4, 6), (0, 6), (3, 0), (-3, 6), (3.0, 6), (True, 6), (3, None)])
def test_a_layer_with_an_even_kernel_or_a_number_that_is_none_is_refused(kernel: int, expansion: int) -> None:
    with pytest.raises(UserError, match="MBConv"):
        MBConv(kernel, expansion)


def test_convolutions_of_an_inverted_residual_layer() -> None:
    # MobileNetV2 paper, table 1: 1x1 to t*k channels, 3x3 depthwise with the stride, linear 1x1 to k' channels.
    expand, depthwise, project = MBConv(5, 6).convs(cin=4, cout=10, stride=2, dilation=3)
    assert expand.weight_shape == (24, 4, 1, 1)
    assert depthwise.weight_shape == (24, 1, 5, 5)
    assert project.weight_shape == (10, 24, 1, 1)
    assert [conv.stride for conv in (expand, depthwise, project)] == [1, 2, 1]
    assert [conv.dilation for conv in (expand, depthwise, project)] == [1, 3, 1]
    assert [conv.activation for conv in (expand, depthwise, project)] == ["relu6", "relu6", None]


def test_expansion_1_has_no_expanding_convolution_and_the_identity_has_none() -> None:
    assert [conv.name for conv in MBConv(3, 1).convs(4, 10)] == ["depthwise", "project"]
    assert Skip().convs(4, 4) == ()
