"""RUN/report.md: one page about one run, and its figures."""

import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from fna.arch.arch import Arch
from fna.arch.decision import OptionValues
from fna.files import write_bytes
from fna.report import figures
from fna.report.architectures import draw_architectures
from fna.report.columns import run_columns
from fna.report.costs import cost_tables
from fna.report.files import RunFiles, TrainingFiles
from fna.report.text import NOTHING, cell, duration, giga, mega, percent, seconds, table
from fna.report.verdict import verdict
from fna.search.health import COLLAPSED, softmax
from fna.search.result import SearchResult


def write_report(folder: Path) -> Path:
    """Write RUN/report.md and its figures in RUN/report/, from the files of the run alone; returns the page's path.

    What a run does not have yet, or never will, is left out. Raises UserError where `folder` is no run folder or one of
    its files cannot be read.
    """
    run = RunFiles(folder)
    for name, drawn in draw(run).items():
        write_bytes(folder / "report" / f"{name}.png", figures.png(drawn))
    write_bytes(folder / "report.md", render(run).encode())
    return folder / "report.md"


def draw(run: RunFiles) -> dict[str, Any]:
    """The figures by name, as far as the run has something to draw."""
    drawn = {}
    if run.archs:
        drawn["architectures"] = draw_architectures(run_columns(run, run.imgsz, run.output_stride))
    trained = {label(run, training): training.log_lines for training in run.trainings if training.log_lines}
    if trained:
        drawn["training"] = figures.draw_training(trained, run.kind.score)
    if any(run.search_logs):
        drawn["search"] = figures.draw_search(run.search_logs)
    if run.search_health:
        drawn["stages"] = figures.draw_stages(run.search_health)
    if run.search:
        drawn["candidates"] = draw_candidates(run.search)
    return drawn


def draw_candidates(search: SearchResult) -> Any:
    """What the search thinks of each option: probabilities of alphas, scores of swaps (the seed's is 0)."""
    options = [(decision.name, decision.options) for decision in search.decisions]
    scores: dict[str, OptionValues] = {"together": search.worth.scores}
    if len(search.worth.replicas) > 1:
        scores |= {f"search {r + 1}": values for r, values in enumerate(search.worth.replicas)}
    signed = search.strategy != "alphas"
    panels = scores if signed else {name: [softmax(row) for row in values] for name, values in scores.items()}
    return figures.draw_candidates(options, panels, signed)


def label(run: RunFiles, training: TrainingFiles) -> str:
    """What a training's network is called in tables, with its budget where the run has several."""
    budget = training.name.removeprefix("train").removeprefix("-")
    name = "seed architecture" if run.is_seed(training) else "adapted network" + (f" ({budget})" if budget else "")
    return name if run.pretrained else f"{name}, random weights"


