"""`fna demo`: from drawn scenes to an adapted network, with two networks beside it that show what each part is for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fna.demo.pretrain import MEAN, STD, Pretraining, pretrain_seed
from fna.demo.scenes import draw_scenes
from fna.files import write_text
from fna.pipeline import adapt, train
from fna.report.files import RunFiles, StageFiles
from fna.report.text import giga, mega, percent, seconds, table
from fna.run import new_folder


@dataclass(frozen=True)
class Row:
    """One fine-tuned network: best val mIoU as a fraction, cost of the whole model, wall time of its fine-tuning."""

    name: str
    score: float
    madds: int
    params: int
    seconds: float | None


def final_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, mIoU in percent."""
    header = ("network", "val mIoU", "MAdds", "params", "fine-tuning, s")
    return table(header, ((r.name, percent(r.score), giga(r.madds), mega(r.params), seconds(r.seconds)) for r in rows))


def demo(
    out: str | Path = "runs/demo", random_seed: int = 0, pretraining: Pretraining | None = None, **changes: Any
) -> Path:
    """Draw scenes, pretrain a seed on naming shapes, adapt it to the scenes, and compare; returns the new folder.

    OUT (or OUT-2 and so on where it is not empty) gets scenes/, seed.safetensors, the run folders adapted/ and random/,
    and report.md. `changes` are keys of the configuration that differ from the recipe `demo`.
    """
    start, folder = time.monotonic(), new_folder(out)
    scenes, weights, how = folder / "scenes", folder / "seed.safetensors", pretraining or Pretraining()
    print(f"demo in {folder}\ndrawing scenes", flush=True)
    draw_scenes(scenes, random_seed)
    print("pretraining a seed to name shapes, about a minute", flush=True)
    accuracy = pretrain_seed(weights, random_seed, how)
    print(f"  accuracy {percent(accuracy.val)} % on new pictures (chance {percent(accuracy.chance)} %)", flush=True)
    common: dict[str, Any] = {"recipe": "demo", "seed": random_seed, "mean": MEAN, "std": STD, **changes}
    adapted = adapt(scenes, folder / "adapted", weights=str(weights), **common)
    backbone = f"mobilenet_v2_w{round(100 * how.width):03d}"
    untrained = train(scenes, str(adapted), folder / "random", weights="none", backbone=backbone, **common)
    shown = final_table(_rows(adapted, untrained))
    lines = [
        f"The seed names shapes in pictures it has not seen with an accuracy of {percent(accuracy.val)} % "
        f"(chance {percent(accuracy.chance)} %). All networks below are fine-tuned on the scenes on the same schedule.",
        shown,
        "Everything about the run: [adapted/report.md](adapted/report.md).",
    ]
    write_text(folder / "report.md", "# Demonstration\n\n" + "\n\n".join(lines) + "\n")
    print(f"\n{shown}\n\n{time.monotonic() - start:.0f} s in all; report: {folder / 'report.md'}", flush=True)
    return folder


def _rows(adapted: Path, untrained: Path) -> list[Row]:
    stages = {stage.name: stage for stage in RunFiles(adapted).stages}
    (random,) = RunFiles(untrained).stages
    return [
        _row("seed architecture", stages["seed"]),
        _row("adapted network", stages["train"]),
        _row("adapted architecture from random weights", random),
    ]


def _row(name: str, stage: StageFiles) -> Row:
    assert stage.best is not None
    return Row(name, stage.best["score"], stage.cost["madds"], stage.cost["params"], stage.seconds)
