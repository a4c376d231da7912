"""Heads give logits of the asked size, train on a single image, and compute what they describe."""

import pytest
import torch
from torch import nn

from fna.arch.heads import describe
from fna.arch.zoo import build
from fna.nn.backbone import Backbone
from fna.nn.heads import build_head
from fna.nn.network import Network


def network(head_name: str, output_stride: int) -> Network:
    arch = build("mobilenet_v2", 0.1)
    head = describe(head_name, arch, 5, output_stride)
    return Network(Backbone(arch, head.taps, output_stride), build_head(head))


@pytest.mark.parametrize("head_name", ["deeplabv3", "deeplabv3plus", "dpc"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_logits_have_the_size_of_the_image_odd_sizes_too(head_name: str, output_stride: int) -> None:
    with torch.device("meta"):
        net = network(head_name, output_stride).eval()
        for height, width in ((64, 96), (65, 33), (1, 7)):
            assert net(torch.empty(2, 3, height, width)).shape == (2, 5, height, width)


def test_the_classifier_gives_one_logit_per_class() -> None:
    assert network("classifier", 32).eval()(torch.randn(3, 3, 40, 33)).shape == (3, 5)


@pytest.mark.parametrize("head_name", ["classifier", "deeplabv3", "deeplabv3plus", "dpc"])
def test_a_batch_of_one_image_trains_every_parameter(head_name: str) -> None:
    net = network(head_name, 16).train()
    net(torch.randn(1, 3, 65, 65)).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_batch_of_one_image_leaves_the_pooled_statistics_alone_and_two_images_update_them() -> None:
    net = network("deeplabv3", 16).train()
    mean = net.state_dict()["head.aspp.convs.pool.norm.running_mean"]
    before = mean.clone()
    net(torch.randn(1, 3, 65, 65))
    assert torch.equal(mean, before)
    net(torch.randn(2, 3, 65, 65))
    assert not torch.equal(mean, before)


def test_the_pooled_branch_of_a_single_image_is_the_one_of_evaluation() -> None:
    # Dropout off and every other norm evaluating: what is left of training is the pooled branch.
    net = network("deeplabv3", 16).eval()
    generator = torch.Generator().manual_seed(0)
    pool = net.head.get_submodule("aspp.convs.pool.norm")
    assert isinstance(pool, nn.BatchNorm2d)
    for tensor in (pool.running_mean, pool.running_var, pool.weight.data, pool.bias.data):
        assert tensor is not None
        tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    x = torch.randn(1, 3, 65, 65, generator=generator)
    expected = net(x)
    net.head.get_submodule("aspp").training = True
    assert torch.equal(net(x), expected)


def test_the_classifier_is_convolution_mean_and_linear() -> None:
    net = network("classifier", 32).eval()
    x = torch.randn(2, 3, 64, 64)
    weights = net.state_dict()
    (features,) = net.backbone(x)
    mixed = torch.einsum("nchw,oc->nohw", features, weights["head.last.conv.weight"][:, :, 0, 0])
    mixed = mixed / (1 + 1e-5) ** 0.5  # a fresh norm in evaluation
    pooled = mixed.clamp(0, 6).flatten(2).mean(2)
    expected = pooled @ weights["head.linear.weight"].T + weights["head.linear.bias"]
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-6)


def test_every_pixel_of_the_image_reaches_every_logit_through_the_pooled_branch() -> None:
    net = network("deeplabv3", 16).eval()
    x = torch.randn(1, 3, 97, 97, requires_grad=True)
    net(x)[0, 0, 96, 96].backward()
    assert x.grad is not None
    assert (x.grad[0, :, :16, :16] != 0).any()


def test_resizing_keeps_corners() -> None:
    net = network("deeplabv3plus", 16).eval()
    assert isinstance(net.head, nn.Module)
    x = torch.randn(1, 3, 64, 64)
    taps = net.backbone(x)
    large, small = net.head(taps, (64, 64)), net.head(taps, (16, 16))
    torch.testing.assert_close(large[..., [0, 0, -1, -1], [0, -1, 0, -1]], small[..., [0, 0, -1, -1], [0, -1, 0, -1]])
