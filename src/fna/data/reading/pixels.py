"""Image and mask files to numpy arrays, by Pillow; everything that is refused says why. No torch here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from fna.data.samples import IGNORE
from fna.errors import UserError

FULL_RANGE = 65535
DARKEST_16_BIT = 4096  # a 16-bit image that stays below uses at most 12 bits: scaled by 1/257 it would be nearly black
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
UNSCALE = {"L;2": 85, "L;4": 17}  # Pillow spreads 2- and 4-bit grey over 0..255; in a mask that changes the class
ORIENTATION_TAG = 0x0112
UPRIGHT = 1
FIRST_TURNED = 5  # the orientations 5 to 8 swap height and width
LOSSY = ("JPEG", "MPO", "WEBP")  # by content: the suffix may say something else
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, OverflowError, Image.DecompressionBombError)
EIGHT_BIT_MODES = ("1", "L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "P", "PA")
REDUCTIONS = (8, 4, 2)  # what a JPEG decoder can divide both sides by, using low frequencies alone
KEPT = 2  # times the wanted size that a reduced image has at least: the rest is left to a filter without aliasing

Wanted = Callable[[int, int], tuple[int, int]]
"""From (height, width) of an upright image to the size that it will be resized to."""


@dataclass(frozen=True)
class Decoded:
    """`pixels`: uint8 (H, W, 3). `size`: height and width of the upright image in the file, more where reduced."""

    pixels: np.ndarray
    size: tuple[int, int]


def image_array(path: Path) -> np.ndarray:
    """The image as RGB.

    Returns uint8 (H, W, 3), EXIF orientation applied. Grey, palette and CMYK are converted, alpha is dropped (as
    torchvision and OpenCV do), 16-bit grey is scaled by 1/257; of 16-bit colour Pillow keeps the high bytes.
    Raises UserError for unreadable or truncated files, 32-bit and floating-point pixels, several frames, and 16-bit
    pixels that use only a small part of the range.
    """
    return decoded_image(path).pixels


def decoded_image(path: Path, wanted: Wanted | None = None) -> Decoded:
    """As `image_array`, but a JPEG at least four times as large as `wanted` says comes reduced, to twice that or more.

    That takes a fraction of the time, and hardly shows once it is resized. Both sides are divided by 2, 4 or 8, and
    only where that leaves no rest, so that nothing moves.
    """
    with _opened(path) as picture:
        size = _upright_size(picture)
        _require_eight_bits(picture, path)
        if wanted is not None and picture.format == "JPEG":
            _reduce(picture, wanted(*size), picture.size != size[::-1])
        if picture.mode in SIXTEEN_BIT_MODES:
            ImageOps.exif_transpose(picture, in_place=True)
            grey = _eight_bits(np.asarray(picture), path)
            return Decoded(np.repeat(grey[:, :, None], 3, axis=2), size)
        if picture.mode in ("P", "PA"):
            picture = picture.convert("RGBA")  # straight to RGB warns when the palette has transparent entries
        ImageOps.exif_transpose(picture, in_place=True)
        return Decoded(np.array(picture if picture.mode == "RGB" else picture.convert("RGB")), size)


def examined_image(path: Path) -> tuple[tuple[int, int], bool]:
    """Height and width of the upright image, and whether EXIF turns it; raises what `image_array` does.

    Every byte is read, but of a JPEG only an eighth of the pixels is made.
    """
    with _opened(path) as picture:
        turned = _orientation(picture) != UPRIGHT
        size = _upright_size(picture)
        _require_eight_bits(picture, path)
        if picture.format == "JPEG":
            picture.draft("L", (max(1, picture.width // 8), max(1, picture.height // 8)))
        picture.load()
        if picture.mode in SIXTEEN_BIT_MODES:
            _eight_bits(np.asarray(picture), path)
        return size, turned


def mask_array(path: Path) -> np.ndarray:
    """The values of a mask as they are in the file.

    Returns uint8 or int32 (H, W), EXIF orientation applied: grey values, or palette indices whatever the colours.
    Raises UserError for unreadable or truncated files and for colour masks.
    """
    with _opened(path) as picture:
        if picture.format in LOSSY:
            raise UserError(
                f"{path}: a mask in {picture.format} format; it is lossy and changes class numbers. Use PNG."
            )
        scale = UNSCALE.get(_raw_mode(picture), 1)
        if picture.mode not in ("1", "L", "P", *SIXTEEN_BIT_MODES):
            raise UserError(_colour_mask(path, picture))
        ImageOps.exif_transpose(picture, in_place=True)
        values = np.array(picture)
    if picture.mode in SIXTEEN_BIT_MODES:
        return values.astype(np.int32)
    values = values.astype(np.uint8, copy=False)
    return values // np.uint8(scale) if scale > 1 else values


def class_array(path: Path, mapping: dict[int, int] | None = None) -> np.ndarray:
    """The mask as class indices.

    Returns uint8 (H, W): the value in the file, or what `mapping` says of it; 255 is ignored.
    Raises UserError for what `mask_array` refuses and for values that `mapping` does not have or that exceed 255.
    """
    values = mask_array(path)
    if mapping is None:
        if values.dtype != np.uint8 and (values.min() < 0 or values.max() > IGNORE):
            raise UserError(
                f"{path}: mask values go from {values.min()} to {values.max()}, class indices from "
                f"0 to 254. Give a label_mapping in data.yaml."
            )
        return values.astype(np.uint8, copy=False)
    table, known = _lookup(mapping, int(values.max()))
    if values.min() < 0 or not known[values].all():
        strange = sorted(set(np.unique(values).tolist()) - mapping.keys())
        raise UserError(
            f"{path}: mask values {_some(strange)} are not in the label mapping. Add them, with 255 "
            f"for what is ignored."
        )
    return table[values]


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of the image as it is shown, EXIF orientation applied; its pixels are not decoded."""
    with _opened(path) as picture:
        return _upright_size(picture)


