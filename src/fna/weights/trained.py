"""Trained networks as ordinary modules with what they say of themselves, and pictures as their input."""

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.arch.arch import HW
from fna.nn.network import Network
from fna.weights.checkpoint import NetworkInfo


class TrainedNetwork(Network):
    """A network with `info`: what it is, its classes, and how its input is made."""

    def __init__(self, backbone: nn.Module, head: nn.Module, info: NetworkInfo) -> None:
        super().__init__(backbone, head)
        self.info = info


def prepare(image: Tensor, info: NetworkInfo, imgsz: HW | None = None) -> Tensor:
    """An image, uint8 (3, H, W), as the network takes it: resized as in training, in [0, 1], minus mean, over std."""
    if imgsz is not None and tuple(image.shape[1:]) != imgsz:
        image = transforms.resize(image, list(imgsz), InterpolationMode.BILINEAR, antialias=True)
    return transforms.normalize(transforms.to_dtype(image, torch.float32, scale=True), list(info.mean), list(info.std))
