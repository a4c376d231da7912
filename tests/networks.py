"""Small networks for tests: their norms are no identities, and every class wins somewhere."""

import torch

from fna.arch import zoo
from fna.arch.heads import describe
from fna.nn.network import Network, build
from fna.weights.checkpoint import NetworkInfo

ARCH = zoo.build("mobilenet_v2", 0.1)
CLASSES = ("sky", "road", "car")


def info(head: str = "deeplabv3", classes: tuple[str, ...] = CLASSES) -> NetworkInfo:
    """What a trained network of these tests says of itself."""
    return NetworkInfo(ARCH, "seg", head, 16, classes, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), (48, 64))


@torch.no_grad()
def trained(about: NetworkInfo, random_seed: int = 0) -> Network:
    """A network with random weights and random norm statistics, in eval mode."""
    head = describe(about.head, about.arch, len(about.classes), about.output_stride)
    network = build(about.arch, head, about.output_stride, random_seed)
    generator = torch.Generator().manual_seed(random_seed)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) / 10)
        if name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    network.eval()
    score = network.head.score.conv
    noise = torch.randn(4, 3, 64, 96, generator=generator)
    # Logits with mean 0 and deviation 1: a fresh network has almost the same logits everywhere.
    logits = network(noise)
    spread = logits.std((0, 2, 3))
    assert bool((spread > 0).all())
    score.bias.copy_((score.bias - logits.mean((0, 2, 3))) / spread)
    score.weight.div_(spread.view(-1, 1, 1, 1))
    return network
