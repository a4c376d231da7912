"""Paper Tables 2 and 4: what an adaptation costs in device time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fna.errors import UserError
from fna.files import write_json, write_text
from fna.flags import Parser
from fna.report.files import RunFiles
from fna.report.text import NOTHING, table

if TYPE_CHECKING:
    from fna.study.projection import Projection, TimedPart

HOURS_A_DAY = 24


@dataclass(frozen=True, slots=True)
class Cited:
    """A row as the paper prints it, text by text."""

    method: str
    cells: tuple[str, ...]


TABLE_2_HEADER = ("", "total", "architecture adaptation", "parameter adaptation")
TABLE_2 = (
    Cited("DPC", ("62.2K GHs", "62.2K GHs", "30.0* GHs")),
    Cited("Auto-DeepLab-S", ("244.0 GHs", "72.0 GHs", "172.0† GHs")),
    Cited("FNA", ("35.8 GHs", "1.4 GHs", "34.4 GHs")),
)
"""Semantic segmentation. GHs: GPU hours; the authors' FNA on V100 (search) and TITAN-Xp (paper 4.1)."""
TABLE_4_HEADER = (
    "",
    "total",
    "super network: pre-training",
    "super network: fine-tuning",
    "super network: search",
    "target network: pre-training",
    "target network: fine-tuning",
)
TABLE_4 = (
    Cited("DetNAS", ("68 GDs", "12 GDs", "12 GDs", "20 GDs", "12 GDs", "12 GDs")),
    Cited("FNA (RetinaNet)", ("9.2 GDs", "-", "-", "6 GDs", "-", "3.2 GDs")),
    Cited("FNA (SSDLite)", ("21.6 GDs", "-", "-", "6.6 GDs", "-", "15 GDs")),
)
"""Object detection. GDs: GPU days, on TITAN-Xp."""
NOTES = {
    "seg": "cited rows: the paper's Table 2. * by its authors' reproduction; † estimated by them from the description.",
    "det": "cited rows: the paper's Table 4, on TITAN-Xp.",
}


@dataclass(frozen=True, slots=True)
class Hours:
    """What one adaptation takes: device hours of the search and of the fine-tuning, None where not run.

    `projection` is where they come from if they were not measured whole.
    """

    name: str
    device: str
    search_hours: float | None
    adapt_hours: float | None
    projection: "Projection | None" = None

    @property
    def total_hours(self) -> float:
        """Of what was run or projected."""
        return (self.search_hours or 0.0) + (self.adapt_hours or 0.0)

    @property
    def label(self) -> str:
        """The name, and where the hours come from."""
        return f"{self.name} ({'projected' if self.projection else 'measured'})"


def main(words: list[str]) -> int:
    """`fna study cost`."""
    parser = Parser(prog="fna study cost", description="Device time of runs, beside the paper's Tables 2 and 4.")
    parser.add_argument("runs", nargs="*", help="run folders of fna adapt, search or train; of one task")
    parser.add_argument("--project", action="append", default=[], metavar="RECIPE", help="time steps of it; repeatable")
    parser.add_argument("--images", type=int, help="training images of a projection; default: the paper's data's")
    parser.add_argument("--classes", type=int, help="classes of a projection; default: the paper's data's")
    parser.add_argument("--batch", type=int, help="time batches of so many images, and scale; default: the recipe's")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each kind, after one to warm up")
    parser.add_argument("--out", help="also write table.md and table.json into this folder")
    args = parser.parse_args(words)
    for flag in ("images", "classes", "batch", "steps"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag} must be at least 1, got {getattr(args, flag)}")
    if not (args.runs or args.project):
        raise UserError("give run folders, or --project RECIPE")
    runs = [RunFiles(Path(run)) for run in args.runs]
    tasks = {str(run.config.get("task")) for run in runs} | {recipe_task(recipe) for recipe in args.project}
    if len(tasks) > 1:
        raise UserError(f"these are of the tasks {', '.join(sorted(tasks))}; make one table for each")
    rows = measured(runs)
    if runs and not rows:
        raise UserError(f"none of {', '.join(args.runs)} has a time in its cost.json")
    rows += [projected(recipe, args.images, args.classes, args.batch, args.steps) for recipe in args.project]
    text = markdown(tasks.pop(), rows)
    print(text)
    if args.out:
        folder = Path(args.out)
        write_text(folder / "table.md", f"# What an adaptation costs\n\n{text}\n")
        write_json(folder / "table.json", {"study": "cost", "rows": [row_values(row) for row in rows]})
    return 0


def recipe_task(recipe: str) -> str:
    """The task of a recipe, by its name or file."""
    from fna.config.files import load_config, recipe_path

    return load_config(recipe_path(recipe)).task


def projected(recipe: str, images: int | None, classes: int | None, batch: int | None, steps: int) -> Hours:
    """The row of a recipe that is timed here for a few steps; see `fna.study.projection.project`."""
    from fna.runs.machine import environment  # and torch, which a table of finished runs does not need
    from fna.study.projection import project

    found = project(recipe, images, classes, batch, steps)
    device = processor_name(found.device, found.threads, environment())
    return Hours(found.recipe, device, found.hours("search"), found.hours("adapt"), found)


