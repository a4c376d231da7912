"""`fna demo`: from drawn scenes to an adapted network, beside networks that show what each part is for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fna.demo.pretrain import MEAN, STD, Pretraining, pretrain_seed
from fna.demo.scenes import draw_box_scenes, draw_scenes
from fna.errors import unknown
from fna.files import new_folder, write_text
from fna.pipeline import adapt, train
from fna.report.files import RunFiles, TrainingFiles
from fna.report.text import giga, mega, percent, seconds, table
from fna.report.verdict import CHANCE
from fna.runs.machine import keep_memory
from fna.tasks.kinds import TASKS, TaskKind
from fna.tasks.score import Score

DRAWN = {"masks": draw_scenes, "boxes": draw_box_scenes}
"""How scenes are drawn, by the kind of annotations."""
SEED, ADAPTED = "seed architecture", "adapted network"
RANDOM, SEED_RANDOM = "adapted architecture from random weights", "seed architecture from random weights"
KEPT = (
    "The search found no change that earned its cost: the adapted network has the seed's own architecture, so one row "
    "stands for both."
)
PAPER: dict[str, dict[str, Any]] = {"seg": {"head": "deeplabv3", "output_stride": 16}}
"""The head that the paper has around the seed, by task, where that is not the one of the recipe."""


@dataclass(frozen=True)
class Trained:
    """One fine-tuned network: its best val metrics, cost of the whole model, wall time of its training."""

    name: str
    scores: tuple[float | None, ...]
    madds: int
    params: int
    seconds: float | None


def metrics(kind: TaskKind) -> tuple[str, ...]:
    """The columns of the final table."""
    return kind.score.name, *kind.also


def final_table(rows: Sequence[Trained], kind: TaskKind) -> str:
    """The rows as a Markdown table, all metrics in the unit of the task's score."""
    header = ("network", *(f"val {name}" for name in metrics(kind)), "MAdds", "params", "fine-tuning, s")
    return table(
        header,
        ((r.name, *map(kind.score.shown, r.scores), giga(r.madds), mega(r.params), seconds(r.seconds)) for r in rows),
    )


def demo(
    out: str | Path = "runs/demo",
    random_seed: int = 0,
    pretraining: Pretraining | None = None,
    task: str = "seg",
    **changes: Any,
) -> Path:
    """Draw scenes, pretrain a seed on naming shapes, adapt it to the scenes, and compare; returns the new folder.

    `task` is seg (masks) or det (boxes). OUT (or OUT-2 and so on where it is not empty) gets scenes/, seed.safetensors,
    the run folders paper/ (masks only), adapted/ and random/, and report.md. `changes` are keys of the configuration
    that differ from the recipe `demo` or `demo-det`.
    """
    shown_tasks = [kind.name for kind in TASKS.values() if kind.recipe]
    if task not in shown_tasks:
        raise unknown("task", task, shown_tasks)
    kind, start, folder = TASKS[task], time.monotonic(), new_folder(out)
    scenes, weights, how = folder / "scenes", folder / "seed.safetensors", pretraining or Pretraining()
    keep_memory()  # pretraining has no run that would see to it
    print(f"demo in {folder}\ndrawing scenes", flush=True)
    DRAWN[kind.data](scenes, random_seed)
    print("pretraining a seed to name shapes, about a minute", flush=True)
    accuracy = pretrain_seed(weights, random_seed, how)
    right, chance = percent(accuracy.val), percent(accuracy.chance)
    print(f"  accuracy {right} % on new pictures (chance {chance} %)", flush=True)
    common: dict[str, Any] = {"recipe": kind.recipe, "seed": random_seed, "mean": MEAN, "std": STD, **changes}
    around = PAPER.get(task)
    paper = train(scenes, "seed", folder / "paper", weights=str(weights), **common, **around) if around else None
    adapted = adapt(scenes, folder / "adapted", weights=str(weights), **common)
    backbone = f"mobilenet_v2_w{round(100 * how.width):03d}"
    untrained = train(scenes, str(adapted), folder / "random", weights="none", backbone=backbone, **common)
    shown = summary(adapted, untrained, paper, kind)
    lines = [
        f"The seed names shapes in pictures it has not seen with an accuracy of {right} % "
        f"(chance {chance} %). All networks below are fine-tuned on the scenes on the same schedule.",
        shown,
        "Everything about the run: [adapted/report.md](adapted/report.md).",
    ]
    write_text(folder / "report.md", "# Demonstration\n\n" + "\n\n".join(lines) + "\n")
    print(f"\n{shown}\n\n{time.monotonic() - start:.0f} s in all; report: {folder / 'report.md'}", flush=True)
    return folder


def summary(adapted: Path, untrained: Path, paper: Path | None, kind: TaskKind) -> str:
    """The final table of the runs, and in words what the head and what the search brought, also where it is nothing."""
    run = RunFiles(adapted)
    trainings = {training.name: training for training in run.trainings}
    (random,) = RunFiles(untrained).trainings
    # A search that changes nothing leaves one network to train: there is no training `seed` beside it.
    kept = trainings["train"].arch == run.seed_arch
    head = f" under {trainings['train'].design.head}" if paper else ""
    named = [(f"{SEED}{head} = {ADAPTED}", trainings["train"]), (SEED_RANDOM, random)]
    if not kept:
        named = [(f"{SEED}{head}", trainings["seed"]), (ADAPTED, trainings["train"]), (RANDOM, random)]
    if paper:
        (training,) = RunFiles(paper).trainings
        named.insert(0, (f"{SEED} under {training.design.head}, the paper's way", training))
    rows = [_trained(name, training, kind) for name, training in named]
    first = 1 if paper else 0
    said = [compared(rows[1], rows[0], kind.score)] if paper else []
    said.append(KEPT if kept else compared(rows[first + 1], rows[first], kind.score))
    return "\n\n".join([final_table(rows, kind), *said])


def compared(one: Trained, other: Trained, score: Score) -> str:
    """Whether one network is clearly better than another, in a sentence."""
    ours, theirs = one.scores[0], other.scores[0]
    assert ours is not None
    assert theirs is not None
    difference = ours - theirs
    text = f"{score.difference(difference)}{score.points}"
    if abs(difference) < CHANCE:
        return f"{one.name} is not clearly better or worse than {other.name}: {text}, which chance can make."
    better = "better" if score.better(ours, theirs) else "NOT better"
    return f"{one.name} is {better} than {other.name}: {text}."


def _trained(name: str, training: TrainingFiles, kind: TaskKind) -> Trained:
    assert training.best is not None
    values = tuple(training.best[metric] for metric in metrics(kind))
    return Trained(name, values, training.cost["madds"], training.cost["params"], training.seconds)
