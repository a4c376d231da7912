"""The classifier that a seed was pretrained with."""

from dataclasses import dataclass
from typing import ClassVar

from fna.arch.arch import Arch, Outputs, deepest, tap_channels
from fna.arch.heads.convs import DEEP, VECTOR, score, seeds_last
from fna.arch.heads.kind import Head, HeadConv, HeadKind
from fna.errors import UserError


@dataclass(frozen=True, slots=True)
class Classifier(HeadKind):
    """Last 1x1 convolution, average pooling, linear layer (MobileNetV2, arXiv 1801.04381, table 2)."""

    name: ClassVar[str] = "classifier"
    module: ClassVar[str] = "classifier:Classifier"
    gives: ClassVar[str] = "classes"

    def describe(self, arch: Outputs, classes: int, output_stride: int) -> Head:
        """Reads the last stage; a UserError for a family whose classifier is of another form."""
        if isinstance(arch, Arch) and (arch.frame.pooled or arch.frame.last_activation is None):
            raise UserError("the classifier head is a 1x1 convolution before the mean, which this family does not have")
        deep = deepest(arch)
        last = seeds_last(arch, tap_channels(arch, deep), DEEP)
        return Head(self, (deep,), (last, HeadConv(score(arch.last, classes, "linear"), (VECTOR,), linear=True)))
