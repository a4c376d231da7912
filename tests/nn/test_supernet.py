"""One path of the super network is the derived backbone; without a path it is the softmax mixture (paper Eq. 4)."""

import random

import pytest
import torch
from torch import nn

from fna.arch.arch import Tap
from fna.arch.decision import Path
from fna.arch.layers import MBConv, Op, Skip
from fna.arch.space import Space, SpaceStage, expand, named_space
from fna.arch.zoo import mobilenet_v2
from fna.errors import UserError
from fna.nn.backbone import Backbone
from fna.nn.supernet import SuperNet

OPS: tuple[Op, ...] = (*(MBConv(k, e) for e in (3, 6) for k in (3, 5, 7)), Skip())
TAPS = (Tap(1), Tap(6))


def randomise(module: nn.Module, random_seed: int = 0) -> None:
    """Fresh norms are identities and would hide a lost one; fresh alphas are equal and would hide a swapped one."""
    generator = torch.Generator().manual_seed(random_seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.affine and norm.running_mean is not None:
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    for name, parameter in module.named_parameters():
        if name.startswith("alphas."):
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))


def segmentation_net(bare_norm: bool = False, share: bool = False) -> SuperNet:
    net = SuperNet(named_space(mobilenet_v2(0.1), "segmentation"), TAPS, 16, bare_norm, share)
    randomise(net)
    return net


def random_path(space: Space, draw: random.Random, skips: float) -> Path:
    """Skips with this probability wherever they are allowed, so also in the middle of stages."""
    path = []
    for _, candidates in space.searched:
        skip = Skip() in candidates and draw.random() < skips
        path.append(candidates.index(Skip()) if skip else draw.randrange(6))
    return tuple(path)


def one_searched_layer() -> Space:
    """Two fixed layers and a last one with all candidates: the network is linear in that layer's output."""
    return Space(8, (SpaceStage(8, 2, ((MBConv(3, 1),), (MBConv(3, 6),), OPS)),), 16)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("skips", [0.0, 0.5])
def test_a_path_gives_exactly_what_the_derived_backbone_with_its_weights_gives(
    share: bool, training: bool, skips: float
) -> None:
    net = segmentation_net(share=share).train(training)
    draw = random.Random(f"{training} {skips}")
    for random_seed in range(2):
        path = random_path(net.space, draw, skips)
        backbone = Backbone(net.space.pick(path), TAPS, 16).train(training)
        backbone.load_state_dict({name: tensor.clone() for name, tensor in net.path_weights(path).items()})
        x = torch.randn(2, 3, 33, 47, generator=torch.Generator().manual_seed(random_seed))
        for ours, derived in zip(net(x, path), backbone(x), strict=True):
            assert torch.equal(ours, derived)
        after = net.path_weights(path)
        for name, tensor in backbone.state_dict().items():
            if not name.endswith("num_batches_tracked"):  # read by nobody: the norms' momentum is a number
                assert torch.equal(after[name], tensor), name


def test_a_path_with_skips_in_the_middle_keeps_the_order_of_the_rest() -> None:
    space = Space(8, (SpaceStage(8, 2, ((MBConv(3, 6),), OPS, OPS, OPS)),), 16)
    net = SuperNet(space)
    skip, k5_e6, k3_e3 = OPS.index(Skip()), OPS.index(MBConv(5, 6)), OPS.index(MBConv(3, 3))
    weights, path_weights = net.state_dict(), net.path_weights((k5_e6, skip, k3_e3))
    key = "expand.conv.weight"
    assert torch.equal(path_weights[f"stages.0.1.{key}"], weights[f"stages.0.1.k5_e6.{key}"])
    assert torch.equal(path_weights[f"stages.0.2.{key}"], weights[f"stages.0.3.k3_e3.{key}"])
    assert not any(name.startswith("stages.0.3.") for name in path_weights)


@pytest.mark.parametrize("share", [False, True])
def test_the_mixture_is_the_softmax_weighted_sum_of_the_paths(share: bool) -> None:
    net = SuperNet(one_searched_layer(), share=share).eval()
    randomise(net)
    x = torch.randn(2, 3, 16, 16)
    alpha = net.alphas[0].detach()
    weights = alpha.exp() / alpha.exp().sum()
    by_hand = sum(float(weights[c]) * net(x, (c,))[0] for c in range(len(OPS)))
    torch.testing.assert_close(net(x)[0], by_hand)


def test_a_mixture_of_several_layers_is_mixed_layer_by_layer() -> None:
    net = segmentation_net().eval()
    x = torch.randn(1, 3, 33, 33)
    y, row = net.stem(x), 0
    for stage in net.stages:
        for layer in stage.children():
            modules = dict(layer.named_children())
            if len(modules) == 1 and row == 0:
                (only,) = modules.values()
                y = only(y)
                continue
            alpha, names = net.alphas[row].detach(), [str(op) for op in net.space.searched[row][1]]
            weights = (alpha - alpha.max()).exp()
            outputs = [y if name == "skip" else modules[name](y) for name in names]
            y = sum(w * out for w, out in zip((weights / weights.sum()).tolist(), outputs, strict=True))
            row += 1
    assert row == 25
    torch.testing.assert_close(net(x)[-1], y, rtol=1e-4, atol=1e-6)


def test_a_certain_choice_makes_the_mixture_that_path() -> None:
    net = segmentation_net().eval()
    path = random_path(net.space, random.Random(1), 0.3)
    for alpha, choice in zip(net.alphas, path, strict=True):
        alpha.data.zero_()[choice] = 1000.0
    x = torch.randn(1, 3, 33, 33)
    torch.testing.assert_close(net(x)[-1], net(x, path)[-1])


