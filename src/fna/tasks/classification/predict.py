"""The classes that a trained network gives an image."""

from typing import Any

import torch
from torch import Tensor

from fna.config.config import Config
from fna.data.reading.class_dataset import centre_view
from fna.tasks.classification.evaluator import TOP
from fna.tasks.task import Prediction, Writer
from fna.weights.trained import TrainedNetwork, prepare


def class_writer(network: TrainedNetwork, config: Config) -> Writer:
    """Gives the name of an image file and its likeliest classes, for the one file of all images."""

    def write(image: Tensor, prediction: Prediction) -> dict[str, Any]:
        return {"image": str(prediction.image), "classes": predict_best(network, image)}

    return write


@torch.inference_mode()
def predict_best(network: TrainedNetwork, image: Tensor) -> list[dict[str, Any]]:
    """The likeliest classes of an image, uint8 (3, H, W), with their probabilities, at most 5, best first."""
    device, info = next(network.parameters()).device, network.info
    batch = prepare(centre_view(image, info.design.imgsz), info)[None].to(device)
    best = network(batch)[0].softmax(0).topk(min(TOP, len(info.classes)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [{"class": info.classes[c], "probability": round(p, 5)} for c, p in pairs]
