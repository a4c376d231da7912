"""What several heads are made of; they upsample as the authors' segmentation model."""

from torch import Tensor, nn
from torch.nn import functional as F

from fna.nn.layers import ConvNormActivation
from fna.nn.sync_norm import SyncBatchNorm2d

DROPOUT = 0.1
"""Of whole channels, before the classifier (the authors' segmentation model)."""


def in_turn(parts: nn.Module, x: Tensor) -> Tensor:
    """The children of a module dict, one after the other; a lone convolution by itself."""
    if isinstance(parts, ConvNormActivation):
        return parts(x)
    for part in parts.children():
        x = part(x)
    return x


def pooled(part: nn.Module, x: Tensor) -> Tensor:
    """A convolution of the mean over the image, (N, C, H, W) -> (N, C', 1, 1).

    One value per channel and image: with a single image there is no variance, so the running statistics serve.
    """
    assert isinstance(part, ConvNormActivation)
    mean, norm = x.mean((2, 3), keepdim=True), part.norm
    alone = part.training and len(mean) == 1
    if alone and isinstance(norm, nn.BatchNorm2d) and not isinstance(norm, SyncBatchNorm2d):
        scaled = F.batch_norm(
            part.conv(mean), norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
        return part.activation(scaled)
    return part(mean)
