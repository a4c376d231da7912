"""Pictures in rows and columns with titles, captions, a legend and a footnote, as one picture for a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fna.arch.arch import HW
from fna.data.samples import Colour
from fna.tasks.drawing import legend, text_font

CELL = (450, 600)
"""Height and width in pixels that a picture gets at most."""
GAP, TITLE, CAPTION, SMALL = 12, 36, 30, 26
"""Pixels: between pictures; sizes of text. At 7 inches for four columns, titles have 7 points."""
LEGEND_WIDTH = 1500
"""Pixels: a legend of this width has text of the size of captions."""
GREY = "#555555"


@dataclass(frozen=True)
class Panel:
    """A picture and what is written under it."""

    picture: Image.Image
    caption: str = ""


def fitted(height: int, width: int) -> HW:
    """The largest size of an image of this shape that fits into a cell."""
    scale = min(CELL[0] / height, CELL[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def sheet(
    titles: Sequence[str],
    rows: Sequence[Sequence[Panel]],
    names: Sequence[str],
    colours: Sequence[Colour],
    footnote: str,
) -> Image.Image:
    """One column a title, one row a sequence of panels; pictures of a column stand in its middle."""
    cell = max(CELL[1] // 2, *(panel.picture.width for row in rows for panel in row))
    width = len(titles) * (cell + GAP) + GAP
    heights = [max(panel.picture.height for panel in row) + CAPTION * 3 // 2 + GAP for row in rows]
    below = legend(names, colours, 0, min(LEGEND_WIDTH, width - 2 * GAP))
    lines = _wrapped(footnote, text_font(SMALL), width - 2 * GAP)
    top = TITLE * 3 // 2 + GAP
    height = top + sum(heights) + below.height + GAP + len(lines) * SMALL * 3 // 2
    made = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(made)
    middles = [GAP + cell // 2 + column * (cell + GAP) for column in range(len(titles))]
    for middle, title in zip(middles, titles, strict=True):
        _write(draw, middle, GAP + TITLE // 2, title, TITLE, cell)
    for row, row_height in zip(rows, heights, strict=True):
        for middle, panel in zip(middles, row, strict=True):
            made.paste(panel.picture, (middle - panel.picture.width // 2, top))
            _write(draw, middle, top + row_height - GAP - CAPTION * 3 // 4, panel.caption, CAPTION, cell)
        top += row_height
    made.paste(below, (GAP, top))
    top += below.height + GAP
    for number, line in enumerate(lines):
        draw.text((2 * GAP, top + number * SMALL * 3 // 2), line, fill=GREY, font=text_font(SMALL))
    return made


def _write(draw: ImageDraw.ImageDraw, middle: int, y: int, text: str, size: int, width: int) -> None:
    """Text around a point, smaller where it would be wider than `width`."""
    needs = text_font(size).getlength(text)
    font = text_font(size if needs <= width else max(1, int(size * width / needs)))
    draw.text((middle, y), text, fill="black", font=font, anchor="mm")


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
