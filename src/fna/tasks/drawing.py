"""What pictures of all tasks share: distinct colours for classes, a legend of those that occur, text, saving."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fna.data.samples import IGNORE, Colour
from fna.files import whole

LEVELS = 12
"""Values of red, green and blue from which colours are picked: 1728 candidates for at most 255 classes."""
LIGHTNESS = (40.0, 90.0)
"""CIELAB lightness of the candidates: neither shadow nor glare, so that the image stays visible under the mask."""
SMALLEST_CHROMA = 35.0
"""CIELAB chroma of the candidates: greys would be taken for the photo itself."""
SMALLEST_FONT = 12


def class_colours(count: int) -> tuple[Colour, ...]:
    """RGB colours (0..255) for classes 0 to `count` - 1; a class has the same colour whatever the count (at most 255).

    Each colour is the candidate farthest in CIELAB from all colours before it.
    """
    return _all_colours()[:count]


@cache
def _all_colours() -> tuple[Colour, ...]:
    levels = np.linspace(0, 255, LEVELS).round().astype(np.uint8)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    lab = _cielab(rgb)
    chroma = np.linalg.norm(lab[:, 1:], axis=1)
    usable = (lab[:, 0] >= LIGHTNESS[0]) & (lab[:, 0] <= LIGHTNESS[1]) & (chroma >= SMALLEST_CHROMA)
    rgb, lab, distance = rgb[usable], lab[usable], chroma[usable]  # the first colour is the one farthest from grey
    chosen: list[Colour] = []
    for _ in range(IGNORE):
        best = int(distance.argmax())
        red, green, blue = rgb[best].tolist()
        away = np.linalg.norm(lab - lab[best], axis=1)
        distance = np.minimum(distance, away) if chosen else away
        chosen.append((red, green, blue))
    return tuple(chosen)


def _cielab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (N, 3), 0..255 -> CIELAB with white point D65 (IEC 61966-2-1; CIE 15, section 8.2.1)."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    ratio = linear @ to_xyz.T / to_xyz.sum(1)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def legend(names: Sequence[str], colours: Sequence[Colour], height: int, width: int) -> Image.Image:
    """Squares with names in rows, for a picture of this size: at least `width` wide, text in proportion to it."""
    size = font_size(height, width)
    font = text_font(size)
    gap, line = size // 2, size * 3 // 2
    widths = [gap + size + gap + round(font.getlength(name)) + gap for name in names]
    places, x, y = [], 0, gap
    total = max([width, *widths])
    for entry in widths:
        if x and x + entry > total:
            x, y = 0, y + line
        places.append((x, y))
        x += entry
    picture = Image.new("RGB", (total, y + line), "white")
    draw = ImageDraw.Draw(picture)
    for name, colour, (left, top) in zip(names, colours, places, strict=True):
        draw.rectangle((left + gap, top, left + gap + size - 1, top + size - 1), fill=colour, outline="black")
        draw.text((left + gap + size + gap, top + size // 2), name, fill="black", font=font, anchor="lm")
    return picture


def font_size(height: int, width: int) -> int:
    """Pixels, in proportion to a picture of this size."""
    return max(SMALLEST_FONT, max(height, width) // 50)


def text_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all text in pictures."""
    # Comes with matplotlib and has the letters of most alphabets; Pillow's own font has only the English ones.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with whole(path) as temporary:
        picture.save(temporary, format="PNG")
