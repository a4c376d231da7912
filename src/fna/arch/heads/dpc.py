"""The dense prediction cell."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, deepest, tap_channels
from fna.arch.heads.convs import DEEP, relu, score, separable
from fna.arch.heads.kind import Head, HeadConv, HeadKind

DPC_BRANCHES: tuple[tuple[int | None, tuple[int, int]], ...] = (
    (None, (1, 6)),
    (0, (18, 15)),
    (1, (6, 3)),
    (0, (1, 1)),
    (0, (6, 21)),
)
"""What each branch reads (an earlier branch, None: the backbone) and its vertical and horizontal rate at output stride
16: the best dense prediction cell (arXiv 1809.04184, as its authors released it for Cityscapes)."""


@dataclass(frozen=True, slots=True)
class Dpc(HeadKind):
    """Dense prediction cell: five separable 3x3 of `width` channels, joined and projected, then a biased 1x1.

    Rates are those of `DPC_BRANCHES` times 16 / output stride, at least 1; the DPC row of paper Table 1.
    """

    name: ClassVar[str] = "dpc"
    module: ClassVar[str] = "dpc:DensePredictionCell"
    output_stride: ClassVar[int] = 16

    width: int = 256

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stage."""
        deep = deepest(arch)
        convs = []
        for i, (source, rates) in enumerate(DPC_BRANCHES):
            cin = tap_channels(arch, deep) if source is None else self.width
            vertical, horizontal = (max(1, rate * 16 // output_stride) for rate in rates)
            convs += separable(f"cell.{i}", cin, self.width, DEEP, (vertical, horizontal))
        convs.append(HeadConv(relu("project", len(DPC_BRANCHES) * self.width, self.width), (DEEP,)))
        convs.append(HeadConv(score(self.width, classes), (DEEP,)))
        return Head(self, (deep,), tuple(convs))

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """Every branch reads the tap or an earlier branch, the projection all of them."""
        ends = [f"cell.{i}.pointwise" for i in range(len(DPC_BRANCHES))]
        sources = ["tap.0" if source is None else ends[source] for source, _ in DPC_BRANCHES]
        return {f"cell.{i}.depthwise": (source,) for i, source in enumerate(sources)} | {"project": tuple(ends)}
