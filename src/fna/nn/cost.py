"""Cost of any network that can be built: from the data of a design, or by running what is only a module."""

from functools import cache

import torch

from fna.arch.arch import HW, Arch
from fna.arch.design import Design
from fna.arch.heads import OutsideHead
from fna.arch.plain import AnyArch, PlainBackbone
from fna.cost import count as cost
from fna.cost.count import Count, check_imgsz
from fna.errors import UserError
from fna.nn.count import count_module
from fna.nn.network import build
from fna.nn.plain import build_features


def count(design: Design, classes: int) -> Count:
    """The whole model, for one image of the design's size."""
    as_data = isinstance(design.arch, Arch) and not isinstance(design.described(classes), OutsideHead)
    return cost.count(design, classes) if as_data else _count_module(design, classes)


def count_backbone(arch: AnyArch, imgsz: HW, output_stride: int = 32) -> Count:
    """The backbone alone at `imgsz` (height, width)."""
    if isinstance(arch, Arch):
        return cost.count_backbone(arch, imgsz, output_stride)
    return _count_features(arch, imgsz, output_stride)


@cache
def _count_module(design: Design, classes: int) -> Count:
    """Counted on the meta device, so that no number is computed whatever the size.

    Raises UserError where a module of another library does not take images of the design's size.
    """
    network = build(design, classes, random_seed=0).to("meta")
    try:
        return count_module(network, design.imgsz)
    except RuntimeError as error:
        height, width = design.imgsz
        raise UserError(f"{design.head} does not take images of {height}x{width} ({error}); choose others") from error


@cache
def _count_features(backbone: PlainBackbone, imgsz: HW, output_stride: int) -> Count:
    check_imgsz(imgsz)
    with torch.random.fork_rng():
        return count_module(build_features(backbone.name, output_stride).to("meta"), imgsz)
