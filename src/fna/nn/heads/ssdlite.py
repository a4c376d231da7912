"""SSDLite's head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fna.arch.heads import Head
from fna.nn.heads.detection import Outputs, grids, per_anchor
from fna.nn.heads.parts import in_turn
from fna.nn.layers import build_convs

INITIAL_DEVIATION = 0.03
"""Of the random weights of SSDLite's extra layers and predictions (the authors; torchvision has the same)."""


class SsdLite(nn.Module):
    """Six maps with separable predictions (arXiv 1801.04381, section 6.2), norms on the predictions as the authors."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.convs = build_convs(head)
        self.last = self.convs.pop("last")
        self.classes = head.conv("class.0.project").cout // head.anchors[0]
        for part in self.convs.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=INITIAL_DEVIATION)

    def forward(self, taps: Sequence[Tensor], size: Sequence[int]) -> Outputs:
        """(expanded tensor at stride 16, deep tap) -> raw outputs; class 0 is the background."""
        maps = [taps[0], self.last(taps[1])]
        for extra in self._children("extra"):
            maps.append(in_turn(extra, maps[-1]))
        logits, boxes = (
            torch.cat([per_anchor(in_turn(part, m), n) for part, m in zip(self._children(kind), maps, strict=True)], 1)
            for kind, n in (("class", self.classes), ("box", 4))
        )
        return {"cls_logits": logits, "bbox_regression": boxes, "grids": grids(maps)}

    def _children(self, name: str) -> list[nn.Module]:
        return list(self.convs[name].children())
