"""The masks that a trained network predicts, and pictures of them."""

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.config.config import Config
from fna.config.sections import Evaluate
from fna.tasks.drawing import class_colours, save_picture
from fna.tasks.segmentation.drawing import mask_picture, overlay
from fna.tasks.segmentation.evaluator import predict_classes
from fna.tasks.task import Prediction, Writer
from fna.weights.trained import TrainedNetwork, prepare


def mask_writer(network: TrainedNetwork, config: Config) -> Writer:
    """Writes the mask of an image, uint8 (3, H, W), and the image under it with a legend."""
    names = network.info.classes
    colours = class_colours(len(names))

    def write(image: Tensor, prediction: Prediction) -> None:
        mask = predict_mask(network, image, config.evaluate)
        save_picture(mask_picture(mask, colours), prediction.result)
        assert prediction.overlay is not None
        save_picture(overlay(image, mask, names, colours), prediction.overlay)

    return write


@torch.inference_mode()
def predict_mask(network: TrainedNetwork, image: Tensor, how: Evaluate) -> Tensor:
    """Class indices (H, W) of an image, uint8 (3, H, W); predicted at its own size or, resized, the design's."""
    device, design = next(network.parameters()).device, network.info.design
    batch = prepare(image, network.info, design.imgsz if design.resize else None)[None].to(
        device, memory_format=torch.channels_last
    )
    mask = predict_classes(network, batch, how).to(torch.uint8)
    return transforms.resize(mask, list(image.shape[1:]), InterpolationMode.NEAREST_EXACT)[0].cpu()
