"""MobileNetV2 (arXiv 1801.04381): how torchvision and timm name the tensors of their checkpoints."""

from fna.arch.arch import Arch, placed
from fna.arch.zoo import mobilenet_v2
from fna.families.family import Family, Library, Names


def torchvision_names(arch: Arch) -> Names:
    """The names of `torchvision.models.mobilenet_v2`."""
    yield from (("features.0.0", "stem.conv"), ("features.0.1", "stem.norm"))
    index = 1
    for place, op in placed(arch):
        *before, project = place.block(op).convs
        for p, conv in enumerate(before):
            theirs = f"features.{index}.conv.{p}"
            yield from (
                (f"{theirs}.0", f"{place.name}.{conv.name}.conv"),
                (f"{theirs}.1", f"{place.name}.{conv.name}.norm"),
            )
        theirs, ours = f"features.{index}.conv", f"{place.name}.{project.name}"
        yield from ((f"{theirs}.{len(before)}", f"{ours}.conv"), (f"{theirs}.{len(before) + 1}", f"{ours}.norm"))
        index += 1
    yield from ((f"features.{index}.0", "last.conv"), (f"features.{index}.1", "last.norm"))


def timm_names(arch: Arch) -> Names:
    """The names of timm's `mobilenetv2_*`."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"))
    yield from timm_layers(arch)
    yield from (("conv_head", "last.conv"), ("bn2", "last.norm"))


TIMM_CONVS = {
    2: {"depthwise": "conv_dw", "project": "conv_pw"},
    3: {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"},
}
"""timm's names of the convolutions of a layer with two, and of one with three."""


def timm_layers(arch: Arch) -> Names:
    """timm's names in the inverted residual layers of any of its networks; `se` is the gate, where there is one."""
    for s, stage in enumerate(arch.stages):
        for i, op in enumerate(stage.layers):
            block, theirs, ours = op.block(1, 1), f"blocks.{s}.{i}", f"stages.{s}.{i}"
            for n, conv in enumerate(block.main, start=1):
                yield f"{theirs}.{TIMM_CONVS[len(block.main)][conv.name]}", f"{ours}.{conv.name}.conv"
                yield f"{theirs}.bn{n}", f"{ours}.{conv.name}.norm"
            if len(block.parts) > len(block.main):
                yield from (
                    (f"{theirs}.se.conv_reduce", f"{ours}.squeeze.conv"),
                    (f"{theirs}.se.conv_expand", f"{ours}.excite.conv"),
                )


FAMILY = Family(
    "MobileNetV2",
    {"mobilenet_v2": mobilenet_v2()},
    {"torchvision": Library(torchvision_names), "timm": Library(timm_names)},
    classifier=("classifier.1", "classifier"),
)
