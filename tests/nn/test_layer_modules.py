"""A module computes what its record says."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.mobilenetv2 import InvertedResidual

from fna.arch.arch import Place
from fna.arch.convs import Conv
from fna.arch.layers import MBConv
from fna.nn.layers import ConvNormActivation, Layer


def place(cin: int = 8, cout: int = 8, stride: int = 1, dilation: int = 1) -> Place:
    return Place("stages.0.0", 0, cin, cout, stride, dilation, (16, 16))


@pytest.mark.parametrize(("cin", "cout", "stride"), [(8, 8, 1), (8, 16, 1), (8, 8, 2)])
def test_a_layer_is_torchvisions_inverted_residual(cin: int, cout: int, stride: int) -> None:
    ours, theirs = Layer(place(cin, cout, stride), MBConv(3, 6)), InvertedResidual(cin, cout, stride, 6)
    tensors = [torch.rand_like(t) if t.is_floating_point() else t for t in theirs.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors, strict=True)))
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    x = torch.randn(2, cin, 9, 7)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)
    torch.testing.assert_close(ours.train()(x), theirs.train()(x), rtol=0, atol=0)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 4)])
def test_outputs_are_the_input_size_over_the_stride_rounded_up(kernel: int, stride: int, dilation: int) -> None:
    layer = Layer(place(8, 16, stride, dilation), MBConv(kernel, 3)).eval()
    for height, width in ((9, 7), (8, 1)):
        found = tuple(layer(torch.randn(1, 8, height, width)).shape)
        assert found == (1, 16, -(-height // stride), -(-width // stride))


def test_a_bare_norm_has_neither_parameters_nor_running_statistics() -> None:
    part = ConvNormActivation(Conv("", 4, 6, 1), bare_norm=True)
    assert list(part.state_dict()) == ["conv.weight"]
    x = torch.randn(3, 4, 5, 5)
    expected = F.relu6(F.batch_norm(part.conv(x), None, None, training=True))
    torch.testing.assert_close(part.eval()(x), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(part.train()(x), expected, rtol=0, atol=1e-6)


def test_an_input_is_not_changed_by_the_activations_that_work_in_place() -> None:
    x = torch.randn(2, 8, 6, 6)
    before = x.clone()
    Layer(place(), MBConv(3, 1))(x)
    ConvNormActivation(Conv("", 8, 4, 1, norm=False, activation="relu"))(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("groups", [1, 64])
def test_bf16_has_the_gradient_of_a_strided_convolution_of_one_pixel(groups: int) -> None:
    """Against single precision, with memory full of large numbers: what only meets padding has no gradient."""
    layer = ConvNormActivation(Conv("c", 64, 64, 3, stride=2, groups=groups, norm=False))
    images = torch.randn(16, 64, 1, 1, generator=torch.Generator().manual_seed(0))
    gradients = []
    for low in (True, False):
        littered = [torch.full((size,), 1e30) for size in (64, 576, 4096, 36864)]
        del littered
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            outputs = layer(images)
        (gradient,) = torch.autograd.grad(outputs.float().sum(), layer.conv.weight)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.1)
