"""MobileNetV3 (arXiv 1905.02244, tables 1 and 2): layers, and how torchvision and timm name the tensors."""

from fna.arch.arch import Arch, placed
from fna.arch.convs import Gate
from fna.arch.frame import Frame
from fna.families.family import Family, Library, Names, build
from fna.families.mobilenet_v2 import timm_layers

LARGE = (
    (16, 1, "k3_e1_relu"),
    (24, 2, "k3_e4_relu k3_e3_relu"),
    (40, 2, "k5_e3_se4_relu k5_e3_se4_relu k5_e3_se4_relu"),
    (80, 2, "k3_e6_hs k3_e2.5_hs k3_e2.3_hs k3_e2.3_hs"),
    (112, 1, "k3_e6_se4_hs k3_e6_se4_hs"),
    (160, 2, "k5_e6_se4_hs k5_e6_se4_hs k5_e6_se4_hs"),
)
SMALL = (
    (16, 2, "k3_e1_se4_relu"),
    (24, 2, "k3_e4.5_relu k3_e3.67_relu"),
    (40, 2, "k5_e4_se4_hs k5_e6_se4_hs k5_e6_se4_hs"),
    (48, 1, "k5_e3_se4_hs k5_e3_se4_hs"),
    (96, 2, "k5_e6_se4_hs k5_e6_se4_hs k5_e6_se4_hs"),
)


def _frame(pooled: int) -> Frame:
    return Frame(stem_activation="hardswish", last_activation="hardswish", pooled=pooled, epsilon=1e-3)


def torchvision_names(arch: Arch) -> Names:
    """The names of `torchvision.models.mobilenet_v3_*`."""
    yield from (("features.0.0", "stem.conv"), ("features.0.1", "stem.norm"))
    index = 1
    for place, op in placed(arch):
        for p, part in enumerate(place.block(op).parts):
            theirs = f"features.{index}.block.{p}"
            if isinstance(part, Gate):
                yield from (
                    (f"{theirs}.fc1", f"{place.name}.squeeze.conv"),
                    (f"{theirs}.fc2", f"{place.name}.excite.conv"),
                )
            else:
                ours = f"{place.name}.{part.name}"
                yield from ((f"{theirs}.0", f"{ours}.conv"), (f"{theirs}.1", f"{ours}.norm"))
        index += 1
    yield from ((f"features.{index}.0", "last.conv"), (f"features.{index}.1", "last.norm"))
    yield "classifier.0", "pooled.conv"


def timm_names(arch: Arch) -> Names:
    """The names of timm's `mobilenetv3_*` and `tf_mobilenetv3_*`."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"))
    yield from timm_layers(arch)
    last = f"blocks.{len(arch.stages)}.0"
    yield from ((f"{last}.conv", "last.conv"), (f"{last}.bn1", "last.norm"), ("conv_head", "pooled.conv"))


FAMILY = Family(
    "MobileNetV3",
    {
        "mobilenet_v3_large": build(16, LARGE, 960, _frame(1280)),
        "mobilenet_v3_small": build(16, SMALL, 576, _frame(1024)),
    },
    {
        "torchvision": Library(torchvision_names, epsilon=1e-3),
        "timm": Library(timm_names),
        # Weights of TensorFlow have timm's names, too: no key tells them, whoever has them says so.
        "tensorflow": Library(timm_names, same_padding=True, epsilon=1e-3),
    },
    classifier=("classifier.3", "classifier"),
)
