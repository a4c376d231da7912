"""Batch norm with the statistics of all processes' images; torch's own refuses tensors that are not on a GPU."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SyncBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose batch, in training, is that of all processes together."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        if not uses_batch(self):
            return super().forward(x)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return self.leading(x)

    def leading(self, x: Tensor) -> Tensor:
        """In training, by the first C channels of the norm, where the input has fewer than it."""
        n = x.shape[1]
        weight, bias = (None if vector is None else vector[:n] for vector in (self.weight, self.bias))
        y, mean, var, count = _Synchronised.apply(x, weight, bias, self.eps)
        if self.training and self.running_mean is not None and self.running_var is not None:
            momentum = self.momentum or 0.0
            with torch.no_grad():
                self.running_mean[:n].lerp_(mean, momentum)
                self.running_var[:n].lerp_(var * (count / (count - 1)), momentum)
        assert isinstance(y, Tensor)
        return y


def uses_batch(norm: nn.BatchNorm2d) -> bool:
    """Whether a norm takes the statistics of the batch and not its running ones."""
    return norm.training or norm.running_mean is None


def synchronise(network: nn.Module) -> None:
    """Make every `nn.BatchNorm2d` of a network a synchronised one, in place: parameters and their names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d


def normalised(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """(N, C, H, W) by the statistics of all processes, with gradients for the input, scale and shift."""
    y = _Synchronised.apply(x, weight, bias, eps)[0]
    assert isinstance(y, Tensor)
    return y


def statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C) of each channel over all processes, and the number of values in a channel."""
    var, mean = torch.var_mean(_wide(x), (0, 2, 3), correction=0)
    # Means and variances of the parts are put together exactly, which sums of squares are not in single precision.
    local = torch.cat([mean, var, mean.new_tensor([x.numel() // x.shape[1]])])
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local)
    table = torch.stack(parts)
    counts, means, variances = table[:, -1:], table[:, : len(mean)], table[:, len(mean) : -1]
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    return mean, (counts * (variances + (means - mean).square())).sum(0) / count, count


def backwards(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the input, and this process's part of those of scale and shift, from that of the output.

    `inverse` is one over the standard deviation of each channel.
    """
    g = _wide(gradient)
    normal = (_wide(x) - _channels(mean)) * _channels(inverse)
    own = torch.cat([(g * normal).sum((0, 2, 3)), g.sum((0, 2, 3)), mean.new_tensor([x.numel() // x.shape[1]])])
    everyones = own.clone()
    dist.all_reduce(everyones)
    slope, shift = (everyones[:-1] / everyones[-1]).chunk(2)
    scale = inverse if weight is None else inverse * weight
    input_gradient = _channels(scale) * (g - _channels(shift) - normal * _channels(slope))
    return input_gradient.to(x.dtype), *own[:-1].chunk(2)  # type: ignore[return-value]  # chunks are two


class _Synchronised(torch.autograd.Function):
    """(x, scale, shift) -> (y, mean, biased variance, number of values) of each channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        mean, var, count = statistics(x)
        inverse = (var + eps).rsqrt()
        scale = inverse if weight is None else inverse * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.mark_non_differentiable(mean, var, count)
        return (_wide(x) * _channels(scale) + _channels(shift)).to(x.dtype), mean, var, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:
        x, weight, mean, inverse = ctx.saved_tensors
        # Of scale and shift only this process's part: it is averaged with all other gradients.
        of_input, of_scale, of_shift = backwards(gradient, x, weight, mean, inverse)
        has = weight is not None
        return of_input, of_scale if has else None, of_shift if has else None, None


def _wide(x: Tensor) -> Tensor:
    """At least in single precision, as sums over many values need it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _channels(vector: Tensor) -> Tensor:
    return vector.view(1, -1, 1, 1)
