"""A study is its plan: complete, in order, and the same table however often it was stopped on the way."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SEED, write_seed

from drawn import TINY, assert_equal_weights, configured, draw_data, stop_at
from fna import jobs
from fna.cli.main import main as cli
from fna.errors import Interrupted, UserError
from fna.report.text import shorten_paths
from fna.search.search import make_space, super_network
from fna.study import effectiveness, strategies
from fna.study.jobs import execute
from fna.study.plan import Step, Study, write_plan
from fna.study.table import Row, write_table
from fna.tasks.segmentation.task import Segmentation
from fna.train.adapt import remapped
from fna.weights.plain import searchable


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("data") / "scenes", train=8, val=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seed(tmp_path_factory.mktemp("seed") / "seed.safetensors", value=7.0)


def study(folder: Path, data: Path, weights: Path, steps: int = 4) -> Study:
    """A search, its network from the seed and from random weights, and the seed's own."""
    search = {"replicas": 1, "epochs": 1, "swap_batches": 1}
    adapt = {"steps": steps, "refresh_steps": 1, "validate_steps": 2}
    config = configured(TINY, weights=str(weights), search=search, adapt=adapt)
    return Study(
        "small",
        folder,
        str(data),
        config,
        (
            Step("search", "search", {}),
            Step("remap-0", "train", {}, arch_of="search"),
            Step("random-0", "train", {"adapt": {"init": "random"}}, arch_of="search"),
            Step("seed-0", "train", {}, arch="seed"),
        ),
    )


def conduct(work: Study, jobs: int = 1) -> dict[str, Any]:
    rows = [Row(name, (f"{name}-0",), "remap") for name in ("remap", "random", "seed")]
    write_plan(work)
    execute(work, lambda: write_table(work, rows, "Small"), jobs)
    table = json.loads((work.folder / "table.json").read_text())
    for row in table["rows"]:
        del row["seconds"]
    return table


@pytest.fixture(scope="module")
def finished(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, Any]]:
    work = study(tmp_path_factory.mktemp("studies") / "whole", data, weights)
    return work, conduct(work)


def test_a_finished_study_has_a_table_and_ordinary_runs(finished: tuple[Study, dict[str, Any]]) -> None:
    work, table = finished
    assert [row["name"] for row in table["rows"]] == ["remap", "random", "seed"]
    assert [step["name"] for step in json.loads((work.folder / "study.json").read_text())["steps"]] == [
        "search",
        "remap-0",
        "random-0",
        "seed-0",
    ]
    best = json.loads((work.folder / "remap-0/train/metrics.json").read_text())["best"]["score"]
    assert table["rows"][0]["best"] == [best]
    text = (work.folder / "table.md").read_text()
    assert "random minus remap" in text
    assert "not finished" not in text
    assert (work.folder / "plot.png").read_bytes()[:4] == b"\x89PNG"
    command = json.loads((work.folder / "remap-0/env.json").read_text())["command"]
    assert f"```sh\n{shorten_paths(command)}\n```" in text


def test_a_studys_table_becomes_a_section(finished: tuple[Study, dict[str, Any]], tmp_path: Path) -> None:
    work, _ = finished
    file = tmp_path / "results.md"
    file.write_text("before\n<!-- results:ours -->\n<!-- /results:ours -->\nafter\n")
    assert cli(["report", str(work.folder), "--into", str(file), "--section", "ours"]) == 0
    table = (work.folder / "table.md").read_text().strip()
    assert file.read_text() == f"before\n<!-- results:ours -->\n##{table}\n<!-- /results:ours -->\nafter\n"


