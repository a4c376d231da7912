"""The boxes that a trained network finds, and pictures of them."""

import torch
from torch import Tensor

from fna.config.config import Config
from fna.data.reading.box_dataset import BoxEntry, Resize, collate
from fna.files import write_json
from fna.tasks.detection.detectors import Detector
from fna.tasks.detection.drawing import box_colours, draw_boxes
from fna.tasks.detection.evaluator import detect
from fna.tasks.detection.task import detector_of, divisor
from fna.tasks.drawing import save_picture
from fna.tasks.task import Prediction, Writer
from fna.weights.trained import TrainedNetwork, prepare

DRAWN_SCORE = 0.3
"""Boxes below it are in the JSON but not in the picture: a detector gives a hundred guesses for every image."""


def boxes_writer(network: TrainedNetwork, config: Config) -> Writer:
    """Writes the boxes of an image, uint8 (3, H, W), as JSON, and the image with the surer ones drawn."""
    names = network.info.classes
    colours = box_colours(len(names))
    detector, resize = detector_of(network.info)

    def write(image: Tensor, prediction: Prediction) -> None:
        found = predict_boxes(network, image, detector, resize)
        listed = [
            {"class": names[label], "score": round(score, 5), "box": [round(side, 2) for side in box]}
            for box, label, score in zip(*(found[k].tolist() for k in ("boxes", "labels", "scores")), strict=True)
        ]
        height, width = image.shape[1:]
        about = {"image": str(prediction.image), "height": height, "width": width, "boxes": listed}
        write_json(prediction.result, about)
        sure = found["scores"] >= DRAWN_SCORE
        boxes, labels, scores = (found[k][sure] for k in ("boxes", "labels", "scores"))
        drawn = draw_boxes(image, boxes, labels, scores, names, colours)
        assert prediction.overlay is not None
        save_picture(drawn, prediction.overlay)

    return write


@torch.inference_mode()
def predict_boxes(network: TrainedNetwork, image: Tensor, detector: Detector, resize: Resize) -> dict[str, Tensor]:
    """boxes (n, 4), scores (n,), labels (n,) of an image, uint8 (3, H, W), in its pixels, best first; on the CPU."""
    size = resize.target(image.shape[1], image.shape[2])
    entry: BoxEntry = {
        "image": prepare(image, network.info, size),
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "size": torch.tensor(size),
        "index": 0,
        "original": torch.tensor(image.shape[1:]),
    }
    device = next(network.parameters()).device
    batch = {key: value.to(device) for key, value in collate([entry], divisor(resize)).items()}
    batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
    (found,) = detect(detector, network, batch)
    return {key: value.cpu() for key, value in found.items()}
