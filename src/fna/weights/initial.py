"""Weights that owe nothing to the seed: what remapping is compared with (paper 4.3)."""

from collections.abc import Mapping

import torch
from torch import Tensor

STANDARD_NORMAL, KAIMING = "random", "kaiming"


def initial(weights: Mapping[str, Tensor], start: str, random_seed: int) -> dict[str, Tensor]:
    """The initial weights of a backbone or super network for a start without the seed.

    `random`: every convolution weight is drawn from the standard normal distribution, as the paper has it (4.3).
    `kaiming`: as the network was built, normal with variance 2 / fan-out (arXiv 1502.01852). In both, norms have scale
    1 and shift 0, and alphas stay as they are. Nothing passed in is changed.
    """
    if start == KAIMING:
        return dict(weights)
    generator = torch.Generator().manual_seed(random_seed)
    return {
        name: torch.randn(tensor.shape, generator=generator).to(tensor) if tensor.ndim == 4 else tensor.clone()
        for name, tensor in weights.items()
    }
