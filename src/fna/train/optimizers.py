"""The optimisers of weights that the configuration can name."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fna.config.sections import Adapt, Search

ADAMW_BETA = 0.999
"""Of the mean of squared gradients, torch's default."""


def weight_optimizer(groups: Iterable[nn.Parameter] | Iterable[dict[str, Any]], how: Adapt | Search) -> Optimizer:
    """SGD (paper 4.1, A.1 RetinaNet), RMSprop (A.1 SSDLite; the authors' eps is 1.0), or AdamW for short trainings."""
    if how.optimizer == "sgd":
        return torch.optim.SGD(groups, how.lr, how.momentum, weight_decay=how.weight_decay)
    if how.optimizer == "adamw":
        return torch.optim.AdamW(groups, how.lr, (how.momentum, ADAMW_BETA), weight_decay=how.weight_decay)
    return torch.optim.RMSprop(
        groups, how.lr, eps=how.optimizer_eps, weight_decay=how.weight_decay, momentum=how.momentum
    )
