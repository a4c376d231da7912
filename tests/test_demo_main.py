"""The demonstration from drawing to its last table, for both tasks."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fna.cli.main import main
from fna.demo import demo
from fna.demo.main import Trained, compared, final_table
from fna.demo.pretrain import Pretraining
from fna.errors import UserError
from fna.tasks.kinds import TASKS
from fna.weights.checkpoint import load_network

TINY = Pretraining(size=(32, 32), steps=2, batch=8, warmup_steps=1, val_pictures=8)
SEARCH = {"epochs": 0.1, "warmup_epochs": 0, "swap_batches": 1, "batch": 4, "kernels": [3, 5], "trials": 0}
ADAPT = {"steps": 2, "refresh_steps": 1, "batch": 2, "warmup_steps": 1}
BELOW_THE_SEED = {"seg": ("5.3M",), "det": ("3.65M",)}
"""So on no machine is the seed kept."""
SCORES = {"seg": "val mIoU", "det": "val AP | val AP50"}


def tiny_demo(out: Path, task: str, budget: tuple[str, ...] = (), **search: Any) -> Path:
    """The whole demonstration with a step or two of everything."""
    changes = {"search": SEARCH | search, "adapt": ADAPT, "imgsz": (32, 64), "device": "cpu", "budget": budget}
    return demo(out, 0, TINY, task, **changes)


def rows(report: str) -> dict[str, list[str]]:
    """The cells of a report's table by the first one of each row."""
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in report.splitlines() if line.startswith("|")]
    return {name: rest for name, *rest in cells[2:]}


def test_the_final_table_has_percent_and_billions_and_a_dash_for_what_is_unknown() -> None:
    first = Trained("seed architecture", (0.4193, 0.7), 65_808_432, 1_234_567, 24.6)
    second = Trained("adapted network", (0.5, None), 65_000_000, 900_000, None)
    assert final_table([first, second], TASKS["det"]).splitlines() == [
        "| network | val AP | val AP50 | MAdds | params | fine-tuning, s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| seed architecture | 41.9 | 70.0 | 0.0658 G | 1.23 M | 25 |",
        "| adapted network | 50.0 | – | 0.0650 G | 0.90 M | – |",
    ]


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (0.45, "a is better than b: +5.0 points."),
        (0.41, "a is not clearly better or worse than b: +1.0 points, which chance can make."),
        (0.35, "a is NOT better than b: -5.0 points."),
    ],
)
def test_what_is_not_clearly_better_is_not_called_better(ours: float, said: str) -> None:
    a, b = (Trained(name, (score,), 1, 1, None) for name, score in (("a", ours), ("b", 0.4)))
    assert compared(a, b, TASKS["seg"].score) == said


@pytest.mark.slow
@pytest.mark.parametrize("task", SCORES)
def test_the_demonstration_compares_three_networks_of_which_one_starts_from_random_weights(
    tmp_path: Path, task: str
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").write_text("not to be touched", encoding="utf-8")
    folder = tiny_demo(tmp_path / "demo", task, BELOW_THE_SEED[task], replicas=1)

    assert folder == tmp_path / "demo-2"
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert f"| network | {SCORES[task]} | MAdds | params | fine-tuning, s |" in report
    under = {"seg": ["seed architecture under deeplabv3, the paper's way", "seed architecture under fpn"]}
    assert list(rows(report)) == [
        *under.get(task, ["seed architecture"]),
        "adapted network",
        "adapted architecture from random weights",
    ]
    assert "–" not in report
    assert (folder / "adapted" / "report.md").is_file()
    _, remapped = load_network(folder / "adapted/train/best.safetensors")
    _, untrained = load_network(folder / "random/train/best.safetensors")
    assert remapped == replace(
        untrained, design=replace(untrained.design, seed="seed")
    )  # the same architecture, head, classes and normalisation; other weights
    assert remapped.task == task
    assert (folder / "adapted/train/remap.txt").is_file()
    assert not (folder / "random/train/remap.txt").exists()
    with (folder / "random/train/metrics.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("task", SCORES)
def test_a_search_that_keeps_the_seed_has_one_row_for_both_and_says_so(tmp_path: Path, task: str) -> None:
    folder = tiny_demo(tmp_path / "demo", task, replicas=2, caution=1e9)
    assert not (folder / "adapted/seed").exists()
    report = (folder / "report.md").read_text(encoding="utf-8")
    names = ["seed architecture under deeplabv3, the paper's way", "seed architecture under fpn = adapted network"]
    names = names if task == "seg" else ["seed architecture = adapted network"]
    assert list(rows(report)) == [*names, "seed architecture from random weights"]
    *_, one, other = rows(report).values()
    assert one[-3:-1] == other[-3:-1]  # MAdds and params: the same architecture
    assert "the adapted network has the seed's own architecture" in report


def test_a_task_that_is_none_is_one_clear_error_and_draws_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--task", "x", "--out", str(tmp_path / "demo")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--task" in line
    assert "'seg', 'det'" in line
    with pytest.raises(UserError, match="unknown task 'x'. Allowed: det, seg"):
        demo(tmp_path / "demo", task="x")
    assert not (tmp_path / "demo").exists()
