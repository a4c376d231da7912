"""Paper Tables 2 and 4: what an adaptation costs in device time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fna.errors import UserError
from fna.files import write_json, write_text
from fna.flags import Parser
from fna.report.files import RunFiles
from fna.report.text import NOTHING, table

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
class Measured:
    """What one adaptation took: device hours of the search and of the fine-tuning, None where not run."""

    name: str
    device: str
    search_hours: float | None
    adapt_hours: float | None

    @property
    def total_hours(self) -> float:
        """Of what was run."""
        return (self.search_hours or 0.0) + (self.adapt_hours or 0.0)


def main(words: list[str]) -> int:
    """`fna study cost`."""
    parser = Parser(prog="fna study cost", description="Device time of runs, beside the paper's Tables 2 and 4.")
    parser.add_argument("runs", nargs="+", help="run folders of fna adapt, search or train; of one task")
    parser.add_argument("--out", help="also write table.md and table.json into this folder")
    args = parser.parse_args(words)
    runs = [RunFiles(Path(run)) for run in args.runs]
    tasks = sorted({str(run.config.get("task")) for run in runs})
    if len(tasks) > 1:
        raise UserError(f"the runs are of the tasks {', '.join(tasks)}; make one table for each")
    rows = measured(runs)
    if not rows:
        raise UserError(f"none of {', '.join(args.runs)} has a time in its cost.json")
    text = markdown(tasks[0], rows)
    print(text)
    if args.out:
        folder = Path(args.out)
        write_text(folder / "table.md", f"# What an adaptation costs\n\n{text}\n")
        write_json(folder / "table.json", {"study": "cost", "rows": [row_values(row) for row in rows]})
    return 0


def measured(runs: Sequence[RunFiles]) -> list[Measured]:
    """One row a run that was timed; a `train` run goes with the search, among `runs`, that derived its architecture.

    The baseline's fine-tuning is no part of an adaptation and is left out; of several budgets each is a row.
    """
    searches = {run.folder.resolve(): run for run in runs if "search" in run.ledger}
    rows, used = [], set()
    for run in runs:
        source = run.job.get("arch")
        at = Path(source).resolve() if source and source != "seed" else None
        origin = searches.get(at) or searches.get(at.parent) if at else searches.get(run.folder.resolve())
        for stage in (name for name in run.ledger if name.startswith("train")):
            if origin is not None:
                used.add(origin.folder.resolve())
            rows.append(measure(run.folder.name + stage.removeprefix("train"), origin, run, stage))
    alone = [run for path, run in searches.items() if path not in used]
    return rows + [measure(run.folder.name, run, None, "") for run in alone]


def measure(name: str, search: RunFiles | None, trained: RunFiles | None, stage: str) -> Measured:
    """The row of a search and of a fine-tuned stage, either of which may be missing."""
    parts = [(search, "search")] if search else []
    parts += [(trained, stage)] if trained else []
    devices = dict.fromkeys(device_name(run, part) for run, part in parts)
    hours = {part: run.ledger[part]["device_hours"] for run, part in parts}
    return Measured(name, ", ".join(devices), hours.get("search"), hours.get(stage))


def device_name(run: RunFiles, stage: str) -> str:
    """`NVIDIA H100` or `AMD EPYC (CPU, threads: 1)`."""
    entry, get = run.ledger[stage], run.environment.get
    if str(entry.get("device", "cpu")).startswith("cuda") and get("gpu"):
        return str(get("gpu"))
    return f"{get('processor')} (CPU, threads: {entry.get('threads', '?')})"


def hours_and_days(hours: float | None) -> str:
    """`1.40 h = 0.058 d`."""
    return NOTHING if hours is None else f"{hours:.3g} h = {hours / HOURS_A_DAY:.2g} d"


def markdown(task: str, rows: Sequence[Measured]) -> str:
    """The paper's rows and ours in the form of Table 4 for detection, else of Table 2, and whose device is whose."""
    detection = task == "det"
    header, cited = (TABLE_4_HEADER, TABLE_4) if detection else (TABLE_2_HEADER, TABLE_2 if task == "seg" else ())
    body = [[f"{row.method} (cited)", *row.cells, "cited"] for row in cited]
    for row in rows:
        total, search, adapt = map(hours_and_days, (row.total_hours, row.search_hours, row.adapt_hours))
        cells = [total, "-", "-", search, "-", adapt] if detection else [total, search, adapt]
        body.append([f"{row.name} (measured)", *cells, row.device])
    lines = [NOTES[task]] if task in NOTES else []
    lines.append("measured rows: wall time of the stages times the devices at work, from each run's cost.json.")
    return table([*header, "device"], body) + "\n\n" + "\n".join(f"- {line}" for line in lines)


def row_values(row: Measured) -> dict[str, object]:
    """A row for table.json, in hours."""
    return {
        "name": row.name,
        "device": row.device,
        "search_hours": row.search_hours,
        "adapt_hours": row.adapt_hours,
        "total_hours": row.total_hours,
    }
