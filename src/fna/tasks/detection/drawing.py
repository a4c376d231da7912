"""Boxes with their classes and scores over an image."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fna.data.samples import IGNORE, Colour
from fna.tasks.drawing import class_colours, font_size, text_font

LINES_PER_SIDE = 200
"""A line is as wide as the longer side of the image divided by this, and at least 2 pixels."""
EQUAL_CONTRAST = 0.179
"""Relative luminance of the grey that black and white letters are equally easy to read on (WCAG 2.2, contrast)."""

Rectangle = tuple[int, int, int, int]


def box_colours(count: int) -> list[Colour]:
    """A colour for each of `count` classes; they come again where there are more classes than distinct colours."""
    distinct = class_colours(min(count, IGNORE))
    return [distinct[label % len(distinct)] for label in range(count)]


def draw_boxes(
    image: Tensor,
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor | None,
    names: Sequence[str],
    colours: Sequence[Colour],
    letters: int | None = None,
) -> Image.Image:
    """The image, uint8 (3, H, W), with boxes (n, 4), x1, y1, x2, y2 in its pixels, in the colours of their classes.

    Each has a plate with the name of its class, from labels (n,), and its score, from scores (n,) in 0 to 1 if there
    are any. Plates are inside the picture, where there is room beside each other, and over all boxes. What has a higher
    score is drawn later; without scores, what is smaller. `letters` is the size of text in pixels; without it, in
    proportion to the picture.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    line = max(2, round(max(picture.size) / LINES_PER_SIDE))
    classes = labels.tolist()
    importance = -(boxes[:, 2:] - boxes[:, :2]).prod(1) if scores is None else scores
    falling = importance.argsort(descending=True, stable=True).tolist()
    corners = [_pixels(box, picture.size) for box in boxes.tolist()]
    texts = [
        names[label] if scores is None else f"{names[label]} {float(scores[place]):.2f}"
        for place, label in enumerate(classes)
    ]
    largest = font_size(picture.height, picture.width) if letters is None else letters
    plates: dict[int, _Plate] = {}
    for place in falling:  # the most important one has the first choice
        plates[place] = _Plate(texts[place], corners[place], line, picture.size, largest, list(plates.values()))
    draw = ImageDraw.Draw(picture)
    for place in reversed(falling):
        x1, y1, x2, y2 = corners[place]
        # A dark rim, so that a line is seen on an image of its own colour.
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="black", width=line + 2)
        draw.rectangle(corners[place], outline=colours[classes[place]], width=line)
    for place in reversed(falling):
        plates[place].draw(draw, colours[classes[place]])
    return picture


class _Plate:
    """Text on a rectangle at a corner of a box, inside of a picture of `size` (width, height)."""

    def __init__(
        self, text: str, box: Rectangle, line: int, size: tuple[int, int], letters: int, others: Sequence["_Plate"]
    ) -> None:
        self.text = text
        self.font, self.margin, width, height = _fitting(text, size, letters)
        x1, y1, x2, y2 = box
        places = [
            (x1, y1 - height),  # above the box
            (x1, y1 + line),  # in it, at the top
            (x2 + 1 - width, y1 - height),
            (x2 + 1 - width, y1 + line),
            (x1, y2 + 1),  # below it
            (x1, y2 + 1 - line - height),
        ]
        inside = [
            (max(0, min(left, size[0] - width)), top) for left, top in places if top >= 0 and top + height <= size[1]
        ] or [(max(0, min(x1, size[0] - width)), 0)]
        free = [place for place in inside if not any(_overlap((*place, width, height), other.area) for other in others)]
        left, top = (free or inside)[0]
        self.area: Rectangle = (left, top, width, height)

    def draw(self, draw: ImageDraw.ImageDraw, colour: Colour) -> None:
        left, top, width, height = self.area
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        letters = "black" if _luminance(colour) > EQUAL_CONTRAST else "white"
        draw.text((left + self.margin, top + height / 2), self.text, fill=letters, font=self.font, anchor="lm")


def _fitting(text: str, size: tuple[int, int], pixels: int) -> tuple[ImageFont.FreeTypeFont, int, int, int]:
    """Font, margin, and width and height of a plate, smaller than `pixels` if the picture is too small for the text."""
    while True:
        font, margin = text_font(pixels), max(1, pixels // 4)
        width, height = round(font.getlength(text)) + 2 * margin, pixels + 2 * margin
        if pixels == 1 or (width <= size[0] and height <= size[1]):
            return font, margin, width, height
        pixels -= 1


def _pixels(box: Sequence[float], size: tuple[int, int]) -> Rectangle:
    """First and last pixels, inside of the picture: left, top, right, bottom."""
    x1, y1 = (min(max(0, round(start)), side - 1) for start, side in zip(box[:2], size, strict=True))
    x2, y2 = (min(round(end), side) - 1 for end, side in zip(box[2:], size, strict=True))
    return x1, y1, max(x1, x2), max(y1, y2)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    """Of two rectangles left, top, width, height."""
    return all(one[a] < other[a] + other[a + 2] and other[a] < one[a] + one[a + 2] for a in (0, 1))


def _luminance(colour: Colour) -> float:
    """Relative luminance of an sRGB colour (0..255)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
