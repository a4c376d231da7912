"""Torchvision's own networks, read where a dense head reads them."""

from typing import cast

from torch import Tensor, nn
from torchvision.models import mnasnet1_0
from torchvision.models import shufflenet_v2_x2_0 as torchvision_shufflenet
from torchvision.models.feature_extraction import create_feature_extractor

from fna.arch.arch import Arch, Stage
from fna.arch.layers import MBConv

NORM_MOMENTUM = 0.1
"""Torch's own. MNASNet comes with 0.0003, with which the running statistics of a short training never leave their
start."""


class Library(nn.Module):
    """`network` up to the last of `nodes`, torchvision's names of its submodules, and read at each of them."""

    def __init__(self, network: nn.Module, nodes: tuple[str, ...], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels
        self.strides = (4, 8, 16, 32)
        self.body = create_feature_extractor(network, list(nodes))
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = NORM_MOMENTUM

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, channels, H / stride, W / stride) per node, sizes rounded up."""
        return list(cast(dict[str, Tensor], self.body(images)).values())


def shufflenet_v2_x2_0() -> Library:
    """ShuffleNetV2 of double width (arXiv 1807.11164), without its last 1x1 convolution."""
    nodes = ("maxpool", "stage2", "stage3", "stage4")
    return Library(torchvision_shufflenet(weights=None), nodes, (24, 244, 488, 976))


MNASNET_B1 = Arch(
    32,
    tuple(
        Stage(channels, stride, (MBConv(kernel, expansion),) * depth)
        for channels, stride, kernel, expansion, depth in (
            (16, 1, 3, 1, 1),
            (24, 2, 3, 3, 3),
            (40, 2, 5, 3, 3),
            (80, 2, 5, 6, 3),
            (96, 1, 3, 6, 2),
            (192, 2, 5, 6, 4),
            (320, 1, 3, 6, 1),
        )
    ),
)
"""The layers of `mnasnet` as data, for counting under SSDLite, which reads an expanded tensor inside of the network."""


def mnasnet() -> Library:
    """MNASNet 1.0, MnasNet's B1 (arXiv 1807.11626), without its last 1x1 convolution."""
    nodes = ("layers.8", "layers.9", "layers.11", "layers.13")
    return Library(mnasnet1_0(weights=None), nodes, (24, 40, 96, 320))
