"""Backbones that the paper compares with; each has `channels` and `strides`, and gives one tensor for each of them."""

from collections.abc import Callable

from torch import nn

from fna.errors import UserError
from fna.nn.comparators.auto_deeplab import AutoDeepLabS
from fna.nn.comparators.detnas import detnasnet, shufflenet_v2_20
from fna.nn.comparators.library import mnasnet, shufflenet_v2_x2_0

COMPARATORS: dict[str, Callable[[], nn.Module]] = {
    "auto_deeplab_s": AutoDeepLabS,
    "detnasnet": detnasnet,
    "mnasnet": mnasnet,
    "shufflenet_v2_20": shufflenet_v2_20,
    "shufflenet_v2_x2_0": shufflenet_v2_x2_0,
}


def builder(name: str) -> Callable[[str, int], nn.Module]:
    """What makes the comparator `name` as a plain backbone: it has no variants, and the output stride that it has."""

    def make(variant: str, output_stride: int) -> nn.Module:
        if variant:
            raise UserError(f"{name} has no variant {variant!r}; write {name}")
        return COMPARATORS[name]()

    return make
