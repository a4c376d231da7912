"""Run folders made by hand: the files that a run writes, with numbers chosen for the tests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fna.arch import zoo
from fna.arch.arch import Arch, Stage
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.arch.layers import MBConv
from fna.arch.space import expand
from fna.cost.count import count
from fna.search.result import write_result
from fna.tasks.kinds import TASKS
from fna.tasks.score import Score
from searched import result_of

SEED = zoo.mobilenet_v2(0.35)
IMGSZ = (96, 128)
CLASSES = ["road", "sky", "pole", "ghost"]


def with_kernel(arch: Arch, stage: int, kernel: int) -> Arch:
    """`arch` with another kernel in the first layer of one stage."""
    stages = list(arch.stages)
    old = stages[stage]
    stages[stage] = Stage(old.channels, old.stride, (MBConv(kernel, old.layers[0].expansion), *old.layers[1:]))
    return Arch(arch.stem, tuple(stages), arch.last)


ADAPTED = with_kernel(SEED, 3, 7)


def write(path: Path, content: object) -> None:
    """A JSON file, or a text file where the content is text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def design(arch: Arch) -> Design:
    """The runs' network on a backbone."""
    return Design("seed", arch, parse_head("deeplabv3"), 16, IMGSZ)


def cost(arch: Arch) -> dict[str, int]:
    """Whole model at IMGSZ."""
    return count(design(arch), len(CLASSES)).as_dict()


def metrics(score: float, step: int) -> dict[str, Any]:
    """A validation result; the last class is in neither truth nor prediction."""
    iou = {"road": score + 0.1, "sky": score, "pole": score - 0.1, "ghost": None}
    return {"score": score, "mIoU": score, "pixel_acc": 0.9, "per_class": iou, "confusion": [[1]], "step": step}


def run_base(folder: Path, verb: str = "adapt", arch: str | None = None, **config: Any) -> Path:
    """What every run has from its start."""
    values = {"task": "seg", "weights": "seed.safetensors", "head": "deeplabv3", "output_stride": 16}
    values |= {
        "imgsz": list(IMGSZ),
        "baseline": True,
        "seed": 0,
        "adapt": {"steps": 40, "batch": 4, "lr": 0.02},
        "search": {"trial_steps": 150},
    }
    write(folder / "config.yaml", yaml.safe_dump(values | config))
    command = f"fna {verb} /home/someone/data/streets --out {folder} --weights /srv/models/seed.safetensors"
    machine = {"processor": "Example CPU", "cores": 2, "gpu": None, "torch": "2.15.0", "fna": "0.1.0"}
    write(folder / "env.json", machine | {"command": command})
    write(folder / "run.json", {"verb": verb, "data": "data/streets", "arch": arch})
    splits = {"train": ["a", "b", "c"], "val": ["d"]}
    write(folder / "dataset.json", {"root": "x", "layout": "folders", "classes": CLASSES, "splits": splits})
    source = "none" if config.get("weights") == "none" else "seed.safetensors"
    write(folder / "seed.json", {"source": source, "cost": cost(SEED)})
    write(folder / "seed-design.json", design(SEED).to_json())
    return folder


def add_search(folder: Path, **changes: Any) -> None:
    """A finished search of 6 layers over two replicas, with some of its fields changed."""
    space = expand(SEED, (1, 1, 1, 1, 1, 1))
    decisions = space.layer_decisions((0,) * len(space.searched))
    rows = [[0.1 * c - 0.2 for c in range(len(decision.options))] for decision in decisions]
    known = {"repeatability": 0.25, "wall_seconds": 600.0}
    write_result(folder, result_of(decisions, [rows, rows], **(known | changes)))
    for replica in range(2):
        write(folder / f"search/{replica}/metrics.csv", "step,loss,lr\r\n0,2.5,0.1\r\n20,2.0,0.1\r\n")
    write(folder / "design.json", design(ADAPTED).to_json())
    add_time(folder, "search", 600.0)


def add_training(
    folder: Path, training: str, arch: Arch, best: float, last: float | None = None, done: bool = True
) -> None:
    """A fine-tuned network, finished or interrupted after its first validation."""
    write(folder / training / "design.json", design(arch).to_json())
    write(folder / training / "cost.json", cost(arch))
    rows = ["step,loss,lr,val/mIoU", "0,1.5,0.02,", f"19,1.2,0.01,{best}", "", "39,1.0,0.001,"]
    write(folder / training / "metrics.csv", "\r\n".join(rows) + "\r\n")
    write(folder / training / "best.json", metrics(best, 20))
    if done:
        result = {"best": metrics(best, 20), "last": metrics(best if last is None else last, 40), "steps": 40}
        write(folder / training / "metrics.json", result)
    add_time(folder, training, 1200.0)


def add_time(folder: Path, training: str, seconds: float) -> None:
    """An entry of the cost ledger."""
    path = folder / "cost.json"
    ledger = json.loads(path.read_text()) if path.is_file() else {}
    entry = {"wall_seconds": seconds, "device_hours": seconds / 3600, "device": "cpu", "threads": 2}
    write(path, ledger | {training: entry})


def adapted_run(folder: Path, adapted: float, seed: float) -> Path:
    """A finished `fna adapt` with these best scores of the adapted network and of the seed."""
    run_base(folder)
    add_search(folder)
    add_training(folder, "train", ADAPTED, adapted)
    add_training(folder, "seed", SEED, seed)
    return folder


def rows_of(markdown: str, first: str) -> list[list[str]]:
    """The cells of every table row that starts with this cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    return [cells for cells in lines if cells[0] == first]


def one_row(markdown: str, first: str) -> list[str]:
    """The only row that starts with this cell."""
    rows = rows_of(markdown, first)
    assert len(rows) == 1, f"{len(rows)} rows start with {first!r}"
    return rows[0]


def falling(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The run as one of a task whose score is an error."""
    patch.setitem(TASKS, "depth", replace(TASKS["seg"], name="depth", score=Score("AbsRel", "", False)))
    config = folder / "config.yaml"
    write(config, config.read_text().replace("task: seg", "task: depth"))
    return folder