def render(run: RunFiles) -> str:
    """The page as Markdown."""
    import jinja2

    template = resources.files("fna.report").joinpath("report.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"cell": cell, "quote": lambda value: shlex.quote(str(value))}
    search = run.search
    return environment.from_string(template).render(
        run=run,
        search=search,
        unfinished=run.unfinished(),
        headline=headline(run),
        designs={label(run, training): training.design for training in run.trainings},
        verdicts=[
            verdict(run, training, label(run, training)) for training in run.trainings if not run.is_seed(training)
        ],
        only_seed=bool(run.trainings) and all(run.is_seed(training) for training in run.trainings),
        architectures=architecture_table(run.archs),
        costs=cost_tables(run),
        metrics=metrics_table(run),
        classes=class_table(run),
        score=run.kind.score,
        class_score=run.kind.class_score,
        absent=run.kind.absent,
        search_health=bool(run.search_health),
        collapsed=COLLAPSED,
        training=any(training.log_lines for training in run.trainings),
        search_curves=any(run.search_logs),
        trials=trials_table(search),
        ledger=ledger_table(run),
    )


def headline(run: RunFiles) -> str:
    """Score, cost and time of every network; the seed's cost also where it was not trained."""
    score = run.kind.score
    header = ["", f"val {score.name}, best", "at step", f"val {score.name}, last", "MAdds", "params", "fine-tuning, s"]
    rows: list[list[object]] = []
    if run.seed.get("cost") and not any(run.is_seed(training) for training in run.trainings):
        cost = run.seed["cost"]
        scores = [NOTHING, NOTHING, NOTHING]
        rows.append(["seed architecture (not trained)", *scores, giga(cost["madds"]), mega(cost["params"]), NOTHING])
    for training in run.trainings:
        best, metrics, cost = training.best or {}, training.metrics or {}, training.cost
        name = label(run, training) + ("" if training.metrics else " (unfinished)")
        last = metrics.get("last", {}).get("score")
        rows.append(
            [name, score.shown(best.get("score")), best.get("step", NOTHING), score.shown(last)]
            + [giga(cost.get("madds")), mega(cost.get("params")), seconds(training.seconds)]
        )
    return table(header, rows) if rows else ""


def architecture_table(archs: Mapping[str, Arch]) -> str:
    """The layers of every stage, one column an architecture."""
    if not archs:
        return ""
    stages = max(len(arch.stages) for arch in archs.values())
    first = next(iter(archs.values()))
    rows = []
    for s in range(stages):
        layers = [
            " ".join(map(str, arch.stages[s].layers)) if s < len(arch.stages) else NOTHING for arch in archs.values()
        ]
        shape = [first.stages[s].channels, first.stages[s].stride] if s < len(first.stages) else [NOTHING, NOTHING]
        rows.append([f"stage {s}", *shape, *layers])
    return table(["", "channels", "stride", *archs], rows)


def metrics_table(run: RunFiles) -> str:
    """Every metric of every network at its best step, one row a metric."""
    tested = [(label(run, training), training.best) for training in run.trainings if training.best]
    names = dict.fromkeys(
        name for _, best in tested for name, value in best.items() if isinstance(value, float) and name != "score"
    )
    rows = [[name, *(run.kind.score.shown(best.get(name)) for _, best in tested)] for name in names]
    return table(["", *(name for name, _ in tested)], rows) if rows else ""


def class_table(run: RunFiles) -> str:
    """The score of each class by every network at its best step, and the gain over the seed."""
    tested = [(one, one.best["per_class"]) for one in run.trainings if one.best and "per_class" in one.best]
    if not tested:
        return ""
    seed = next((values for training, values in tested if run.is_seed(training)), None)
    gains = [values for training, values in tested if not run.is_seed(training)] if seed else []
    names, score = list(dict.fromkeys(name for _, values in tested for name in values)), run.kind.score
    rows = [
        [
            name,
            *(score.shown(values.get(name)) for _, values in tested),
            *(score.difference(gain(values.get(name), seed, name)) for values in gains),
        ]
        for name in names
    ]
    return table(["class", *(label(run, training) for training, _ in tested), *["difference"] * len(gains)], rows)


def gain(value: float | None, seed: Mapping[str, float | None] | None, name: str) -> float | None:
    """Difference to the seed's value; None where either is absent."""
    other = seed.get(name) if seed else None
    return None if value is None or other is None else value - other


def trials_table(search: SearchResult | None) -> str:
    """Every proposal of the search that was tried against the seed, in a short fine-tuning, budget by budget."""
    rows = [
        [
            finalist.layers,
            giga(finalist.cost["madds"]),
            f"{finalist.difference:+.4f} ± {finalist.standard_error:.4f}",
            NOTHING if finalist.probability_better is None else percent(finalist.probability_better),
            "yes" if number == verdict.chosen else "",
        ]
        for verdict in (search.verdicts if search else ())
        for number, finalist in enumerate(verdict.finalists)
        if finalist.difference is not None
    ]
    header = ["proposal, stage by stage", "MAdds", "loss against the seed", "better than it, %", "chosen"]
    return table(header, rows) if rows else ""


def ledger_table(run: RunFiles) -> str:
    """Wall time and device hours of every part of the run, and their sum."""
    if not run.ledger:
        return ""
    rows: list[list[object]] = [
        [
            name,
            duration(entry["wall_seconds"]),
            f"{entry['device_hours']:.3f}",
            entry.get("device", NOTHING),
            entry.get("threads", NOTHING),
        ]
        for name, entry in run.ledger.items()
    ]
    entries = run.ledger.values()
    wall, hours = sum(e["wall_seconds"] for e in entries), sum(e["device_hours"] for e in entries)
    return table(
        ["", "wall time", "device hours", "device", "threads"], [*rows, ["sum", duration(wall), f"{hours:.3f}", "", ""]]
    )
