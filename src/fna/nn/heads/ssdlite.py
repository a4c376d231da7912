"""SSDLite's head, and what other heads have of it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.heads.detection import Outputs, grids, per_anchor
from fna.nn.heads.parts import in_turn
from fna.nn.layers import build_convs

INITIAL_DEVIATION = 0.03
"""Of the random weights of SSDLite's extra layers and predictions (the authors; torchvision has the same)."""


class Predictions(nn.Module):
    """A base of heads that predict on every map by itself, in `convs` under `class` and `box`; class 0 is nothing."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.convs = build_convs(head)
        self.classes = head.conv("class.0.project").cout // head.anchors[0]

    def predict(self, maps: Sequence[Tensor]) -> Outputs:
        """Raw outputs on the maps, fine to coarse."""
        logits, boxes = (
            torch.cat([per_anchor(in_turn(part, m), n) for part, m in zip(self.parts(kind), maps, strict=True)], 1)
            for kind, n in (("class", self.classes), ("box", 4))
        )
        return {"cls_logits": logits, "bbox_regression": boxes, "grids": grids(maps)}

    def parts(self, name: str) -> list[nn.Module]:
        """Those of `convs` under a name, in order."""
        return list(self.convs[name].children())


def small_random(convs: nn.Module) -> None:
    """Random weights as SSDLite has them."""
    for part in convs.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=INITIAL_DEVIATION)


class SsdLite(Predictions):
    """Separable predictions (arXiv 1801.04381, section 6.2), norms on the predictions as the authors."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.last = self.convs.pop("last")
        small_random(self.convs)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """(expanded tensor at stride 16, deep tap) -> raw outputs; class 0 is the background."""
        maps = [taps[0], self.last(taps[1])]
        for extra in self.parts("extra"):
            maps.append(in_turn(extra, maps[-1]))
        return self.predict(maps)
