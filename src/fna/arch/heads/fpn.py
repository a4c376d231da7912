"""The light feature pyramid for masks."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, deepest, stages_at_stride, tap_channels
from fna.arch.convs import Conv
from fna.arch.heads.convs import LOW, VECTOR, relu, rising, score, separable
from fna.arch.heads.kind import At, Head, HeadConv, HeadKind, Numbers


@dataclass(frozen=True, slots=True)
class Fpn(HeadKind):
    """A feature pyramid (arXiv 1612.03144) of separable convolutions, with a pooled context.

    A 1x1 to `width` channels on the last stage of every stride in `taps` and on the deepest one, to which a 1x1 of its
    mean over the image is added; from there up, sums with bilinear interpolation and a separable 3x3 after each; one
    more separable 3x3 at the finest and a biased 1x1. All but the last have norms, all but the 1x1 on stages have ReLU.
    """

    name: ClassVar[str] = "fpn"
    module: ClassVar[str] = "fpn:Fpn"

    width: int = 96
    taps: Numbers = (4, 8, 16)

    def __post_init__(self) -> None:
        # Not super(): dataclasses with slots are new classes, which its short form does not know.
        HeadKind.__post_init__(self)
        rising(self.name, self.taps)

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stage at every stride of `taps`, and the deepest one."""
        deep, width = deepest(arch), self.width
        skips = [Tap(stages_at_stride(arch, stride)[-1]) for stride in self.taps]
        taps = tuple(tap for tap in skips if tap != deep) + (deep,)
        convs = [HeadConv(relu("context", tap_channels(arch, deep), width), (VECTOR,))]
        for i, tap in enumerate(taps):
            convs.append(HeadConv(Conv(f"lateral.{i}", tap_channels(arch, tap), width, 1, activation=None), (At(i),)))
        for i in range(len(taps) - 1):
            convs += separable(f"smooth.{i}", width, width, At(i))
        convs += separable("finest", width, width, LOW)
        return Head(self, taps, (*convs, HeadConv(score(width, classes), (LOW,))))

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """Every sum is one of a lateral and of what comes from the level below it, the deepest one of the context."""
        deep = len(head.taps) - 1
        below = [f"smooth.{i}.pointwise" for i in range(deep)]
        sums = [
            (f"lateral.{i}", *([below[i + 1]] if i + 1 < deep else [f"lateral.{deep}", "context"])) for i in range(deep)
        ]
        wiring: dict[str, tuple[str, ...]] = {f"lateral.{i}": (f"tap.{i}",) for i in range(deep + 1)}
        wiring["context"] = (f"tap.{deep}",)
        wiring |= {f"smooth.{i}.depthwise": both for i, both in enumerate(sums)}
        return wiring | {"finest.depthwise": (below[0],) if deep else ("lateral.0", "context")}
