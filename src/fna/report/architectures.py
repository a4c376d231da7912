"""The drawing of architectures beside each other: one column an architecture, one box a layer, stages aligned."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from fna.arch.arch import Arch, Place, placed
from fna.arch.layers import LayerOp
from fna.report.figures import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KERNEL_COLOURS = {1: "#d9d9d9", 3: "#a6cee3", 5: "#fdbf6f", 7: "#fb9a99"}
OTHER_KERNEL = "#cab2d6"
BAND, FAINT, GREY = "#f2f2f2", "#777777", "#444444"
"""Behind every other stage; of absent layers and of the line that joins the boxes; of side remarks."""
ROW, BOX, GAP, LINE = 0.215, 0.165, 0.09, 0.135
"""Inches: from layer to layer, height of a box, between stages, from text line to text line."""
SIDE, LABEL, MARK = 0.12, 0.55, 0.3
"""Inches: free at each side, and beside the boxes for the name of a stage and for its stride."""
LETTER, BOLD_LETTER = 0.052, 0.078
"""Inches that a letter takes at most, on average, of small text and of the name of a column."""
SMALL, BOLD = 6.5, 8.0
"""Points."""


@dataclass(frozen=True)
class Column:
    """An architecture to draw.

    `lines` and `source`, where it comes from, are written under its name; `depths` says how many layers the stages of
    its space have, where it comes from a search.
    """

    name: str
    arch: Arch
    output_stride: int = 32
    lines: tuple[str, ...] = ()
    depths: Mapping[int, int] = field(default_factory=dict)
    source: str = ""

    @property
    def texts(self) -> list[str]:
        """Everything under the name."""
        return [*([self.source] if self.source else []), *self.lines]

    @property
    def stages(self) -> list[list[tuple[Place, LayerOp]]]:
        """The layers of each stage with their places."""
        layers = placed(self.arch, output_stride=self.output_stride)
        return [[layer for layer in layers if layer[0].stage == s] for s in range(len(self.arch.stages))]

    @property
    def labels(self) -> list[str]:
        """What is written beside the stem and beside each stage."""
        return [
            f"{channels} channels" for channels in (self.arch.stem, *(stage.channels for stage in self.arch.stages))
        ]

    @property
    def width(self) -> float:
        """Inches that the widest of its boxes and texts takes."""
        boxes = max(box_width(layer.expansion) for stage in self.arch.stages for layer in stage.layers)
        text = max([LETTER * len(line) for line in self.texts], default=0.0)
        return max(boxes, text, BOLD_LETTER * len(self.name)) + 2 * SIDE


def box_width(expansion: float) -> float:
    """Inches: wider for larger expansions, wide enough for its text at expansion 1."""
    return 0.44 + 0.11 * expansion


def draw_architectures(columns: Sequence[Column], footnote: str = "") -> "Figure":
    """One column an architecture, one row a layer; boxes are coloured by kernel and wide by expansion.

    Stages start in the same row in all columns: where one is shallower than another one, or than its space, dashed
    boxes are in place of the layers it does not have.
    """
    rows = _depths(columns)
    tops = list(accumulate((ROW * depth + GAP for depth in rows), initial=_header(columns)))
    margins = [_margin(columns, c) for c in range(len(columns))]
    widths = [margin + column.width for margin, column in zip(margins, columns, strict=True)]
    width = sum(widths) + SIDE
    legend = _Flow(_legend(columns), width, tops[-1] + GAP)
    notes = textwrap.wrap(footnote, max(20, int((width - 2 * SIDE) / LETTER)))
    height = legend.bottom + LINE * len(notes) + SIDE
    made = figure(width, height, layout=None)
    axis = made.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axis.set_axis_off()
    for top, depth in list(zip(tops, rows, strict=False))[1::2]:
        _rectangle(axis, (0, top - GAP / 2), (width, ROW * depth + GAP), facecolor=BAND, edgecolor="none", zorder=0)
    for c, column in enumerate(columns):
        left = sum(widths[:c]) + margins[c]
        _draw_column(axis, c, column, left + column.width / 2, rows, tops)
        _draw_labels(axis, columns, c, left, tops)
    legend.draw(axis)
    for n, line in enumerate(notes):
        axis.text(SIDE, legend.bottom + LINE * (n + 0.5), line, va="center", fontsize=SMALL, color=GREY)
    return made


def _depths(columns: Sequence[Column]) -> list[int]:
    """Rows of the stem and of each stage: those of the deepest architecture or space."""
    stages = max(len(column.arch.stages) for column in columns)
    layers = [_padded(column, stages) for column in columns]
    found = [max(len(column[s]) for column in layers) for s in range(stages)]
    spaces = [max(column.depths.get(s, 0) for column in columns) for s in range(stages)]
    return [1, *map(max, found, spaces)]


def _padded(column: Column, stages: int) -> list[list[tuple[Place, LayerOp]]]:
    """The layers of so many stages, none in those that the architecture does not have."""
    return column.stages + [[]] * (stages - len(column.stages))


def _header(columns: Sequence[Column]) -> float:
    """Inches above the stem."""
    return SIDE + 0.2 + LINE * max(len(column.texts) for column in columns) + 1.5 * GAP


def _shown_labels(columns: Sequence[Column], c: int) -> list[str]:
    """The labels of a column; empty where the column before it has the same."""
    labels = columns[c].labels
    before = columns[c - 1].labels if c else []
    return [label if before[s : s + 1] != [label] else "" for s, label in enumerate(labels)]


def _margin(columns: Sequence[Column], c: int) -> float:
    """Inches at the left of a column for the labels of its stages."""
    text = LETTER * max(map(len, _shown_labels(columns, c)))
    return (SIDE + text if text else 0.0) + (LABEL if c == 0 else 0.0) + MARK


def _draw_labels(axis: "Axes", columns: Sequence[Column], c: int, left: float, tops: Sequence[float]) -> None:
    """Names of stages at the far left, their channels where they are not those of the column before."""
    for s, label in enumerate(_shown_labels(columns, c)):
        axis.text(left - MARK, tops[s] + ROW / 2, label, ha="right", va="center", fontsize=SMALL)
    if c == 0:
        for s in range(len(tops) - 1):
            name = f"stage {s - 1}" if s else "stem"
            axis.text(SIDE, tops[s] + ROW / 2, name, va="center", fontsize=SMALL, color=GREY)


def _draw_column(
    axis: "Axes", c: int, column: Column, middle: float, rows: Sequence[int], tops: Sequence[float]
) -> None:
    """The boxes of one architecture around x = `middle`, and its name and texts above them."""
    axis.text(middle, SIDE + 0.08, column.name, ha="center", va="center", fontsize=BOLD, fontweight="bold")
    for n, line in enumerate(column.texts):
        axis.text(middle, SIDE + 0.22 + LINE * (n + 0.5), line, ha="center", va="center", fontsize=SMALL)
    axis.plot([middle, middle], [tops[0] - GAP, tops[-1]], color=FAINT, linewidth=0.8, zorder=1)
    _draw_box(axis, f"stem-{c}", middle, tops[0], box_width(6), KERNEL_COLOURS[3], "conv 3x3")
    _draw_marks(axis, middle - box_width(6) / 2, tops[0], stride=2, dilation=1)
    for s, (layers, depth, top) in enumerate(zip(_padded(column, len(rows) - 1), rows[1:], tops[1:], strict=False)):
        for i, (place, layer) in enumerate(layers):
            width, colour = box_width(layer.expansion), KERNEL_COLOURS.get(layer.kernel, OTHER_KERNEL)
            text = str(layer).upper().replace("_", " ")
            _draw_box(axis, f"layer-{c}-{place.name}", middle, top + ROW * i, width, colour, text)
            if i == 0:
                _draw_marks(axis, middle - width / 2, top, place.stride, place.dilation)
        for i in range(len(layers), depth):
            _draw_box(axis, f"absent-{c}-stages.{s}.{i}", middle, top + ROW * i, box_width(3), "none", "", "dashed")


def _draw_box(
    axis: "Axes", gid: str, middle: float, top: float, width: float, colour: str, text: str, line: str = "solid"
) -> None:
    corner = (middle - width / 2, top + (ROW - BOX) / 2)
    edge = "black" if text else FAINT
    box = _rectangle(axis, corner, (width, BOX), facecolor=colour, edgecolor=edge, linestyle=line, linewidth=0.7)
    box.set_gid(gid)
    axis.text(middle, top + ROW / 2, text, ha="center", va="center_baseline", fontsize=SMALL, zorder=3)


def _draw_marks(axis: "Axes", left: float, top: float, stride: int, dilation: int) -> None:
    """A triangle where a layer halves the resolution, and the dilation that is in place of strides."""
    if stride > 1:
        axis.plot(left - 0.1, top + ROW / 2, marker="v", color="black", markersize=4.5, linestyle="none")
    elif dilation > 1:
        axis.text(left - 0.04, top + ROW / 2, f"d{dilation}", ha="right", va="center", fontsize=SMALL)


def _rectangle(axis: "Axes", corner: tuple[float, float], size: tuple[float, float], **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return axis.add_patch(Rectangle(corner, *size, **({"zorder": 2} | style)))


def _legend(columns: Sequence[Column]) -> list[tuple[str, str]]:
    """(colour, `none` for an absent layer, `v` for a triangle or nothing; text) of everything that occurs."""
    layers = [layer for column in columns for stage in column.stages for layer in stage]
    kernels = sorted({layer.kernel for _, layer in layers} | {3})
    entries = [(KERNEL_COLOURS.get(k, OTHER_KERNEL), f"kernel {k}x{k}") for k in kernels]
    rows = _depths(columns)[1:]
    entries += [("", "width of a box: expansion E"), ("v", "stride 2")]
    if len(layers) < sum(rows) * len(columns):
        entries.append(("none", "no such layer"))
    dilations = sorted({place.dilation for place, _ in layers} - {1})
    return entries + [("", f"d{d}: dilation {d} in place of stride") for d in dilations]


class _Flow:
    """A legend in as many lines as the width needs, from `top` down, in inches."""

    SQUARE = 0.13

    def __init__(self, entries: Sequence[tuple[str, str]], width: float, top: float) -> None:
        self.places: list[tuple[float, float, str, str]] = []
        x, y = SIDE, top
        for kind, text in entries:
            needs = (self.SQUARE + 0.06 if kind else 0.0) + LETTER * len(text) + 0.1
            if x > SIDE and x + needs > width:
                x, y = SIDE, y + LINE * 1.25
            self.places.append((x, y, kind, text))
            x += needs
        self.bottom = y + LINE * 1.5

    def draw(self, axis: "Axes") -> None:
        for x, y, kind, text in self.places:
            middle = y + LINE / 2
            if kind == "v":
                axis.plot(x + self.SQUARE / 2, middle, marker="v", color="black", markersize=4.5, linestyle="none")
            elif kind:
                edge, line = (FAINT, "dashed") if kind == "none" else ("black", "solid")
                corner, size = (x, middle - self.SQUARE / 2), (self.SQUARE, self.SQUARE)
                _rectangle(axis, corner, size, facecolor=kind, edgecolor=edge, linestyle=line, linewidth=0.7)
            start = x + (self.SQUARE + 0.06 if kind else 0.0)
            axis.text(start, middle, text, va="center_baseline", fontsize=SMALL)
