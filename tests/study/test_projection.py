"""`fna study cost --project`: iterations worked by hand, a clock that is known, and the row in the paper's table."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from cost_runs import rows, write_run

from drawn import TINY
from fna.cli.main import main
from fna.config.config import Config
from fna.config.files import from_data, load_config, recipe_path
from fna.study import projection
from fna.study.cost import hours_and_days
from fna.study.projection import parts_of, project

SECONDS = 2
TINY_DETECTION: dict[str, Any] = {
    "task": "det",
    "head": "ssdlite",
    "imgsz": "64x96",
    "search": TINY["search"] | {"method": "alphas", "depths": [2, 3, 4, 3, 3, 1], "expansions": [3, 6]},
}


@pytest.fixture
def two_seconds_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is read at the start and at the end of every timed step."""
    ticks: Iterator[int] = count(step=SECONDS)
    monkeypatch.setattr(projection, "perf_counter", lambda: next(ticks))


def write_recipe(path: Path, task: str = "seg", **changes: Any) -> Path:
    path.write_text(yaml.safe_dump(TINY | {"task": task} | changes), encoding="utf-8")
    return path


def iterations(config: Config, images: int) -> dict[str, int]:
    return {part.name: part.iterations for part in parts_of(config, images)}


def of_recipe(name: str, images: int) -> dict[str, int]:
    return iterations(load_config(recipe_path(name)), images)


def test_iterations_of_the_papers_recipes() -> None:
    # 80 % of 2975 images are 2380, 148 batches of 16; 80 epochs of weights, 50 of alphas; the rest as printed (4.1).
    assert of_recipe("cityscapes-deeplabv3", 2975) == {
        "weight steps": 80 * 148,
        "alpha steps": 50 * 148,
        "norm refresh batches": 2000,
        "fine-tuning steps": 100_000,
    }
    # Half of 118287 images is 59143, 462 batches of 128; an alpha step every 5; 60 epochs of 5 passes at batch 512.
    assert of_recipe("coco-ssdlite", 118_287) == {
        "weight steps": 24 * 462,
        "alpha steps": 1109,  # 12 * 462 / 5 = 1108.8
        "fine-tuning steps": 69_309,  # 300 * 118287 / 512 = 69308.8
    }


def test_iterations_of_swaps_count_replicas_budgets_and_the_seed_in_the_trials() -> None:
    how = {"epochs": 3, "alpha_split": 0.2, "batch": 2, "replicas": 2, "swap_batches": 3, "trials": 2, "trial_steps": 4}
    config = from_data({"search": how, "adapt": {"steps": 7, "refresh_steps": 5}, "budget": ["1G", "2G"]})
    assert iterations(config, 10) == {
        "weight steps": 2 * 3 * 4,  # 8 images, 4 batches
        "scored batches": 2 * 3,
        "norm refresh batches of trials": (2 * 2 + 1) * 4,  # no more of it than there are steps
        "steps of trials": (2 * 2 + 1) * 4,
        "norm refresh batches": 5,
        "fine-tuning steps": 7,
    }


@pytest.mark.usefixtures("two_seconds_a_step")
def test_hours_are_seconds_times_iterations_and_marked_as_projected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = write_recipe(tmp_path / "tiny.yaml"), tmp_path / "out"
    run = write_run(tmp_path / "a", "seg", {"search": 3600})
    words = ["--project", recipe, "--images", 12, "--classes", 3, "--batch", 2, "--steps", 1, "--out", out]
    found = rows(capsys, run, *words)
    # Weights: 8 of 12 images, 2 batches of 4, 3 epochs, 2 replicas; 4 scored batches. Steps of 2 of 4 images take 2 s.
    search, adapt = (12 + 4) * SECONDS * 2 / 3600, (2 + 6) * SECONDS * 2 / 3600
    assert found["a (measured)"][0] == "1 h = 0.042 d"
    cells = [cell.split(" h")[0] for cell in found["tiny (projected)"][:3]]
    assert list(map(float, cells)) == pytest.approx([search + adapt, search, adapt], rel=0.005)
    assert found["tiny (projected)"][3].endswith("(CPU, threads: 1)")
    _, row = json.loads((out / "table.json").read_text())["rows"]
    assert row["projected"]
    assert (row["search_hours"], row["adapt_hours"]) == pytest.approx((search, adapt))
    text = (out / "table.md").read_text()
    assert "12 weight steps of batch 4 at 4 s (timed with batch 2 and scaled linearly)" in text
    assert "not run" in text
    assert "validations are left out" in text


@pytest.mark.usefixtures("two_seconds_a_step")
def test_detection_by_alphas_at_the_size_of_the_recipe(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "boxes.yaml", **TINY_DETECTION)
    found = project(str(recipe), 12, 2, None, 1)
    assert found.shapes == {"search": (64, 96), "adapt": (64, 96)}
    assert {timed.part.name: timed.part.iterations for timed in found.parts} == {
        "weight steps": 12,
        "alpha steps": 8,  # of 6 steps a replica the first epoch, 2, has none
        "norm refresh batches": 2,
        "fine-tuning steps": 6,
    }
    assert {timed.measured_batch for timed in found.parts} == {4}
    assert found.hours("search") == pytest.approx((12 + 8) * SECONDS / 3600)


@pytest.mark.parametrize(
    ("hours", "text"), [(1.4, "1.4 h = 0.058 d"), (999.6, "1000 h = 42 d"), (4020, "4020 h = 168 d"), (None, "–")]
)
def test_months_are_read_as_easily_as_minutes(hours: float | None, text: str) -> None:
    assert hours_and_days(hours) == text


def test_the_median_leaves_out_the_step_to_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([0, 100, 100, 101, 101, 104, 104, 109])  # steps of 100, 1, 3 and 5 s
    monkeypatch.setattr(projection, "perf_counter", lambda: next(readings))
    config = load_config(write_recipe(tmp_path / "tiny.yaml"))
    done: list[int] = []
    assert projection.seconds_of(projection.Run(tmp_path, config), lambda: done.append(1), 3) == 3
    assert len(done) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--project", "cityscapes-deeplabv4"], "did you mean 'cityscapes-deeplabv3'"),
        (["--project", "{tiny}"], "give --images N and --classes N"),
        (["--project", "{tiny}", "--images", "12"], "give --classes N"),
        (["--project", "{tiny}", "--images", "1", "--classes", "3"], "of 1 training images for the alphas"),
        (["--project", "{tiny}", "--steps", "0"], "--steps must be at least 1"),
        (["--project", "{any}", "--images", "12", "--classes", "3"], "task is 'auto'"),
        (["--project", "coco-ssdlite", "--batch", "1"], "at least 2 images"),
        (["--project", "coco-ssdlite", "--project", "cityscapes-deeplabv3"], "tasks det, seg"),
        ([], "give run folders, or --project RECIPE"),
    ],
)
def test_what_cannot_be_projected_is_said(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {task: write_recipe(tmp_path / f"{task}.yaml", name) for task, name in (("tiny", "seg"), ("any", "auto"))}
    assert main(["study", "cost", *(word.format(**files) for word in words)]) == 2
    assert message in capsys.readouterr().err
