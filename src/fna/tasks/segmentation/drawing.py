"""Masks as colours: palette pictures, and overlays with a legend of the classes that occur."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from fna.data.samples import IGNORE, Colour
from fna.tasks.drawing import legend

OPACITY = 0.55


def mask_picture(mask: Tensor, colours: Sequence[Colour]) -> Image.Image:
    """The mask (H, W), class indices, as an 8-bit palette picture: index 255 and those without a colour are black."""
    picture = Image.fromarray(mask.cpu().numpy().astype(np.uint8))
    unused = [(0, 0, 0)] * (256 - len(colours))  # a whole palette, or Pillow packs the indices into fewer bits
    picture.putpalette([value for colour in (*colours, *unused) for value in colour])
    return picture


def overlay(image: Tensor, mask: Tensor, names: Sequence[str], colours: Sequence[Colour]) -> Image.Image:
    """The image, uint8 (3, H, W), with the mask (H, W) in colour over it, and below it the classes that occur.

    Pixels of class 255 stay as they are. The legend lengthens the picture, and widens it if a name is too long.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    classes = mask.cpu().numpy()
    table = np.zeros((256, 3))
    table[: len(colours)] = colours
    opacity = np.where(classes == IGNORE, 0.0, OPACITY)[:, :, None]
    blended = (pixels * (1 - opacity) + table[classes] * opacity).round().astype(np.uint8)
    occurring = [index for index in np.unique(classes).tolist() if index != IGNORE]
    height, width = classes.shape
    below = legend([names[index] for index in occurring], [colours[index] for index in occurring], height, width)
    picture = Image.new("RGB", (below.width, height + below.height), "white")
    picture.paste(Image.fromarray(blended), (0, 0))
    picture.paste(below, (0, height))
    return picture
