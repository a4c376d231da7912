"""Parameters and multiply-adds, counted from the data, no model needed.

MAdds are one per multiply-add of a convolution or linear layer, plus one per output of a biased convolution, for one
image at a stated size. Norms, activations, pooling, interpolation and the bias of a linear layer are not counted (the
convention under which the paper's tables come out). Parameters are all learned numbers, norms included.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from fna.arch.arch import HW, Arch, Outputs, Place, placed, shrink
from fna.arch.convs import Conv, Gate
from fna.arch.design import Design
from fna.arch.heads import Head, OutsideHead, grid
from fna.arch.layers import Op
from fna.arch.space import Space, searched_places
from fna.errors import UserError


@dataclass(frozen=True, slots=True)
class Count:
    """What a network, or a part of one, costs."""

    params: int = 0
    conv_madds: int = 0
    linear_madds: int = 0
    conv_bias_adds: int = 0

    @property
    def madds(self) -> int:
        """The total, as the paper prints it."""
        return self.conv_madds + self.linear_madds + self.conv_bias_adds

    def __add__(self, other: "Count") -> "Count":
        return Count(*(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def _values(self) -> tuple[int, int, int, int]:
        return (self.params, self.conv_madds, self.linear_madds, self.conv_bias_adds)

    def as_dict(self) -> dict[str, int]:
        """Keys params, madds, conv_madds, linear_madds, conv_bias_adds."""
        data = asdict(self)
        return {"params": data.pop("params"), "madds": self.madds, **data}


def count_conv(conv: Conv, out_hw: HW) -> Count:
    """One convolution with its norm and bias, producing `out_hw` (height, width)."""
    pixels = out_hw[0] * out_hw[1]
    out, into, k, _ = conv.weight_shape
    weights = out * into * k * k
    params = weights + (2 * out if conv.norm else 0) + (out if conv.bias else 0)
    return Count(params, pixels * weights, 0, pixels * out if conv.bias else 0)


def total(parts: Iterable[Count]) -> Count:
    """The sum of counts."""
    return sum(parts, Count())


def count_op(place: Place, op: Op) -> Count:
    """One layer at its place.

    Convolutions before the strided one run at the input size, the others at the output; a gate runs on one pixel.
    """
    block, hw = place.block(op), place.in_hw
    counts = []
    for part in block.parts:
        if isinstance(part, Gate):
            counts += [count_conv(conv, (1, 1)) for conv in (part.squeeze, part.excite)]
        else:
            hw = shrink(hw, part.stride)
            counts.append(count_conv(part, hw))
    if isinstance(block.shortcut, Conv):
        counts.append(count_conv(block.shortcut, place.out_hw))
    return total(counts)


def count_stem(arch: Arch, imgsz: HW) -> Count:
    """The first convolution at `imgsz` (height, width)."""
    return count_conv(arch.frame.stem(arch.stem), shrink(imgsz, 2))


def count_backbone(arch: Arch, imgsz: HW, output_stride: int = 32) -> Count:
    """Stem and stages at `imgsz` (height, width), without the last 1x1 convolution."""
    check_imgsz(imgsz)
    layers = (count_op(place, op) for place, op in placed(arch, imgsz, output_stride))
    return count_stem(arch, imgsz) + total(layers)


def count_head(head: Head, arch: Outputs, imgsz: HW, output_stride: int = 32) -> Count:
    """A head on `arch` at `imgsz` (height, width); a convolution that several levels share has its parameters once.

    Raises UserError for a head that is another library's: `fna.nn.cost` counts it with its backbone, by running it.
    """
    if isinstance(head, OutsideHead):
        raise UserError(f"{head.name} has no layers as data: fna train takes it, searches do not")
    counts = []
    for part in head.convs:
        if part.linear:
            weights = part.conv.cin * part.conv.cout
            counts.append(Count(weights + part.conv.cout, 0, weights))
            continue
        runs = [count_conv(part.conv, grid(at, head.taps, arch, imgsz, output_stride)) for at in part.at]
        counts.append(replace(total(runs), params=runs[0].params))
    return total(counts)


def count_model(arch: Arch, head: Head | None, imgsz: HW, output_stride: int = 32) -> Count:
    """Backbone and head together; `head` None is the backbone alone."""
    backbone = count_backbone(arch, imgsz, output_stride)
    return backbone if head is None else backbone + count_head(head, arch, imgsz, output_stride)


def count(design: Design, classes: int) -> Count:
    """The whole model for one image of the design's size; its backbone has layers as data."""
    assert isinstance(design.arch, Arch)  # `fna.nn.cost` counts the others
    return count_model(design.arch, design.described(classes), design.imgsz, design.output_stride)


def candidate_counts(space: Space, imgsz: HW, output_stride: int = 32) -> list[list[Count]]:
    """The cost of every candidate of every searched layer, which does not depend on its neighbours' choices."""
    return [
        [count_op(place, op) for op in candidates] for place, candidates in searched_places(space, imgsz, output_stride)
    ]


def candidate_madds(space: Space, imgsz: HW, output_stride: int = 32) -> list[list[int]]:
    """MAdds of every candidate of every searched layer."""
    return [[count.madds for count in row] for row in candidate_counts(space, imgsz, output_stride)]


def expected_madds(costs: Sequence[Sequence[int]], probabilities: Sequence[Sequence[float]]) -> float:
    """The mean cost of the searched layers when each candidate is drawn with its probability."""
    return sum(c * p for row, ps in zip(costs, probabilities, strict=True) for c, p in zip(row, ps, strict=True))


def check_imgsz(imgsz: HW) -> None:
    """Refuse an image size that is not two positive numbers."""
    if len(imgsz) != 2 or min(imgsz) < 1:
        raise UserError(f"image size must be height and width of at least 1 pixel, got {imgsz!r}")
