"""Alphas of a super network, and what a step hands to their optimizer."""

from collections.abc import Callable

import torch

from fna.nn.supernet import SuperNet


def spread_alphas(supernet: torch.nn.Module) -> None:
    """Alphas that are not alike, so that a swapped candidate would be seen."""
    assert isinstance(supernet, SuperNet)
    for alpha in supernet.alphas:
        alpha.data.copy_(torch.randn(alpha.shape))


def gradients_of(step: Callable[[], object], alphas: torch.optim.Optimizer) -> list[torch.Tensor]:
    """What one step hands to its optimizer."""
    found: list[torch.Tensor] = []

    def keep(*_: object) -> None:
        found.extend(p.grad.clone() for group in alphas.param_groups for p in group["params"])

    alphas.register_step_pre_hook(keep)
    torch.manual_seed(0)  # of the dropout
    step()
    return found
