"""The report's figures: Matplotlib figures from data, drawn without a display."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fna.arch.decision import OptionValues
from fna.report.files import LogLines
from fna.tasks.score import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORT_DPI = 110


def figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """An empty figure of this size in inches; no global state, no window. Without `layout` axes stay as put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(made)
    return made


def png(drawn: "Figure", dpi: int = REPORT_DPI) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(drawn: "Figure") -> bytes:
    """The figure as an SVG file with its text as text; the same bytes for the same figure."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "fna", "svg.fonttype": "none"}):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def draw_training(trainings: Mapping[str, LogLines], score: Score) -> "Figure":
    """Training loss and validation score by step, one line a network."""
    made = figure(9, 3.4)
    left, right = made.subplots(1, 2)
    for name, log in trainings.items():
        _line(left, log, "loss", 1.0, label=name, linewidth=1)
        _line(right, log, f"val/{score.name}", score.scaled(1.0), label=name, marker="o")
    left.set(title="training loss", xlabel="step")
    right.set(title=f"val {score.label}", xlabel="step")
    right.legend()
    return made


def draw_search(replicas: Sequence[LogLines]) -> "Figure":
    """Losses of the weights and of the alphas by step, and the expected cost where the search has one."""
    has_cost = any("expected_gmadds" in line for log in replicas for line in log)
    made = figure(9 if has_cost else 5, 3.4)
    axes = made.subplots(1, 2 if has_cost else 1, squeeze=False)[0]
    for r, log in enumerate(replicas):
        _line(axes[0], log, "loss", 1.0, label=f"weights, search {r + 1}", color=f"C{r}", linewidth=1)
        if any("alpha_loss" in line for line in log):
            _line(axes[0], log, "alpha_loss", 1.0, label=f"alphas, search {r + 1}", color=f"C{r}", linestyle=":")
        if has_cost:
            _line(axes[1], log, "expected_gmadds", 1.0, label=f"search {r + 1}", color=f"C{r}")
    axes[0].set(title="loss in the super network", xlabel="step")
    axes[0].legend()
    if has_cost:
        axes[1].set(title="expected cost of the searched layers (G MAdds)", xlabel="step")
    return made


def draw_stages(replicas: Sequence[LogLines]) -> "Figure":
    """Entropy and skip probability of every stage by step; one colour a stage, one line style a search."""
    made = figure(9, 3.4)
    left, right = made.subplots(1, 2)
    stages = sorted({int(key.split()[1]) for log in replicas for line in log for key in line if "entropy" in key})
    for r, log in enumerate(replicas):
        for colour, stage in enumerate(stages):
            style = {"color": f"C{colour}", "linestyle": ("-", "--", ":", "-.")[r % 4]}
            _line(left, log, f"stage {stage} entropy", 1.0, label=f"stage {stage}" if r == 0 else None, **style)
            _line(right, log, f"stage {stage} skip", 1.0, **style)
    left.set(title="entropy of the candidates", xlabel="step", ylim=(0, 1.05))
    right.set(title="probability of the identity", xlabel="step", ylim=(0, 1))
    left.legend(fontsize=7)
    return made


def _line(axis: "Axes", log: LogLines, column: str, factor: float, **style: Any) -> None:
    found = [(line["step"] + 1, factor * line[column]) for line in log if column in line]
    axis.plot([x for x, _ in found], [y for _, y in found], **style)


def draw_candidates(
    layers: Sequence[tuple[str, Sequence[str]]], panels: Mapping[str, OptionValues], signed: bool
) -> "Figure":
    """Heat maps of candidates (columns) by layer (rows), one panel each; a dot marks the best of each layer.

    `signed` values are drawn around zero, others from 0 to 1. Candidates that a layer does not have stay grey.
    """
    from matplotlib.colors import Normalize

    names = list(dict.fromkeys(name for _, candidates in layers for name in candidates))
    # The colours end at the ninth decile: one ruinous candidate must not make all others look alike.
    sizes = sorted(abs(value) for rows in panels.values() for row in rows for value in row)
    largest = sizes[int(0.9 * (len(sizes) - 1))] or 1.0
    scale = Normalize(-largest, largest) if signed else Normalize(0, 1)
    wide = 0.42 if len(names) < 12 else 0.16
    longest = max(map(len, names))
    made = figure(1.6 + (wide * len(names) + 0.3) * len(panels), 1.0 + 0.06 * longest + 0.2 * len(layers))
    axes = made.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        image = [[float("nan")] * len(names) for _ in layers]
        for y, ((_, candidates), row) in enumerate(zip(layers, values, strict=True)):
            for candidate, value in zip(candidates, row, strict=True):
                image[y][names.index(candidate)] = value
            axis.plot(names.index(candidates[row.index(max(row))]), y, "ko", markersize=4, markeredgecolor="white")
        shown = axis.imshow(image, norm=scale, cmap="RdBu" if signed else "viridis", aspect="auto")
        axis.set_facecolor("lightgrey")
        axis.set_title(title, fontsize=9)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7 if len(names) < 12 else 5)
    axes[0].set_yticks(range(len(layers)), [name for name, _ in layers], fontsize=7)
    made.colorbar(shown, ax=list(axes), shrink=0.6, extend="both" if signed else "neither")
    return made