@pytest.mark.parametrize(("bare_norm", "share"), [(False, False), (True, False), (False, True)])
def test_gradients_of_alphas_agree_with_finite_differences(bare_norm: bool, share: bool) -> None:
    space = expand(mobilenet_v2(0.1), depths=(2, 1, 2, 1, 1, 1))
    net = SuperNet(space, TAPS, 16, bare_norm, share).double().eval()
    randomise(net)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 32, 32, generator=generator, dtype=torch.double)
    direction = torch.randn(net(x)[-1].shape, generator=generator, dtype=torch.double)

    def loss() -> torch.Tensor:
        return (net(x)[-1] * direction).sum()

    loss().backward()
    step = 1e-6
    for row in (1, 3, 7):
        alpha = net.alphas[row]
        assert alpha.grad is not None
        for c in (0, len(alpha) - 1):
            with torch.no_grad():
                alpha[c] += step
                above = float(loss())
                alpha[c] -= 2 * step
                below = float(loss())
                alpha[c] += step
            numeric = (above - below) / (2 * step)
            assert float(alpha.grad[c]) == pytest.approx(numeric, rel=1e-4, abs=1e-7 * (abs(above) + 1))


def test_a_path_trains_its_own_weights_only_and_no_alpha() -> None:
    net = segmentation_net().train()
    path = random_path(net.space, random.Random(2), 0.3)
    net(torch.randn(2, 3, 33, 33), path)[-1].square().mean().backward()
    trained = {name for name, p in net.named_parameters() if p.grad is not None}
    owned = {str(tensor.data_ptr()) for tensor in net.path_weights(path).values()}
    assert trained == {name for name, p in net.named_parameters() if str(p.data_ptr()) in owned}
    assert all(alpha.grad is None for alpha in net.alphas)


def test_shared_candidates_are_the_leading_channels_and_the_kernel_centre_of_the_largest() -> None:
    net = SuperNet(one_searched_layer(), share=True)
    whole, part = net.path_weights((OPS.index(MBConv(7, 6)),)), net.path_weights((OPS.index(MBConv(3, 3)),))
    layer = "stages.0.2"
    assert torch.equal(part[f"{layer}.expand.conv.weight"], whole[f"{layer}.expand.conv.weight"][:24])
    assert torch.equal(
        part[f"{layer}.depthwise.conv.weight"], whole[f"{layer}.depthwise.conv.weight"][:24, :, 2:5, 2:5]
    )
    assert torch.equal(part[f"{layer}.project.conv.weight"], whole[f"{layer}.project.conv.weight"][:, :24])
    assert torch.equal(part[f"{layer}.depthwise.norm.bias"], whole[f"{layer}.depthwise.norm.bias"][:24])
    assert sum(p.numel() for p in net.weights()) == sum(
        p.numel() for p in Backbone(net.space.pick((OPS.index(MBConv(7, 6)),))).parameters()
    )


def test_weights_are_all_parameters_but_the_alphas() -> None:
    net = segmentation_net()
    weights, alphas = {id(p) for p in net.weights()}, {id(p) for p in net.alphas}
    assert weights.isdisjoint(alphas)
    assert weights | alphas == {id(p) for p in net.parameters()}


def test_probabilities_sum_to_one_and_start_uniform() -> None:
    for probabilities in SuperNet(named_space(mobilenet_v2(0.1), "segmentation")).probabilities():
        torch.testing.assert_close(probabilities, torch.full_like(probabilities, 1 / len(probabilities)))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ((0,) * 24, "25 choices, got 24"),
        ((), "25 choices, got 0"),
        ((6, *(0,) * 24), r"stages\.1\.0 has candidates 0 to 5"),
    ],
)
def test_a_wrong_path_is_an_error(path: Path, words: str) -> None:
    net = SuperNet(named_space(mobilenet_v2(0.1), "segmentation"), share=True)
    with pytest.raises(UserError, match=words):
        net(torch.randn(1, 3, 32, 32), path)
    with pytest.raises(UserError, match=words):
        net.path_weights(path)


def test_bare_norms_are_in_searched_layers_only_and_forget_the_batch_before() -> None:
    net = segmentation_net(bare_norm=True)
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            searched = name.startswith("stages.") and not name.startswith("stages.0.")
            assert module.affine is not searched, name
            assert module.track_running_stats is not searched, name
    path = random_path(net.space, random.Random(3), 0.3)
    assert "stages.0.0.project.norm.weight" in net.path_weights(path)
    assert not any(".norm." in n for n in net.path_weights(path) if not n.startswith(("stem.", "stages.0.")))


def test_a_bare_norm_takes_the_scale_of_the_weights_away() -> None:
    net = SuperNet(one_searched_layer(), bare_norm=True).eval()
    randomise(net)
    x = torch.randn(2, 3, 16, 16)
    before = net(x, (0,))[0]
    for name, parameter in net.named_parameters():
        if name.startswith("stages.0.2."):
            parameter.data.mul_(3.0)
    torch.testing.assert_close(net(x, (0,))[0], before, rtol=1e-2, atol=1e-2)


def test_taps_state_their_channels() -> None:
    net = segmentation_net().eval()
    assert net.channels == [y.shape[1] for y in net(torch.randn(1, 3, 33, 33), (0,) * 25)] == [8, 32]
