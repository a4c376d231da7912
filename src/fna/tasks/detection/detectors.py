"""What a detector's raw outputs mean: anchors, matching, losses and suppression, all of them torchvision's.

torchvision keeps these as methods of its models. The models here have no weights (they live on the meta device) and are
never run; the network that is trained is `fna.nn.heads.detection`'s.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from fna.arch.heads import DetectorKind, HeadKind
from fna.config.resolved import with_defaults
from fna.config.sections import Detection

Target = dict[str, Tensor]
"""`boxes` (n, 4), x1, y1, x2, y2 in pixels of the batch's images, and `labels` (n,) from 0."""

RETINANET_SIZES = (32, 64, 128, 256, 512)
OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
RATIOS = (0.5, 1.0, 2.0)
"""Anchors of four times the stride, three to an octave, three ratios (RetinaNet, arXiv 1708.02002, section 4).

Whole pixels, rounded down, as torchvision has them."""


class Detector:
    """The rules of a kind of detector. `outputs`: see `fna.nn.heads.detection`; `hw`: height and width of the batch.

    The settings come with their defaults filled in (`fna.config.resolved.with_defaults`).
    """

    rules: Any  # a torchvision model: its parts are typed loosely

    def anchors(self, outputs: dict[str, Tensor], hw: Sequence[int]) -> list[Tensor]:
        """(anchors, 4) in pixels, for every image of the batch."""
        logits = outputs["cls_logits"]
        maps = [logits.new_empty(1, dtype=torch.float32).expand(1, 1, h, w) for h, w in outputs["grids"].tolist()]
        shape = torch.empty((len(logits), 3, *hw), device="meta")
        return self.rules.anchor_generator(ImageList(shape, [(hw[0], hw[1])] * len(logits)), maps)

    def losses(self, outputs: dict[str, Tensor], hw: Sequence[int], targets: Sequence[Target]) -> dict[str, Tensor]:
        """`classification` and `bbox_regression`, means over the batch as torchvision takes them."""
        raise NotImplementedError

    def weight(self, outputs: dict[str, Tensor], hw: Sequence[int], targets: Sequence[Target]) -> Tensor | None:
        """The number that the losses of the batch are divided by; None where each image's are divided by its own."""
        return None

    def detect(
        self, outputs: dict[str, Tensor], hw: Sequence[int], sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """`boxes` (n, 4), `scores` (n,) and `labels` (n,) from 0 of every image, best first, clipped to its size."""
        raise NotImplementedError


def _floats(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Logits and offsets in full precision: anchors and exponentials need it."""
    return {name: outputs[name].float() for name in ("cls_logits", "bbox_regression")}


class RetinaNetDetector(Detector):
    """Focal loss (gamma 2, alpha 0.25), L1 boxes, IoU 0.5 / 0.4.

    At most 1000 candidates a level. The box loss of the authors' detection library was smooth L1 with beta 0.11,
    torchvision's is L1.
    """

    def __init__(self, anchors: Sequence[int], classes: int, how: Detection) -> None:
        backbone = nn.Identity()
        backbone.out_channels = 1  # type: ignore[assignment]  # all that torchvision asks of it
        sizes = tuple(tuple(int(size * octave) for octave in OCTAVES) for size in RETINANET_SIZES)
        generator = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
        with torch.device("meta"):
            head = RetinaNetHead(1, len(OCTAVES) * len(RATIOS), classes)
            self.rules = RetinaNet(
                backbone,
                classes,
                anchor_generator=generator,
                head=head,
                score_thresh=how.score_threshold,
                nms_thresh=how.nms_threshold,
                detections_per_img=how.detections,
            )

    def losses(self, outputs: dict[str, Tensor], hw: Sequence[int], targets: Sequence[Target]) -> dict[str, Tensor]:
        return self.rules.compute_loss(targets, _floats(outputs), self.anchors(outputs, hw))

    def detect(
        self, outputs: dict[str, Tensor], hw: Sequence[int], sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        per_cell = self.rules.anchor_generator.num_anchors_per_location()[0]
        levels = [h * w * per_cell for h, w in outputs["grids"].tolist()]
        split = {name: list(value.split(levels, 1)) for name, value in _floats(outputs).items()}
        anchors = [list(image.split(levels)) for image in self.anchors(outputs, hw)]
        return self.rules.postprocess_detections(split, anchors, sizes)


class SSDDetector(Detector):
    """Softmax with hard negatives 3 : 1, smooth L1 boxes, IoU 0.5.

    Anchor sizes are shares of the image's height and width. An image without boxes has no positives, so no negatives
    are mined in it and its loss is exactly 0: SSD learns nothing from it.
    """

    def __init__(self, anchors: Sequence[int], classes: int, how: Detection) -> None:
        assert how.anchor_scales is not None
        ratios = [[2] if count == 4 else [2, 3] for count in anchors]
        generator = DefaultBoxGenerator(ratios, scales=list(how.anchor_scales))
        with torch.device("meta"):
            self.rules = SSD(
                nn.Identity(),
                generator,
                (1, 1),  # of torchvision's own resizing, which is not used
                classes + 1,
                head=nn.Identity(),
                score_thresh=how.score_threshold,
                nms_thresh=how.nms_threshold,
                detections_per_img=how.detections,
            )

    def losses(self, outputs: dict[str, Tensor], hw: Sequence[int], targets: Sequence[Target]) -> dict[str, Tensor]:
        anchors = self.anchors(outputs, hw)
        matched = self.matched(anchors, targets)
        # Class 0 is the background: without the shift the first class would be learned as nothing at all.
        shifted = [{"boxes": target["boxes"], "labels": target["labels"] + 1} for target in targets]
        return self.rules.compute_loss(shifted, _floats(outputs), anchors, matched)

    def matched(self, anchors: Sequence[Tensor], targets: Sequence[Target]) -> list[Tensor]:
        """The box of every anchor of every image, -1 where it has none."""
        return [
            self.rules.proposal_matcher(box_iou(target["boxes"], boxes))
            if len(target["boxes"])
            else torch.full((len(boxes),), -1, device=boxes.device)
            for target, boxes in zip(targets, anchors, strict=True)
        ]

    def weight(self, outputs: dict[str, Tensor], hw: Sequence[int], targets: Sequence[Target]) -> Tensor | None:
        matched = self.matched(self.anchors(outputs, hw), targets)
        return torch.stack([(boxes >= 0).sum() for boxes in matched]).sum().double()

    def detect(
        self, outputs: dict[str, Tensor], hw: Sequence[int], sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        found = self.rules.postprocess_detections(_floats(outputs), self.anchors(outputs, hw), sizes)
        return [{**image, "labels": image["labels"] - 1} for image in found]


RULES: dict[str, type[RetinaNetDetector] | type[SSDDetector]] = {"retinanet": RetinaNetDetector, "ssd": SSDDetector}
"""By what the kind of a head says of itself."""


def detector_for(kind: HeadKind, classes: int, how: Detection) -> Detector:
    """The rules that belong to a head for boxes; a UserError where settings and head do not go together."""
    assert isinstance(kind, DetectorKind)
    return RULES[kind.rules](kind.anchors, classes, with_defaults(kind, how))
