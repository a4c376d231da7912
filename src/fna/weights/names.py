"""The names that torchvision and timm give to the tensors of MobileNetV2, and ours."""

from collections.abc import Iterator

from fna.arch.zoo import LAYERS

DEPTHS = tuple(len(ops.split()) for ops in LAYERS["mobilenet_v2"])


def torchvision_names() -> Iterator[tuple[str, str]]:
    """(torchvision's module name, ours) of every convolution and norm of MobileNetV2."""
    yield from (("features.0.0", "stem.conv"), ("features.0.1", "stem.norm"))
    index = 1
    for s, depth in enumerate(DEPTHS):
        for i in range(depth):
            parts = ("depthwise", "project") if s == 0 else ("expand", "depthwise", "project")
            for p, part in enumerate(parts):
                theirs = f"features.{index}.conv.{p}"
                conv, norm = f"{theirs}.0", f"{theirs}.1"
                if part == "project":
                    conv, norm = theirs, f"features.{index}.conv.{p + 1}"
                yield from ((conv, f"stages.{s}.{i}.{part}.conv"), (norm, f"stages.{s}.{i}.{part}.norm"))
            index += 1
    yield from ((f"features.{index}.0", "last.conv"), (f"features.{index}.1", "last.norm"))


def timm_names() -> Iterator[tuple[str, str]]:
    """(timm's module name, ours) of every convolution and norm of MobileNetV2."""
    yield from (("conv_stem", "stem.conv"), ("bn1", "stem.norm"))
    for s, depth in enumerate(DEPTHS):
        separable = (("conv_dw", "depthwise"), ("conv_pw", "project"))
        inverted = (("conv_pw", "expand"), ("conv_dw", "depthwise"), ("conv_pwl", "project"))
        for i in range(depth):
            for n, (conv, ours) in enumerate(separable if s == 0 else inverted, start=1):
                yield f"blocks.{s}.{i}.{conv}", f"stages.{s}.{i}.{ours}.conv"
                yield f"blocks.{s}.{i}.bn{n}", f"stages.{s}.{i}.{ours}.norm"
    yield from (("conv_head", "last.conv"), ("bn2", "last.norm"))


CONV_KEYS = ("weight",)
NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
LIBRARIES = {"torchvision": (torchvision_names, "features.0.0.weight"), "timm": (timm_names, "conv_stem.weight")}
CLASSIFIER_KEYS = ("classifier.1.weight", "classifier.1.bias", "classifier.weight", "classifier.bias")
