"""The softmax mixture of a layer's candidates, with gradients for the alphas and the layer's input only.

A step of the alphas (paper 3.2, Eq. 4) needs no gradient of the weights. So the wide tensors inside the candidates are
not kept by autograd: of each only the depthwise convolution's output, from which the rest is computed again in the
backward pass (two norms and a 1x1 convolution, which cost little beside the depthwise convolution). Candidates that
share their expanded channels also share the work, and each candidate's probability is a factor of its last norm's scale
and shift, so that weighting costs nothing.

That is for inverted residuals of convolutions alone, `fusible` says which; all others run one by one.

Batch norms use their statistics of the batch in training mode, and leave their running ones alone: those belong to
single paths, and only evaluation mode reads them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fna.arch.convs import Block, Conv
from fna.nn import sync_norm

Moments = tuple[Tensor, Tensor]
"""Mean and inverse standard deviation of each channel; empty tensors where the running ones serve."""


aten = torch.ops.aten
ACTIVATIONS: dict[str | None, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu6": (lambda x: x.clamp_(0, 6), lambda gradient, x: aten.hardtanh_backward(gradient, x, 0, 6)),
    "relu": (lambda x: x.relu_(), lambda gradient, x: aten.threshold_backward(gradient, x, 0)),
    "hardswish": (lambda x: F.hardswish(x, inplace=True), aten.hardswish_backward),
}
"""Of a tensor that nobody else needs, in place; and the input's gradient, from that of the output and the input."""


def fusible(block: Block) -> bool:
    """Whether a layer is what `mixture` computes: expand, if any, depthwise and project, each with a norm."""
    *before, last = block.main
    return (
        len(block.main) == len(block.parts) <= 3
        and not isinstance(block.shortcut, Conv)
        and block.activation is last.activation is None
        and [conv.name for conv in block.main] in (["expand", "depthwise", "project"], ["depthwise", "project"])
        and all(conv.activation in ACTIVATIONS for conv in before)
        and all(conv.norm and not conv.bias and not conv.uneven for conv in block.main)
    )


