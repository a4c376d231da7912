"""Cost of any network that can be built: from the data of an architecture, or by running a plain backbone."""

from functools import cache

import torch

from fna.arch.arch import HW, Arch
from fna.arch.heads import Head
from fna.arch.plain import AnyArch, PlainBackbone
from fna.cost import count as cost
from fna.cost.count import Count, check_imgsz
from fna.nn.count import count_module
from fna.nn.network import build
from fna.nn.plain import build_features


def count_backbone(arch: AnyArch, imgsz: HW, output_stride: int = 32) -> Count:
    """The backbone alone at `imgsz` (height, width)."""
    if isinstance(arch, Arch):
        return cost.count_backbone(arch, imgsz, output_stride)
    return _count_plain(arch, None, imgsz, output_stride)


def count_model(arch: AnyArch, head: Head | None, imgsz: HW, output_stride: int = 32) -> Count:
    """Backbone and head together; `head` None is the backbone alone."""
    if isinstance(arch, Arch):
        return cost.count_model(arch, head, imgsz, output_stride)
    return _count_plain(arch, head, imgsz, output_stride)


@cache
def _count_plain(backbone: PlainBackbone, head: Head | None, imgsz: HW, output_stride: int) -> Count:
    """Counted on the meta device, so that no number is computed whatever the size."""
    check_imgsz(imgsz)
    if head is not None:
        return count_module(build(backbone, head, output_stride, random_seed=0).to("meta"), imgsz)
    with torch.random.fork_rng():
        return count_module(build_features(backbone.name, output_stride).to("meta"), imgsz)
