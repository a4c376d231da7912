"""How predicted masks are scored image by image and drawn for a comparison."""

from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from fna.arch.arch import HW
from fna.config.config import Config
from fna.config.sections import Evaluate
from fna.data.reading.images import read_mask
from fna.data.samples import IGNORE, Colour, Sample
from fna.tasks.drawing import class_colours
from fna.tasks.score import Score
from fna.tasks.segmentation.drawing import mask_picture
from fna.tasks.segmentation.evaluator import SegmentationEvaluator
from fna.tasks.segmentation.predict import predict_mask
from fna.weights.trained import TrainedNetwork

UNCOUNTED = "not counted"


class Masks:
    """Segmentation: class indices (H, W); mIoU over the classes that the truth of the image has."""

    metric = Score("mIoU")

    def __init__(self, data: Any) -> None:
        self.data = data
        self.colours = class_colours(len(data.classes))

    def truth(self, sample: Sample) -> Tensor:
        return read_mask(sample.mask, self.data.label_mapping)

    def predict(self, network: TrainedNetwork, config: Config, image: Tensor) -> Tensor:
        return predict_mask(network, image, config.evaluate)

    def score(self, truth: Tensor, found: Tensor) -> float | None:
        """Classes that are only predicted do not enter by themselves: a few pixels would count like the whole road."""
        evaluator = SegmentationEvaluator(self.data.classes, Evaluate())
        evaluator.matrix.update(found[None].long(), truth[None].long())
        iou = evaluator.result()["per_class"]
        values = [iou[self.data.classes[c]] for c in truth.unique().tolist() if c != IGNORE]
        return sum(values) / len(values) if values else None

    def picture(self, image: Tensor, result: Tensor, size: HW) -> Image.Image:
        drawn = mask_picture(result, self.colours).convert("RGB")
        return drawn.resize((size[1], size[0]), Image.Resampling.NEAREST)

    def legend(self, results: Sequence[Tensor]) -> tuple[list[str], list[Colour]]:
        occurring = sorted({c for mask in results for c in mask.unique().tolist()})
        names, colours = [*self.data.classes], [*self.colours]
        rest = ([UNCOUNTED], [(0, 0, 0)]) if IGNORE in occurring else ([], [])
        counted = [c for c in occurring if c != IGNORE]
        return [names[c] for c in counted] + rest[0], [colours[c] for c in counted] + rest[1]