@dataclass(frozen=True, slots=True)
class Norm:
    """A batch norm's leading channels as tensors: without running statistics where those of the batch are used."""

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float

    @staticmethod
    def of(module: nn.Module, channels: int) -> "Norm":
        """The first `channels` of a batch norm in its present mode."""
        assert isinstance(module, nn.BatchNorm2d)
        running = (None, None) if module.training else (module.running_mean, module.running_var)
        tensors = (module.weight, module.bias, *running)
        vectors = [None if tensor is None else tensor.detach()[:channels] for tensor in tensors]
        shared = isinstance(module, sync_norm.SyncBatchNorm2d) and sync_norm.uses_batch(module)
        weight, bias, mean, var = vectors
        return (SyncNorm if shared else Norm)(weight, bias, mean, var, module.eps)

    def __call__(self, x: Tensor) -> tuple[Tensor, Moments]:
        """(N, C, H, W) normalised, and what the backward pass needs to know."""
        y, mean, inverse = torch.native_batch_norm(
            x, self.weight, self.bias, self.mean, self.var, self.mean is None, 0.0, self.eps
        )
        return y, (mean, inverse)

    def again(self, x: Tensor, moments: Moments) -> Tensor:
        """The same output for the same input, without another look at the statistics."""
        if self.mean is not None:
            return self(x)[0]
        mean, inverse = moments
        var = inverse.square().reciprocal()
        return torch.native_batch_norm(x, self.weight, self.bias, mean, var, False, 0.0, 0.0)[0]

    def backward(self, gradient: Tensor, x: Tensor, moments: Moments) -> Tensor:
        """The gradient of the input from that of the output."""
        args = (self.weight, self.mean, self.var, *moments, self.mean is None, self.eps, [True, False, False])
        return torch.ops.aten.native_batch_norm_backward(gradient, x, *args)[0]

    def mixed(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Several inputs side by side, with their own scale and shift, which get gradients as the input does."""
        times = len(scale) // len(self.mean) if self.mean is not None else 1
        mean, var = (None if v is None else v.repeat(times) for v in (self.mean, self.var))
        return F.batch_norm(x, mean, var, scale, shift, mean is None, 0.0, self.eps)


class SyncNorm(Norm):
    """One whose batch is that of all processes."""

    __slots__ = ()

    def __call__(self, x: Tensor) -> tuple[Tensor, Moments]:
        """As `Norm`."""
        mean, var, _ = sync_norm.statistics(x)
        moments = (mean, (var + self.eps).rsqrt())
        return self.again(x, moments), moments

    def backward(self, gradient: Tensor, x: Tensor, moments: Moments) -> Tensor:
        """As `Norm`."""
        return sync_norm.backwards(gradient, x, self.weight, *moments)[0]

    def mixed(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """As `Norm`."""
        return sync_norm.normalised(x, scale, shift, self.eps)


@dataclass(frozen=True, slots=True)
class Branch:
    """What follows the expansion: a depthwise convolution with its norm, and the projection of one or more candidates.

    `project` (len(candidates) * cout, hidden, 1, 1) has the candidates' weights one below the other.
    """

    conv: Conv
    depthwise: Tensor
    norm: Norm
    project: Tensor
    candidates: tuple[int, ...]
    last: Norm


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates with the same expanded tensor; without an expansion that is the layer's input."""

    expand: Tensor | None
    norm: Norm | None
    activation: str | None
    branches: tuple[Branch, ...]


def mixture(x: Tensor, groups: Sequence[Group], probabilities: Tensor, residual: bool) -> Tensor:
    """The sum of all candidates' outputs, each times its probability; (N, cin, H, W) -> (N, cout, H', W').

    `probabilities` (candidates,) sum to 1, so what a residual layer adds, and its identity, are one time the input.
    """
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
    total = x if residual else None
    for group in groups:
        for branch, z in zip(group.branches, _Projected.apply(x.to(dtype), group), strict=True):
            norm, cout = branch.last, z.shape[1] // len(branch.candidates)
            ones = probabilities.new_ones(cout) if norm.weight is None else norm.weight
            zeros = torch.zeros_like(ones) if norm.bias is None else norm.bias
            chosen = [probabilities[c] for c in branch.candidates]
            scale, shift = (torch.cat([p * vector for p in chosen]) for vector in (ones, zeros))
            for part in norm.mixed(z, scale, shift).split(cout, 1):
                total = part if total is None else total + part
    assert total is not None
    return total


class _Projected(torch.autograd.Function):
    """What the projections of a group's branches give, before their norms, with a gradient for the input only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> tuple[Tensor, ...]:
        expanded, first = _expanded(x, group)
        saved, outputs = [x, *first], []
        for branch in group.branches:
            inside = _depthwise(expanded, branch)
            y, moments = branch.norm(inside)
            outputs.append(F.conv2d(ACTIVATIONS[branch.conv.activation][0](y), branch.project.to(x.dtype)))
            saved += [inside, *moments]
        ctx.save_for_backward(*saved)
        ctx.group = group
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        group: Group = ctx.group
        x, mean, inverse, *saved = ctx.saved_tensors
        before = x if group.expand is None else F.conv2d(x, group.expand.to(x.dtype))
        total: Tensor | None = None
        for i, (branch, gradient) in enumerate(zip(group.branches, gradients, strict=True)):
            inside, *moments = saved[3 * i : 3 * i + 3]
            g = F.conv2d(gradient, branch.project.transpose(0, 1).to(x.dtype))
            g = _through(branch.norm, branch.conv.activation, g, inside, (moments[0], moments[1]))
            g = _depthwise_backward(g, before, branch)
            total = g if total is None else total.add_(g)
        assert total is not None
        if group.expand is not None and group.norm is not None:
            total = _through(group.norm, group.activation, total, before, (mean, inverse))
            total = F.conv2d(total, group.expand.transpose(0, 1).to(x.dtype))
        return total, None


def _expanded(x: Tensor, group: Group) -> tuple[Tensor, Moments]:
    """The activated expanded tensor (N, hidden, H, W); the input itself without an expansion."""
    if group.expand is None or group.norm is None:
        return x, (x.new_empty(0), x.new_empty(0))
    y, moments = group.norm(F.conv2d(x, group.expand.to(x.dtype)))
    return ACTIVATIONS[group.activation][0](y), moments


def _depthwise(x: Tensor, branch: Branch) -> Tensor:
    conv = branch.conv
    return F.conv2d(x, branch.depthwise.to(x.dtype), None, conv.stride, conv.padding, conv.dilation, conv.groups)


def _depthwise_backward(gradient: Tensor, x: Tensor, branch: Branch) -> Tensor:
    """The gradient of the input; of `x` only the shape matters."""
    conv = branch.conv
    stride, dilation = [conv.stride] * 2, [conv.dilation] * 2
    how = (stride, list(conv.padding), dilation, False, [0, 0], conv.groups, [True, False, False])
    weight = branch.depthwise.to(x.dtype)
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *how)[0]


def _through(norm: Norm, activation: str | None, gradient: Tensor, x: Tensor, moments: Moments) -> Tensor:
    """Back through the activation and the norm whose input was `x`."""
    gradient = ACTIVATIONS[activation][1](gradient, norm.again(x, moments))
    return norm.backward(gradient, x, moments)
