"""What detection heads give: raw class scores and box offsets for every anchor.

What they mean is in `fna.tasks.detection.detectors`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Outputs = dict[str, Tensor]
"""`cls_logits` (N, anchors, classes) and `bbox_regression` (N, anchors, 4), cells row by row, level after level; and
`grids` (levels, 2), height and width of each level."""


def grids(maps: Sequence[Tensor]) -> Tensor:
    """(levels, 2): height and width of each feature map."""
    return torch.tensor([feature.shape[2:] for feature in maps])


def per_anchor(x: Tensor, values: int) -> Tensor:
    """(N, anchors * values, H, W) -> (N, H * W * anchors, values)."""
    n, _, height, width = x.shape
    return x.view(n, -1, values, height, width).permute(0, 3, 4, 1, 2).reshape(n, -1, values)