def measured(runs: Sequence[RunFiles]) -> list[Hours]:
    """One row a run that was timed; a `train` run goes with the search, among `runs`, that derived its architecture.

    That is the one whose folder the run names, else one that derived the same. The baseline's fine-tuning is no part of
    an adaptation and is left out; of several budgets each is a row.
    """
    searches = {run.folder.resolve(): run for run in runs if "search" in run.ledger}
    rows, used = [], set()
    for run in runs:
        source = run.job.get("arch")
        at = Path(source).resolve() if source and source != "seed" else None
        named = searches.get(at) or searches.get(at.parent) if at else searches.get(run.folder.resolve())
        for training in (name for name in run.ledger if name.startswith("train")):
            origin = named or deriving(searches.values(), run, training)
            if origin is not None:
                used.add(origin.folder.resolve())
            rows.append(measure(run.folder.name + training.removeprefix("train"), origin, run, training))
    alone = [run for path, run in searches.items() if path not in used]
    return rows + [measure(run.folder.name, run, None, "") for run in alone]


def deriving(searches: Iterable[RunFiles], run: RunFiles, training: str) -> RunFiles | None:
    """The first search that derived what this training was of; None where that is the seed's own architecture."""
    trained = [one.arch for one in run.trainings if one.name == training and not run.is_seed(one)]
    return next((search for search in searches for arch in trained if arch in search.derived.values()), None)


def measure(name: str, search: RunFiles | None, trained: RunFiles | None, training: str) -> Hours:
    """The row of a search and of a fine-tuning, either of which may be missing."""
    parts = [(search, "search")] if search else []
    parts += [(trained, training)] if trained else []
    devices = dict.fromkeys(device_name(run, part) for run, part in parts)
    hours = {part: run.ledger[part]["device_hours"] for run, part in parts}
    return Hours(name, ", ".join(devices), hours.get("search"), hours.get(training))


def device_name(run: RunFiles, part: str) -> str:
    """What a part of a run was on."""
    entry = run.ledger[part]
    return processor_name(str(entry.get("device", "cpu")), entry.get("threads", "?"), run.environment)


def processor_name(device: str, threads: int | str, environment: dict[str, Any]) -> str:
    """`NVIDIA H100` or `AMD EPYC (CPU, threads: 1)`."""
    if device.startswith("cuda") and environment.get("gpu"):
        return str(environment["gpu"])
    return f"{environment.get('processor')} (CPU, threads: {threads})"


def hours_and_days(hours: float | None) -> str:
    """`1.4 h = 0.058 d`; large numbers without an exponent."""
    if hours is None:
        return NOTHING
    days = hours / HOURS_A_DAY
    hours_text = f"{hours:.3g}" if hours < 999.5 else f"{hours:.0f}"
    return f"{hours_text} h = {f'{days:.2g}' if days < 99.5 else f'{days:.0f}'} d"


def markdown(task: str, rows: Sequence[Hours]) -> str:
    """The paper's rows and ours in the form of Table 4 for detection, else of Table 2, and whose device is whose."""
    detection = task == "det"
    header, cited = (TABLE_4_HEADER, TABLE_4) if detection else (TABLE_2_HEADER, TABLE_2 if task == "seg" else ())
    body = [[f"{row.method} (cited)", *row.cells, "cited"] for row in cited]
    for row in rows:
        total, search, adapt = map(hours_and_days, (row.total_hours, row.search_hours, row.adapt_hours))
        cells = [total, "-", "-", search, "-", adapt] if detection else [total, search, adapt]
        body.append([row.label, *cells, row.device])
    lines = [NOTES[task]] if task in NOTES else []
    if any(row.projection is None for row in rows):
        lines.append(
            "measured rows: wall time of search and fine-tuning times the devices at work, from each run's cost.json."
        )
    lines += [f"{row.label}: {projection_note(row.projection)}" for row in rows if row.projection]
    return table([*header, "device"], body) + "\n\n" + "\n".join(f"- {line}" for line in lines)


def projection_note(found: "Projection") -> str:
    """What was timed, how many times it counts, and what is left out."""
    sizes = ", ".join(f"{phase} {height}x{width}" for phase, (height, width) in found.shapes.items())
    return (
        f"not run, but each kind of step timed here (median of {found.steps} after one to warm up) times its "
        f"iterations, with {found.images} training images and {found.classes} classes: "
        f"{'; '.join(map(part_note, found.parts))}. Random images in memory ({sizes}), so reading and augmenting take "
        "no time; fine-tuning is that of the seed's architecture, for one budget; validations are left out."
    )


def part_note(timed: "TimedPart") -> str:
    """`11840 weight steps of batch 16 at 1.5 s (timed with batch 2 and scaled linearly)`."""
    part, scaled = timed.part, timed.measured_batch != timed.part.batch
    how = f" (timed with batch {timed.measured_batch} and scaled linearly)" if scaled else ""
    return f"{part.iterations} {part.name} of batch {part.batch} at {timed.seconds:.3g} s{how}"


def row_values(row: Hours) -> dict[str, object]:
    """A row for table.json, in hours; of a projected one also its parts."""
    values: dict[str, object] = {
        "name": row.name,
        "device": row.device,
        "search_hours": row.search_hours,
        "adapt_hours": row.adapt_hours,
        "total_hours": row.total_hours,
        "projected": row.projection is not None,
    }
    return values | ({"projection": projection_values(row.projection)} if row.projection else {})


def projection_values(found: "Projection") -> dict[str, object]:
    """What a projection was made of, for table.json."""
    parts = [
        {
            "stage": timed.part.phase,
            "name": timed.part.name,
            "iterations": timed.part.iterations,
            "batch": timed.part.batch,
            "measured_batch": timed.measured_batch,
            "measured_seconds": timed.measured_seconds,
            "hours": timed.hours,
        }
        for timed in found.parts
    ]
    keys = ("images", "classes", "steps", "shapes")
    return {key: getattr(found, key) for key in keys} | {"parts": parts}
