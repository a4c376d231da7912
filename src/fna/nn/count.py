"""Parameters and multiply-adds of any module, by the conventions of `fna.cost.count`."""

import torch
from torch import Tensor, nn

from fna.arch.arch import HW
from fna.cost.count import Count, total


@torch.no_grad()
def count_module(module: nn.Module, imgsz: HW) -> Count:
    """The cost of a module for one image of `imgsz` (height, width), by running it: on the meta device at no expense.

    Convolutions and linear layers are counted each time that they run, parameters once.
    """
    counts: list[Count] = []

    def record(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(part, nn.Linear):
            counts.append(Count(linear_madds=output.numel() * part.in_features))
        elif isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            # Every output of a convolution, and every input of a transposed one, meets the weights of one of its rows.
            pixels = inputs[0] if isinstance(part, nn.ConvTranspose2d) else output
            adds = 0 if part.bias is None else output.numel()
            counts.append(Count(conv_madds=pixels.numel() * part.weight[0].numel(), conv_bias_adds=adds))

    hooks = [part.register_forward_hook(record) for part in module.modules()]
    training = module.training
    module.eval()(torch.empty(1, 3, *imgsz, device=next(module.parameters()).device))
    module.train(training)
    for hook in hooks:
        hook.remove()
    return total(counts) + Count(params=sum(parameter.numel() for parameter in module.parameters()))
