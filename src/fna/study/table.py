"""The table of a study: every row over several random seeds, with mean and spread, from the files of its runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from fna.files import write_bytes, write_json, write_text
from fna.report.figures import figure, png
from fna.report.files import RunFiles, TrainingFiles
from fna.report.groups import Group, random_seed, spread
from fna.report.results import bullets, commands, conditions, difference_of_groups, machines, mean_and_spread
from fna.report.text import giga, mega, minutes, table
from fna.study.plan import Study
from fna.tasks.score import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Row:
    """What a row is called and the `train` steps it is made of, one a random seed.

    `against` is the row that it is compared with, `paper` the paper's score, a fraction.
    """

    name: str
    steps: tuple[str, ...]
    against: str = ""
    paper: float | None = None


@dataclass(frozen=True)
class Filled:
    """A row with what is finished of it."""

    row: Row
    group: Group

    @property
    def costs(self) -> list[dict[str, int]]:
        """Whole-model cost of each random seed's network, which may have an architecture of its own."""
        return [training.cost for _, training in self.group.results]

    def mean_cost(self, key: str) -> float:
        """The mean over random seeds of `madds` or `params`."""
        return fmean(cost[key] for cost in self.costs)


@dataclass(frozen=True)
class Column:
    """A column of a study's own: its heading, and what it says of a row's networks."""

    name: str
    text: Callable[[Group], str]


def fill(study: Study, rows: Sequence[Row]) -> list[Filled]:
    """The rows of which at least one step is finished."""
    steps = {step.name: step for step in study.steps}
    filled = []
    for row in rows:
        done = [RunFiles(study.folder / name) for name in row.steps if study.finished(steps[name])]
        results: list[tuple[RunFiles, TrainingFiles]] = [(run, run.trainings[0]) for run in done]
        if results:
            run, training = results[0]
            filled.append(Filled(row, Group(run.is_seed(training), run.pretrained, training.design, results)))
    return filled


def write_table(
    study: Study,
    rows: Sequence[Row],
    title: str,
    notes: Sequence[str] = (),
    column: Column | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write table.md, table.json and plot.png of the finished steps; nothing while no row has one.

    Differences are pair by pair of random seeds. `column` is a further one, `notes` are further lines, `extra` further
    keys of table.json.
    """
    filled = fill(study, rows)
    if not filled:
        return
    left = sum(not study.finished(step) for step in study.steps)
    runs = [run for part in filled for run, _ in part.group.results]
    lines = [*differences(filled), *notes, *machines(runs)]
    parts = [
        f"# {title}",
        conditions([part.group for part in filled]),
        markdown(filled, column),
        commands(runs),
        bullets(lines),
    ]
    if left:
        parts.insert(1, f"{left} of {len(study.steps)} steps are not finished.")
    write_text(study.folder / "table.md", "\n\n".join(part for part in parts if part) + "\n")
    score = runs[0].kind.score
    values = {
        "study": study.name,
        "score": score.name,
        "rows": [row_values(part) for part in filled],
        "notes": list(notes),
    }
    write_json(study.folder / "table.json", values | (extra or {}))
    write_bytes(study.folder / "plot.png", png(draw(filled, score)))


def markdown(filled: Sequence[Filled], column: Column | None = None) -> str:
    """One line a row; the paper's figures where rows have them."""
    score = filled[0].group.score
    cited = any(part.row.paper is not None for part in filled)
    header = ["", *([column.name] if column else []), *(["paper"] if cited else [])]
    header += [
        "random seeds",
        f"best val {score.name}",
        "each",
        f"last val {score.name}",
        "MAdds",
        "params",
        "fine-tuning, min",
    ]
    body = []
    for part in filled:
        group, best = part.group, part.group.scores()
        cells = [part.row.name, *([column.text(part.group)] if column else [])]
        cells += [score.shown(part.row.paper)] if cited else []
        cells += [str(len(best)), mean_and_spread(best, score), ", ".join(map(score.shown, best))]
        cells += [
            score.shown(fmean(group.scores("last"))),
            giga(part.mean_cost("madds")),
            mega(part.mean_cost("params")),
        ]
        body.append([*cells, minutes(group.mean_seconds)])
    return table(header, body)


def differences(filled: Sequence[Filled]) -> list[str]:
    """Every row minus the row that it is compared with."""
    groups = {part.row.name: part.group for part in filled}
    return [
        difference_of_groups(f"{part.row.name} minus {part.row.against}", part.group, groups[part.row.against])
        for part in filled
        if part.row.against in groups and part.row.against != part.row.name
    ]


def row_values(part: Filled) -> dict[str, Any]:
    """A row for table.json: scores as fractions by random seed, costs, wall times, and where each comes from."""
    group, best = part.group, part.group.scores()
    return {
        "name": part.row.name,
        "paper": part.row.paper,
        "random_seeds": [random_seed(run) for run, _ in group.results],
        "best": best,
        "last": group.scores("last"),
        "mean": fmean(best),
        "spread": spread(best),
        "madds": [cost.get("madds") for cost in part.costs],
        "params": [cost.get("params") for cost in part.costs],
        "seconds": [training.seconds for _, training in group.results],
        "runs": [run.folder.name for run, _ in group.results],
    }


def draw(filled: Sequence[Filled], score: Score) -> "Figure":
    """Best scores: one dot a random seed, a bar at their mean, a cross at the paper's figure."""
    drawn = figure(7, 1 + 0.35 * len(filled))
    axes = drawn.subplots()
    for y, part in enumerate(reversed(filled)):
        best = [score.scaled(value) for value in part.group.scores()]
        axes.plot(best, [y] * len(best), "o", color="#1f78b4", alpha=0.6)
        axes.plot([fmean(best)], [y], "|", color="#1f78b4", markersize=16)
        if part.row.paper is not None:
            axes.plot([score.scaled(part.row.paper)], [y], "x", color="#999999")
    axes.set_yticks(range(len(filled)), [part.row.name for part in reversed(filled)])
    axes.set_xlabel(f"best val {score.label}" + (" (cross: the paper, on its data)" if _cited(filled) else ""))
    axes.grid(axis="x", alpha=0.3)
    return drawn


def _cited(filled: Sequence[Filled]) -> bool:
    return any(part.row.paper is not None for part in filled)
