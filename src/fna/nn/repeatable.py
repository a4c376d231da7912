"""Operations in a form that gives the same bits every time, where torch's own on a CUDA device do not.

There the backward pass of bilinear interpolation and the mean of a cross entropy over maps add up with atomics, in
whatever order the threads come. On other devices these are torch's own.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear with corners aligned, (N, C, H, W) -> (N, C, *size)."""
    if x.is_cuda and x.requires_grad:
        return upsample_by_matrices(x, size)
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def upsample_by_matrices(x: Tensor, size: Sequence[int]) -> Tensor:
    """Rows and columns are products with a matrix each, so their gradients are, too."""
    with torch.autocast(x.device.type, enabled=False):  # weights of 8 bits would not sum to 1
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        rows, columns = (interpolation(before, after, wide) for before, after in zip(x.shape[2:], size, strict=True))
        return (rows @ (wide @ columns.T)).to(x.dtype)


def interpolation(before: int, after: int, like: Tensor) -> Tensor:
    """(after, before): the weight of each of `before` points at `after` places, the first and the last on theirs."""
    places = torch.arange(after, device=like.device, dtype=like.dtype) * ((before - 1) / max(1, after - 1))
    points = torch.arange(before, device=like.device, dtype=like.dtype)
    return (1 - (places[:, None] - points).abs()).clamp(min=0)


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None, ignore: int) -> Tensor:
    """The mean over all labels but `ignore`, each by the weight of its class; nan where there is none.

    logits (N, classes, H, W), labels int64 (N, H, W), weight (classes,).
    """
    if logits.is_cuda:
        return cross_entropy_by_sums(logits, labels, weight, ignore)
    return F.cross_entropy(logits, labels, weight, ignore_index=ignore)


def cross_entropy_by_sums(logits: Tensor, labels: Tensor, weight: Tensor | None, ignore: int) -> Tensor:
    """Every pixel by itself, then sums, which torch takes in a fixed order."""
    each = F.cross_entropy(logits, labels, weight, ignore_index=ignore, reduction="none")
    counted = labels != ignore
    if weight is None:
        return each.sum() / counted.sum()
    return each.sum() / torch.where(counted, weight[labels.where(counted, 0)], 0).sum()
