"""ResNet (arXiv 1512.03385, table 1) and ResNeXt (arXiv 1611.05431): layers, and how torchvision and timm name them."""

from fna.arch.arch import Arch, placed
from fna.arch.frame import Frame
from fna.families.family import Family, Library, Names, build

FRAME = Frame(stem_kernel=7, stem_activation="relu", stem_pool=True, last_activation=None)
CONVS = {
    "first": ("conv1", "bn1"),
    "second": ("conv2", "bn2"),
    "reduce": ("conv1", "bn1"),
    "spatial": ("conv2", "bn2"),
    "project": ("conv3", "bn3"),
    "shortcut": ("downsample.0", "downsample.1"),
}
"""Our names of a layer's convolutions; theirs of each and of its norm."""


def _resnet(channels: tuple[int, ...], depths: tuple[int, ...], op: str) -> Arch:
    stages = zip(channels, (1, 2, 2, 2), depths, strict=True)
    return build(64, tuple((width, stride, " ".join([op] * depth)) for width, stride, depth in stages), 1280, FRAME)


def _resnext(depths: tuple[int, ...], groups: int) -> Arch:
    """Twice as wide inside as ResNet, in so many groups."""
    stages = tuple(
        (width, stride, " ".join([f"bottleneck_k3_e0.5_g{width // 2 // groups}"] * depth))
        for width, stride, depth in zip(WIDE, (1, 2, 2, 2), depths, strict=True)
    )
    return build(64, stages, 1280, FRAME)


NARROW, WIDE = (64, 128, 256, 512), (256, 512, 1024, 2048)


def names(arch: Arch) -> Names:
    """The names of torchvision's and timm's networks."""
    yield from (("conv1", "stem.conv"), ("bn1", "stem.norm"))
    for place, op in placed(arch):
        index = int(place.name.rpartition(".")[2])
        for conv in place.block(op).convs:
            theirs, ours = f"layer{place.stage + 1}.{index}", f"{place.name}.{conv.name}"
            for their_part, our_part in zip(CONVS[conv.name], ("conv", "norm"), strict=True):
                yield f"{theirs}.{their_part}", f"{ours}.{our_part}"


FAMILY = Family(
    "ResNet",
    {
        "resnet18": _resnet(NARROW, (2, 2, 2, 2), "basic_k3"),
        "resnet34": _resnet(NARROW, (3, 4, 6, 3), "basic_k3"),
        "resnet50": _resnet(WIDE, (3, 4, 6, 3), "bottleneck_k3"),
        "resnet101": _resnet(WIDE, (3, 4, 23, 3), "bottleneck_k3"),
        "resnext50_32x4d": _resnext((3, 4, 6, 3), 32),
    },
    {"torchvision": Library(names)},
    classifier=("fc",),
)
