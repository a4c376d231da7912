"""MobileNetV3's light head for masks."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Outputs, Tap, deepest, stages_at_stride, tap_channels
from fna.arch.convs import Conv
from fna.arch.heads.convs import DEEP, LOW, VECTOR, relu, score
from fna.arch.heads.kind import Head, HeadConv, HeadKind


@dataclass(frozen=True, slots=True)
class Lraspp(HeadKind):
    """LR-ASPP (MobileNetV3, arXiv 1905.02244, section 6.4): a 1x1 of `width` channels times a gate of the image's mean.

    Two biased 1x1 score it and the stage at stride `tap`, and are added there.
    """

    name: ClassVar[str] = "lraspp"
    module: ClassVar[str] = "lraspp:Lraspp"

    width: int = 128
    tap: int = 8

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the stage at `tap` and the last one."""
        low, deep = Tap(stages_at_stride(arch, self.tap)[-1]), deepest(arch)
        cin = tap_channels(arch, deep)
        gate = Conv("gate", cin, self.width, 1, norm=False, activation="sigmoid")
        convs = (
            HeadConv(relu("project", cin, self.width), (DEEP,)),
            HeadConv(gate, (VECTOR,)),
            HeadConv(score(tap_channels(arch, low), classes, "low"), (LOW,)),
            HeadConv(score(self.width, classes), (LOW,)),
        )
        return Head(self, (low, deep), convs)

    def reads(self, head: Head) -> dict[str, tuple[str, ...]]:
        """The deepest tap and its gate are multiplied, the finer one only scored."""
        return {"project": ("tap.1",), "gate": ("tap.1",), "low": ("tap.0",), "score": ("project", "gate")}