def palette_colours(path: Path, count: int) -> tuple[tuple[int, int, int], ...] | None:
    """The first `count` colours (0..255) of a palette file; None where there are fewer or no palette."""
    with _opened(path) as picture:
        flat = (picture.getpalette() or []) if picture.mode == "P" else []
    if len(flat) < 3 * count:
        return None
    return tuple((flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]) for i in range(count))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as picture:
            # Phones write MPO: a JPEG with a second picture behind it; the first one is the photo.
            if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
                raise UserError(f"{path}: has {picture.n_frames} frames or pages. Save the one that is meant.")  # type: ignore[attr-defined]
            yield picture
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file.") from error
    except UNREADABLE as error:
        raise UserError(f"{path}: cannot be read as an image ({error}). Replace or remove the file.") from error


def _orientation(picture: Image.Image) -> int:
    """By EXIF, 1 (upright) to 8; 1 where the file says nothing."""
    return int(picture.getexif().get(ORIENTATION_TAG, UPRIGHT))


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    turned = _orientation(picture) >= FIRST_TURNED
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def _require_eight_bits(picture: Image.Image, path: Path) -> None:
    if picture.mode not in EIGHT_BIT_MODES + SIXTEEN_BIT_MODES:
        raise UserError(
            f"{path}: pixels of type {picture.mode!r} are not an 8-bit image. Save it as 8-bit "
            f"RGB or grey, scaled the way you want."
        )


def _reduce(picture: Image.Image, wanted: tuple[int, int], turned: bool) -> None:
    """Let the JPEG decoder divide both sides, `wanted` being the size of the upright image."""
    height, width = wanted[::-1] if turned else wanted
    for divisor in REDUCTIONS:
        reduced = picture.width // divisor, picture.height // divisor
        whole = picture.size == (reduced[0] * divisor, reduced[1] * divisor)
        if whole and reduced[0] >= KEPT * width and reduced[1] >= KEPT * height:
            picture.draft(None, reduced)
            return


def _raw_mode(picture: Image.Image) -> str:
    """How the pixels are packed in the file; Pillow knows it until it has read them."""
    tiles = picture.tile if isinstance(picture, ImageFile.ImageFile) else []
    arguments = tiles[0][3] if tiles else ""
    return arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""


def _eight_bits(values: np.ndarray, path: Path) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > FULL_RANGE:
        raise UserError(
            f"{path}: 32-bit pixels from {low} to {high}. Save the image with 8 or 16 bits, scaled the way you want."
        )
    if 0 < high < DARKEST_16_BIT:
        raise UserError(
            f"{path}: 16-bit pixels that reach only {high} of {FULL_RANGE}, so it would be nearly black with 8 bits. "
            f"Scale the values to the full range or save the image with 8 bits."
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _lookup(mapping: dict[int, int], largest: int) -> tuple[np.ndarray, np.ndarray]:
    table = np.full(largest + 1, IGNORE, np.uint8)
    known = np.zeros(largest + 1, bool)
    for value, index in mapping.items():
        if 0 <= value <= largest:
            table[value], known[value] = index, True
    return table, known


def _colour_mask(path: Path, picture: Image.Image) -> str:
    if picture.mode == "RGB":
        red, green, blue = (np.asarray(channel) for channel in picture.split())
        if (red == green).all() and (red == blue).all():
            remedy = "Save one of them: Image.open(file).getchannel(0).save(file)."
            return f"{path}: an RGB mask with three equal channels. {remedy}"
    return (
        f"{path}: a mask of type {picture.mode!r} holds colours, not class numbers. Save it as "
        f"8-bit grey or palette PNG "
        f"with the class index of each pixel (0, 1, 2, ...; 255 where it is not to count)."
    )


def _some(values: list[int], most: int = 10) -> str:
    return ", ".join(map(str, values[:most])) + (f", ... ({len(values)} values)" if len(values) > most else "")
