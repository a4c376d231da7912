"""A searched layer of any kind: a shared candidate is that layer alone, and the mixture the sum of its candidates."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fna.arch.arch import Place
from fna.arch.frame import Frame
from fna.arch.layers import Basic, Bottleneck, LayerOp, MBConv, Skip
from fna.arch.space import expand
from fna.errors import UserError
from fna.families.mobilenet_v3 import FAMILY as V3
from fna.families.resnet import FAMILY as RESNET
from fna.nn.layers import Layer
from fna.nn.mixed import MixedLayer, SharedLayer
from fna.nn.supernet import SuperNet

KINDS: dict[str, LayerOp] = {
    "relu": MBConv(3, 3, activation="relu"),
    "hard-swish": MBConv(3, 3, activation="hardswish"),
    "gate": MBConv(3, 4, 4, "hardswish"),
    "basic": Basic(3, 0.5),
    "bottleneck": Bottleneck(3, 0.5),
    "groups": Bottleneck(3, 0.5, 2),
}


def layer_of(op: LayerOp, kind: type[MixedLayer], stride: int, same_padding: bool = False) -> MixedLayer:
    """Three sizes of a layer, and the identity where shapes allow it, with norms that are no identities."""
    ops = (op, replace(op, kernel=5), replace(op, kernel=5, expansion=op.expansion * 2 if op.expansion > 0.5 else 1))
    place = Place("stages.0.0", 0, 16, 16 * stride, stride, 1, (9, 7), Frame(same_padding=same_padding, epsilon=1e-3))
    layer = kind(place, (*ops, Skip()) if stride == 1 else ops, bare_norm=False).double()
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                tensor.uniform_(0.5, 1.5)
    return layer.eval()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("stride", "same_padding"), [(1, False), (2, False), (2, True)])
def test_a_shared_candidate_is_the_layer_with_its_weights(name: str, stride: int, same_padding: bool) -> None:
    shared = layer_of(KINDS[name], SharedLayer, stride, same_padding)
    x = torch.randn(2, 16, 10, 7, dtype=torch.double)
    for choice, op in enumerate(shared.candidates):
        if isinstance(op, Skip):
            continue
        alone = Layer(shared.place, op).double().eval()
        alone.load_state_dict(shared.weights_of(choice))
        torch.testing.assert_close(shared.both(x, choice), alone.both(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", [MixedLayer, SharedLayer])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_mixture_and_its_gradients_are_those_of_the_candidates(
    name: str, kind: type[MixedLayer], stride: int
) -> None:
    layer = layer_of(KINDS[name], kind, stride)
    assert layer.fusible is (name in ("relu", "hard-swish")), "others run one by one"
    results = []
    for mixed in (True, False):
        x = torch.linspace(-4, 4, 2 * 16 * 9 * 7, dtype=torch.double).view(2, 16, 9, 7).requires_grad_()
        alphas = torch.linspace(-1, 1, len(layer.candidates), dtype=torch.double).requires_grad_()
        shares = alphas.softmax(0)
        parts = [] if mixed else [share * layer.both(x, c)[1] for c, share in enumerate(shares)]
        y = layer.mix(x, shares)[1] if mixed else torch.stack(parts).sum(0)
        results.append((y.detach(), *torch.autograd.grad(y.sin().sum(), (x, alphas))))
    for ours, by_hand in zip(*results, strict=True):
        torch.testing.assert_close(ours, by_hand, rtol=1e-9, atol=1e-9)


def test_candidates_of_different_kinds_cannot_share_weights() -> None:
    place = Place("stages.0.0", 0, 8, 8, 1, 1, (9, 7))
    with pytest.raises(UserError, match=r"of one kind, got k3_e3, k3_e3_se4"):
        SharedLayer(place, (MBConv(3, 3), MBConv(3, 3, 4)), bare_norm=False)


def test_candidates_keep_the_kind_of_the_seeds_layer_and_the_seed_is_one_of_them() -> None:
    small = V3.archs["mobilenet_v3_small"]
    space = expand(small, depths=(2, 3, 2, 3), kernels=(3, 5), expansions=(3, 6))
    searched = dict(space.searched)
    assert "stages.0.0" not in searched, "the seed expands by 1 there"
    assert set(map(str, searched["stages.1.1"])) == {
        *("k3_e3_relu", "k3_e6_relu", "k5_e3_relu", "k5_e6_relu", "k3_e3.67_relu", "skip")
    }
    assert {str(op)[5:] for op in searched["stages.4.0"]} == {"_se4_hs"}
    assert space.pick(space.path_of(small)) == small


def test_stages_that_do_not_expand_are_searched_where_asked() -> None:
    seed = RESNET.archs["resnet18"]
    space = expand(seed, depths=(2, 3), kernels=(3, 5), expansions=(0.5, 1), searched=(1, 3))
    assert {name.rpartition(".")[0] for name, _ in space.searched} == {"stages.1", "stages.3"}
    assert space.pick(space.path_of(seed)) == seed
    thin = replace(seed, stem=8, stages=tuple(replace(stage, channels=8) for stage in seed.stages))
    net = SuperNet(expand(thin, (2, 3), (3, 5), (0.5, 1), searched=(1, 3)), share=True).eval()
    assert net(torch.randn(1, 3, 33, 33))[0].shape == (1, 8, 2, 2)
