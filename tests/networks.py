"""Small networks for tests: their norms have seen images, and every class wins somewhere."""

import torch
from torch import Tensor, nn

from fna.arch.arch import Arch, Stage
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.layers import MBConv
from fna.nn.network import Network, build
from fna.weights.checkpoint import NetworkInfo

# All there is in such networks: residuals, kernels, no expansion, and dilation at output stride 16.
ARCH = Arch(
    8,
    (
        Stage(8, 1, (MBConv(3, 1),)),
        Stage(8, 2, (MBConv(3, 3), MBConv(5, 3))),
        Stage(16, 2, (MBConv(7, 3),)),
        Stage(16, 2, (MBConv(3, 6),)),
        Stage(24, 2, (MBConv(3, 3), MBConv(3, 3))),
    ),
)
CLASSES = ("sky", "road", "car")


def info(head: str = "deeplabv3", classes: tuple[str, ...] = CLASSES) -> NetworkInfo:
    """What a trained network of these tests says of itself."""
    kind = parse_head(head)
    design = Design("none", ARCH, kind, kind.output_stride, (48, 64))
    return NetworkInfo(design, "seg", classes, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def blocks(count: int, random_seed: int) -> Tensor:
    """Images of coloured squares of 8 pixels, uint8 (count, 3, 48, 64)."""
    generator = torch.Generator().manual_seed(random_seed)
    small = torch.randint(0, 256, (count, 3, 6, 8), dtype=torch.uint8, generator=generator)
    return small.repeat_interleave(8, 2).repeat_interleave(8, 3)


@torch.no_grad()
def trained(about: NetworkInfo, random_seed: int = 0) -> Network:
    """A network with random weights, and norm statistics and scores fitted to `blocks`, in eval mode."""
    network = build(about.design, len(about.classes), random_seed)
    images = (blocks(8, random_seed) / 255 - torch.tensor(about.mean).view(3, 1, 1)) / torch.tensor(about.std).view(
        3, 1, 1
    )
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # statistics become those of the images, not a moving average
    with torch.random.fork_rng():
        torch.manual_seed(random_seed)
        network.train()(images)
    score = network.eval().head.score.conv
    logits = network(images)
    mean, deviation = logits.mean((0, 2, 3)), logits.std((0, 2, 3))
    assert bool((deviation > 0).all())
    score.bias.copy_((score.bias - mean) / deviation)
    score.weight.div_(deviation.view(-1, 1, 1, 1))
    return network
