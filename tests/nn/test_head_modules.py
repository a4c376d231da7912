"""Heads give logits of the asked size, train on a single image, and compute what they describe."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.models.segmentation.lraspp import LRASPPHead

from fna.arch.heads import describe
from fna.arch.plain import PlainBackbone
from fna.arch.zoo import build
from fna.cost.count import count_head
from fna.nn.backbone import Backbone
from fna.nn.heads import build_head
from fna.nn.network import Network

MASKS = [
    *("deeplabv3", "deeplabv3(width=24, rates=3+9)", "deeplabv3plus", "deeplabv3plus(tap=8, light=true)", "dpc"),
    *("fpn", "fpn(width=24, taps=2+4+8)", "lraspp", "lraspp(width=24, tap=4)"),
]


def network(head_name: str, output_stride: int) -> Network:
    arch = build("mobilenet_v2", 0.1)
    head = describe(head_name, arch, 5, output_stride)
    return Network(Backbone(arch, head.taps, output_stride), build_head(head))


def lively(network: nn.Module) -> nn.Module:
    """In evaluation mode, with norms that have seen something, so that each of them shows in the result."""
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


class ByHand:
    """Convolutions of a head written out with torch's functions, from its weights alone."""

    def __init__(self, head: nn.Module) -> None:
        self.weights = head.state_dict()

    def conv(self, name: str, x: Tensor, relu: bool = True, dilation: int = 1) -> Tensor:
        """Convolution, norm and ReLU; a depthwise one where the weights have one input channel each."""
        get = self.weights
        weight = get[f"{name}.conv.weight"]
        x = F.conv2d(
            x,
            weight,
            padding=weight.shape[-1] // 2 * dilation,
            dilation=dilation,
            groups=x.shape[1] // weight.shape[1],
        )
        x = F.batch_norm(x, *(get[f"{name}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))
        return x.relu() if relu else x

    def separable(self, name: str, x: Tensor) -> Tensor:
        """A depthwise 3x3 and a 1x1."""
        return self.conv(f"{name}.pointwise", self.conv(f"{name}.depthwise", x))

    def score(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The biased 1x1, brought to the size of the image."""
        return resized(F.conv2d(x, self.weights["score.conv.weight"], self.weights["score.conv.bias"]), size)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


@pytest.mark.parametrize("head_name", MASKS)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_logits_have_the_size_of_the_image_odd_sizes_too(head_name: str, output_stride: int) -> None:
    net = network(head_name, output_stride).eval()
    with torch.no_grad():
        for height, width in ((64, 96), (65, 33), (1, 7)):
            assert net(torch.randn(2, 3, height, width)).shape == (2, 5, height, width)


def test_the_classifier_gives_one_logit_per_class() -> None:
    assert network("classifier", 32).eval()(torch.randn(3, 3, 40, 33)).shape == (3, 5)


@pytest.mark.parametrize("head_name", ["classifier", *MASKS])
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


def test_fpn_sums_a_pooled_context_and_the_stages_from_coarse_to_fine() -> None:
    net = lively(network("fpn(width=24, taps=4+16)", 32))
    taps, hand = net.backbone(torch.randn(2, 3, 65, 97)), ByHand(net.head)
    assert [tap.shape[2:] for tap in taps] == [(17, 25), (5, 7), (3, 4)]
    fine, middle, deep = taps
    x = hand.conv("lateral.2", deep, relu=False) + hand.conv("context", deep.mean((2, 3), keepdim=True))
    x = hand.separable("smooth.1", hand.conv("lateral.1", middle, relu=False) + resized(x, (5, 7)))
    x = hand.separable("smooth.0", hand.conv("lateral.0", fine, relu=False) + resized(x, (17, 25)))
    expected = hand.score(hand.separable("finest", x), (65, 97))
    torch.testing.assert_close(net.head(taps, (65, 97)), expected)


def test_fpn_on_the_deepest_stage_alone_sums_nothing() -> None:
    net = lively(network("fpn(width=24, taps=32)", 32))
    (deep,), hand = net.backbone(torch.randn(2, 3, 64, 96)), ByHand(net.head)
    x = hand.conv("lateral.0", deep, relu=False) + hand.conv("context", deep.mean((2, 3), keepdim=True))
    torch.testing.assert_close(net.head([deep], (64, 96)), hand.score(hand.separable("finest", x), (64, 96)))


def test_lraspp_gives_torchvisions_logits() -> None:
    net = lively(network("lraspp", 8))  # at output stride 8 both stages have one grid, so nothing is resized
    low, deep = net.backbone(torch.randn(2, 3, 64, 96))
    theirs = LRASPPHead(low.shape[1], deep.shape[1], 5, 128).eval()
    pairs = {
        **{"cbr.0": "convs.project.conv", "cbr.1": "convs.project.norm", "scale.1": "convs.gate.conv"},
        **{"low_classifier": "low.conv", "high_classifier": "score.conv"},
    }
    for name, part in pairs.items():
        theirs.get_submodule(name).load_state_dict(net.head.get_submodule(part).state_dict())
    expected = theirs({"low": low, "high": deep})
    torch.testing.assert_close(net.head([low, deep], expected.shape[2:]), expected, rtol=0, atol=1e-6)


def test_lraspp_has_the_parameters_that_torchvision_publishes() -> None:
    """MobileNetV3-Large: 5,483,032 with its classifier of two linear layers, 3,221,538 with LR-ASPP for 21 classes."""
    features = 5_483_032 - (960 * 1280 + 1280 + 1280 * 1000 + 1000)
    backbone = PlainBackbone("mobilenet_v3_large", (16, 24, 40, 112, 960), (2, 4, 8, 16, 32))
    assert count_head(describe("lraspp", backbone, 21, 16), backbone, (520, 520), 16).params == 3_221_538 - features


def test_pooling_at_other_widths_and_rates_is_torchvisions() -> None:
    net = lively(network("deeplabv3plus(width=24, rates=3+9)", 8))
    deep = net.backbone(torch.randn(2, 3, 64, 96))[-1]
    theirs = ASPP(deep.shape[1], [6, 18], 24).eval()  # rates are those at output stride 16
    ours = net.head.get_submodule("aspp")
    pairs = {"convs.0": "0", "convs.1": "1", "convs.2": "2", "convs.3": "pool", "project": "project"}
    for name, part in pairs.items():
        branch = theirs.get_submodule(name)
        for i, kind in ((1, "conv"), (2, "norm")) if part == "pool" else ((0, "conv"), (1, "norm")):
            branch[i].load_state_dict(ours.get_submodule(f"convs.{part}.{kind}").state_dict())  # type: ignore[index]
    torch.testing.assert_close(ours(deep), theirs(deep))


def test_the_light_decoder_of_deeplabv3plus_is_separable() -> None:
    net = lively(network("deeplabv3plus(width=24, rates=3, low=8, decoder=16, tap=8, light=true)", 16))
    taps, hand = net.backbone(torch.randn(2, 3, 65, 97)), ByHand(net.head)
    fine, deep = taps
    dilated = hand.conv("aspp.convs.1.depthwise", deep, dilation=3)
    pooled = hand.conv("aspp.convs.pool", deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[2:])
    branches = [hand.conv("aspp.convs.0", deep), hand.conv("aspp.convs.1.pointwise", dilated), pooled]
    x = resized(hand.conv("aspp.convs.project", torch.cat(branches, 1)), (9, 13))
    x = hand.separable("decoder.0", torch.cat([x, hand.conv("low", fine)], 1))
    expected = hand.score(hand.separable("decoder.1", x), (65, 97))
    torch.testing.assert_close(net.head(taps, (65, 97)), expected)
