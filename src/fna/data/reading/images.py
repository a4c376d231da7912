"""Image and mask files to tensors."""

from pathlib import Path

import torch
from torch import Tensor

from fna.data.reading.pixels import Wanted, class_array, decoded_image


def read_image(path: str | Path) -> Tensor:
    """The image as RGB, uint8 (3, H, W), 0..255, the three bytes of a pixel side by side (channels-last).

    EXIF orientation is applied; grey, palette and CMYK are converted; alpha is dropped; 16-bit grey is scaled by 1/257.
    Raises UserError naming the file where it is unreadable, truncated or of a kind that has no plain 8-bit meaning.
    """
    return read_reduced(path)[0]


def read_reduced(path: str | Path, wanted: Wanted | None = None) -> tuple[Tensor, tuple[int, int]]:
    """As `read_image`, and the height and width in the file; the image may come reduced by 2, 4 or 8.

    Only a JPEG does, to at least twice the (height, width) that `wanted` gives for those of the file.
    """
    decoded = decoded_image(Path(path), wanted)
    return torch.from_numpy(decoded.pixels).permute(2, 0, 1), decoded.size


def read_mask(path: str | Path, mapping: dict[int, int] | None = None) -> Tensor:
    """The mask, uint8 (H, W): class indices, 255 where it does not count.

    Palette files give their indices. `mapping` is from values in the file to class indices or 255; None keeps them.
    EXIF orientation is applied. Raises UserError naming the file for colour masks, values that the mapping does not
    have, values above 255 without a mapping, and unreadable files.
    """
    return torch.from_numpy(class_array(Path(path), mapping))
