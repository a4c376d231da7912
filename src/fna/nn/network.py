"""Whole networks: backbone (or super network) and head."""

import torch
from torch import Tensor, nn

from fna.arch.arch import Arch
from fna.arch.heads import Head
from fna.arch.space import Space
from fna.nn.backbone import Backbone
from fna.nn.heads import build_head
from fna.nn.supernet import SuperNet


class Network(nn.Module):
    """Backbone (or super network) and head."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: Tensor, *path: object) -> Tensor:
        """(N, 3, H, W) -> logits; a further argument goes to the super network as its path."""
        return self.head(self.backbone(images, *path), images.shape[2:])


def build(target: Arch | Space, head: Head, output_stride: int, random_seed: int, plain_norm: bool = False) -> Network:
    """The network of an architecture or a space, with initial weights drawn from `random_seed`.

    Its memory format is channels-last: on CPUs the depthwise convolutions of these networks are twice as fast in it.
    """
    with torch.random.fork_rng():
        torch.manual_seed(random_seed)
        backbone: nn.Module
        if isinstance(target, Space):
            backbone = SuperNet(target, head.taps, output_stride, plain_norm)
        else:
            backbone = Backbone(target, head.taps, output_stride)
        return Network(backbone, build_head(head)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