# Losses: 1 step of the super network and its scored paths come first, then 4 steps in each of three trainings.
@pytest.mark.parametrize("at", [1, -2])
def test_a_study_stopped_on_the_way_gives_the_same_table(
    data: Path,
    weights: Path,
    finished: tuple[Study, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    whole, table = finished
    work = study(tmp_path / "stopped", data, weights)
    with monkeypatch.context() as patch:
        if at < 0:
            # Everything up to the trainings is there already.
            shutil.copytree(whole.folder / "search", work.folder / "search")
            shutil.copy(whole.folder / "study.json", work.folder / "study.json")
        stop_at(patch, Segmentation, at if at > 0 else 13 + at)
        with pytest.raises(Interrupted, match="the same command"):
            conduct(work)
    # A process that was killed while it made a folder leaves the beginning of one.
    begun = work.folder / "seed-0"
    if not begun.exists():
        begun.mkdir()
        (begun / "config.yaml").write_text("{}\n")
    assert conduct(work) == table
    assert_equal_weights(work.folder / "seed-0", whole.folder / "seed-0")
    assert not (work.folder / "seed-0-2").exists()


def test_another_command_does_not_go_on_with_a_study(
    data: Path, weights: Path, finished: tuple[Study, dict[str, Any]], tmp_path: Path
) -> None:
    whole, _ = finished
    with pytest.raises(UserError, match=r"config\.adapt\.steps was 4 .* now it is 6"):
        write_plan(study(whole.folder, data, weights, steps=6))
    (tmp_path / "holiday.txt").touch()
    with pytest.raises(UserError, match="not empty and no study"):
        write_plan(study(tmp_path, data, weights))


def test_a_step_that_repeats_another_is_copied_and_says_so(
    data: Path, weights: Path, finished: tuple[Study, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = finished
    again = Step("again-0", "train", {"search": {"epochs": 9}}, arch=str(whole.folder / "search/design.json"))
    more = Study(whole.name, whole.folder, whole.data, whole.config, (*whole.steps, again))
    monkeypatch.setattr(Segmentation, "losses", None)  # nothing may be trained
    execute(more, lambda: None)
    assert_equal_weights(whole.folder / "again-0", whole.folder / "remap-0")
    assert "copied from remap-0" in (whole.folder / "again-0/log.txt").read_text()


@pytest.mark.slow
def test_steps_side_by_side_give_the_same_table(
    data: Path, weights: Path, finished: tuple[Study, dict[str, Any]], tmp_path: Path
) -> None:
    assert conduct(study(tmp_path / "jobs", data, weights), jobs=2) == finished[1]


@pytest.mark.parametrize("start", ["remap", "random", "kaiming"])
def test_only_remapping_puts_the_seeds_weights_into_target_and_super_network(
    data: Path, weights: Path, start: str
) -> None:
    # Every convolution weight of the seed is 7, which neither distribution gives twice.
    changes = {"weights": str(weights), "search": {"init": start}, "adapt": {"init": start}}
    config, any_seed, task = jobs.prepare(data, configured(TINY, **changes))
    seed = searchable(any_seed)
    target, report = remapped(config, task, seed, task.design(seed.name, SEED))
    super_net = super_network(config, task, seed, make_space(task, seed, config.search), 0)
    for network in (target, super_net):
        tensors = [t for t in network.backbone.state_dict().values() if t.ndim == 4]
        share = torch.cat([t.flatten() == 7 for t in tensors]).double().mean()
        assert share == 0 if start != "remap" else share > 0.5
    assert (report is None) == (start != "remap")


def test_the_plan_of_effectiveness_has_every_row_after_what_it_needs() -> None:
    config = configured(TINY, weights="seed.safetensors")
    given = {"out": "out", "data": "d", "classification": "c", "classification_recipe": None}
    steps = effectiveness.plan(config, given, range(2)).steps
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for random_seed in range(2):
        assert {f"search-{start}-{random_seed}" for start in ("random", "remap", "kaiming")} <= set(names)
        columns = ("random-random", "remap-random", "random-remap", "remap-pretrained", "remap-remap")
        assert {f"{column}-{random_seed}" for column in columns} <= set(names)
    for n, step in enumerate(steps):
        assert step.needs <= set(names[:n])
    (classifier,) = (step for step in steps if step.name == "classifier-1")
    assert (classifier.data, classifier.arch_of, classifier.changes["task"]) == ("c", "search-remap-1", "cls")
    assert classifier.changes["adapt"]["init"] == "kaiming"
    (target,) = (step for step in steps if step.name == "remap-pretrained-1")
    assert (target.seed_of, target.arch_of) == ("classifier-1", "search-remap-1")
    without = effectiveness.plan(config, given | {"classification": None}, range(1)).steps
    assert not [step.name for step in without if "pretrained" in step.name or "classifier" in step.name]


def test_the_papers_figures_are_those_of_its_tables() -> None:
    # Paper, Tables 5 and 6, from left to right.
    assert [round(100 * value, 1) for value in effectiveness.PAPER.values()] == [72.4, 73.0, 76.0, 76.5, 76.6]
    assert [round(100 * value, 1) for *_, value in strategies.STRATEGIES.values()] == [75.8, 75.8, 75.3, 75.6, 76.6]


def test_strategies_set_both_remappings_and_narrow_every_searched_layer(data: Path, weights: Path) -> None:
    config = configured(TINY, weights=str(weights))
    given = {"out": "out", "data": str(data), "arch": None, "seeds": 1}
    work = strategies.plan(config, given)
    by_name = {step.name: step for step in work.steps}
    for name, width, kernel in (("Width-L1", "l1", "centre"), ("Kernel-Dilate", "first", "dilate")):
        for step in (f"search-{name}-0", f"{name}-0"):
            remap = work.config_of(by_name[step]).remap
            assert (remap.width, remap.kernel) == (width, kernel)
    assert "Kernel-Dilate-narrow-0" not in by_name
    # MobileNetV2 has 17 bottlenecks, all but the first of expansion 6.
    assert strategies.exercised(SEED, work.archs["narrow"]) == (16, 0)
