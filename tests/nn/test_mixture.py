"""The fused mixture of a layer is the straightforward one: candidates run one by one, outputs weighted and added up."""

import copy

import pytest
import torch
from torch import Tensor, nn

from fna.arch.arch import Place
from fna.arch.layers import MBConv, Op, Skip
from fna.arch.space import Space, SpaceStage, space_places
from fna.nn.mixed import MixedLayer, SharedLayer

OPS: tuple[Op, ...] = (*(MBConv(k, e) for e in (3, 6) for k in (3, 5, 7)), Skip())
NARROW: tuple[Op, ...] = (MBConv(3, 1), MBConv(5, 1), MBConv(3, 3))


def place_of(stride: int, ops: tuple[Op, ...]) -> Place:
    """The second layer of a stage of 8 channels (residual), or the first one of a stage of 16."""
    if stride == 1:
        space = Space(8, (SpaceStage(8, 1, ((MBConv(3, 1),), ops)),), 16)
    else:
        space = Space(8, (SpaceStage(16, 2, (ops,)),), 16)
    return space_places(space)[-1][0]


def layer_of(share: bool, stride: int, bare_norm: bool, ops: tuple[Op, ...]) -> MixedLayer:
    """In double precision, with norms that have a scale, a shift and statistics of their own."""
    torch.manual_seed(0)
    layer = (SharedLayer if share else MixedLayer)(place_of(stride, ops), ops, bare_norm).double()
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.affine:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -1, 1)
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 1.5)
    return layer


def one_by_one(layer: MixedLayer, x: Tensor, probabilities: Tensor) -> Tensor:
    """Paper Eq. 4."""
    outputs = [p * layer.both(x, choice)[1] for choice, p in enumerate(probabilities)]
    return torch.stack(outputs).sum(0)


def gradients(output: Tensor, x: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output, and the gradients of input and alphas of a loss that treats every value differently."""
    goal = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view(output.shape)
    return (output.detach(), *torch.autograd.grad((output * goal).square().sum(), (x, alphas)))


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("bare_norm", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("stride", "ops"), [(1, OPS), (2, OPS[:-1]), (1, NARROW)])
def test_output_and_gradients_are_those_of_the_candidates_one_by_one(
    share: bool, bare_norm: bool, training: bool, stride: int, ops: tuple[Op, ...]
) -> None:
    layer = layer_of(share, stride, bare_norm, ops).train(training)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 8, 9, 7, dtype=torch.double, generator=generator).requires_grad_()
    alphas = torch.randn(len(ops), dtype=torch.double, generator=generator).requires_grad_()
    other = copy.deepcopy(layer)
    fused = gradients(layer.mix(x, alphas.softmax(0))[1], x, alphas)
    by_hand = gradients(one_by_one(other, x, alphas.softmax(0)), x, alphas)
    for ours, theirs in zip(fused, by_hand, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("share", [False, True])
def test_weights_and_their_gradients_and_running_statistics_are_left_alone(share: bool) -> None:
    layer = layer_of(share, 1, False, OPS).train()
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    x = torch.randn(3, 8, 9, 7, dtype=torch.double)
    alphas = torch.zeros(len(OPS), dtype=torch.double, requires_grad=True)
    layer.mix(x, alphas.softmax(0))[1].square().sum().backward()
    assert alphas.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())
