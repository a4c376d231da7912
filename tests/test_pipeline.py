"""The whole pipeline on a small drawn data set, stage by stage, with interruptions."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from drawn import TINY, assert_equal_weights, configured, draw_data, stop_at
from fna import jobs, pipeline
from fna.arch import zoo
from fna.arch.design import Design
from fna.arch.heads import parse_head
from fna.config.config import Config
from fna.config.files import load_config
from fna.errors import Interrupted, UserError
from fna.files import read_metrics
from fna.nn.backbone import Backbone
from fna.nn.network import Network
from fna.report import write_report
from fna.search.search import make_space
from fna.tasks.segmentation.task import Segmentation
from fna.use.load import load
from fna.weights.checkpoint import ARCH_KEY
from searched import timeless

BUDGET = ["5.55M"]
"""Below the seed's 5.60 M, so on no machine is the seed kept."""


def config(**changes: Any) -> Config:
    return configured(TINY, **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished `fna adapt` run."""
    job = jobs.start("adapt", data, tmp_path_factory.mktemp("runs") / "a", config(budget=BUDGET))
    return pipeline.execute("adapt", job)


def weights(run: Path, training: str = "train") -> dict[str, torch.Tensor]:
    return load_file(run / training / "last.safetensors")


def test_adapt_leaves_every_file_that_the_next_step_or_a_reader_needs(finished: Path) -> None:
    files = "config.yaml env.json run.json dataset.json seed.json log.txt cost.json design.json report.md"
    names = f"{files} search/result.json"
    trainings = [
        f"{training}/{file}"
        for training in ("train", "seed")
        for file in ("metrics.csv", "metrics.json", "best.safetensors", "last.ckpt", "design.json", "cost.json")
    ]
    assert [name for name in [*names.split(), *trainings] if not (finished / name).is_file()] == []


def test_the_derived_network_costs_no_more_than_its_seed(finished: Path) -> None:
    train, seed = (json.loads((finished / training / "cost.json").read_text()) for training in ("train", "seed"))
    assert train["madds"] <= seed["madds"]
    assert Design.load(finished / "design.json").arch == Design.load(finished / "train" / "design.json").arch


def test_the_same_random_seed_gives_the_same_weights(data: Path, finished: Path, tmp_path: Path) -> None:
    again = pipeline.execute("adapt", jobs.start("adapt", data, tmp_path / "again", config(budget=BUDGET)))
    assert (again / "design.json").read_text() == (finished / "design.json").read_text()
    assert_equal_weights(again, finished)


def test_norms_after_dropout_are_refreshed_alike_with_the_same_random_seed(data: Path, tmp_path: Path) -> None:
    one, two = (pipeline.train(data, "seed", tmp_path / n, **config(head="dpc").model_dump()) for n in ("a", "b"))
    assert_equal_weights(one, two)


def test_where_no_change_earns_its_cost_the_seed_is_kept_and_trained_once(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = jobs.start("adapt", data, tmp_path / "c", config(search={"caution": 1e6}))
    run = pipeline.execute("adapt", job)
    assert Design.load(run / "design.json").arch == job.seed.arch
    assert (run / "train/metrics.json").is_file()
    assert not (run / "seed").exists()
    assert "no change earned its cost" in capsys.readouterr().out


def test_another_random_seed_gives_other_weights(data: Path, finished: Path, tmp_path: Path) -> None:
    arch = str(finished / "design.json")
    other = pipeline.execute("train", jobs.start("train", data, tmp_path / "b", config(seed=1), arch), arch)
    one, two = weights(finished), weights(other)
    assert not torch.equal(one["head.score.conv.weight"], two["head.score.conv.weight"])


# Losses are computed in two replicas of 6 weight steps and 2 x 27 scored paths, then in 6 steps each of both trainings.
@pytest.mark.parametrize("at", [2, 30, 100, 123, 129])
def test_a_run_stopped_by_ctrl_c_resumes_to_the_same_weights(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    job = jobs.start("adapt", data, tmp_path / "stopped", config(budget=BUDGET))
    with monkeypatch.context() as patch:
        stop_at(patch, Segmentation, at)
        with pytest.raises(Interrupted):
            pipeline.execute("adapt", job)
    verb, job, arch = jobs.reopen(job.run.folder)
    resumed = pipeline.execute(verb, job, arch)
    assert timeless(resumed) == timeless(finished)
    assert_equal_weights(resumed, finished)
    assert_equal_weights(resumed, finished, "seed")
    rows = [row["step"] for row in read_metrics(resumed / "train/metrics.csv")]
    assert rows == [row["step"] for row in read_metrics(finished / "train/metrics.csv")]


def test_a_run_killed_before_it_was_described_goes_on(data: Path, tmp_path: Path) -> None:
    run = jobs.start("train", data, tmp_path / "begun", config(), "seed").run.folder
    described = {name: (run / name).read_text() for name in ("dataset.json", "seed.json", "seed-design.json")}
    for name in described:
        (run / name).unlink()
    verb, job, arch = jobs.reopen(run)
    pipeline.execute(verb, job, arch)
    assert {name: (run / name).read_text() for name in described} == described
    assert (run / "report.md").is_file()


def test_a_run_killed_after_its_last_step_only_writes_what_is_missing(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    for name in (
        "train/metrics.json",
        "train/last.safetensors",
        "design.json",
        "search/result.json",
        "search/1/logits.json",
    ):
        (run / name).unlink()
    verb, job, arch = jobs.reopen(run)
    pipeline.execute(verb, job, arch)
    assert (run / "train/metrics.json").read_text() == (finished / "train/metrics.json").read_text()
    assert timeless(run) == timeless(finished)
    assert_equal_weights(run, finished)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    flags = ["--backbone", "mobilenet_v2_w010", "--threads", "1", "--adapt.steps", "40", "--adapt.batch", "4"]
    flags += ["--adapt.augment.crop", "32", "--adapt.validate_steps", "10", "--adapt.refresh_steps", "1"]
    command = [sys.executable, "-m", "fna.cli.main", "train"]
    environment = os.environ | {"PYTHONPATH": str(Path(pipeline.__file__).parents[1])}

    def fna(*words: str) -> None:
        subprocess.run([*command, *words], check=True, env=environment, capture_output=True)

    fna(str(data), *flags, "--out", str(tmp_path / "whole"))
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [*command, str(data), *flags, "--out", str(killed), "--checkpoint_minutes", "0.0001"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    while not (killed / "train/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (killed / "train/metrics.json").exists()
    fna("--resume", str(killed))
    assert_equal_weights(killed, tmp_path / "whole")


def test_the_papers_search_moves_the_alphas_and_writes_them_over_time(data: Path, tmp_path: Path) -> None:
    paper = {"method": "alphas", "share": False, "norm": "plain", "replicas": 1, "alpha_lr": 0.1}
    run = pipeline.execute("search", jobs.start("search", data, tmp_path / "p", config(search=paper)))
    rows = read_metrics(run / "search/0/alphas.csv")
    assert len(rows) == 2  # three epochs, alphas from the second
    columns = [name for name in rows[0] if name.startswith("stages.1.0.")]
    assert sum(float(rows[-1][name]) for name in columns) == pytest.approx(1)
    assert any(abs(float(rows[-1][name]) - 1 / len(columns)) > 0.01 for name in columns)
    costs = [row["expected_gmadds"] for row in read_metrics(run / "search/0/metrics.csv") if row["expected_gmadds"]]
    assert len(costs) == 4


def test_expansions_of_a_search_may_be_fractions_and_keep_one_name(data: Path, tmp_path: Path) -> None:
    how = {"depths": [2, 3, 4, 3, 3, 1], "kernels": [3], "expansions": [2.5, 6]}
    job = pipeline.start("search", data, tmp_path / "r", config(search=how))
    again = load_config(job.run.folder / "config.yaml")
    assert list(map(str, again.search.expansions)) == ["2.5", "6"]
    found = dict(make_space(job.task, job.searched, again.search).searched)
    assert set(map(str, found["stages.2.1"])) == {"k3_e2.5", "k3_e6", "skip"}


def test_a_heavy_cost_weight_searches_out_the_cheapest_network(data: Path, tmp_path: Path) -> None:
    paper = {"method": "alphas", "replicas": 1, "alpha_lr": 0.3, "cost_weight": 1e5, "epochs": 25}
    paper |= {"alpha_clip": 0, "expansions": [3, 6]}
    run = pipeline.execute("search", jobs.start("search", data, tmp_path / "p", config(search=paper)))
    found = Design.load(run / "design.json").arch
    assert {str(op) for stage in found.stages[1:] for op in stage.layers} == {"k3_e3"}
    assert [len(stage.layers) for stage in found.stages] == [1] * 7


def test_several_budgets_come_from_one_search_and_none_is_exceeded(data: Path, finished: Path, tmp_path: Path) -> None:
    seed = json.loads((finished / "seed.json").read_text())["cost"]["madds"]
    texts = [str(int(seed * share)) for share in (0.97, 0.99)]
    job = jobs.start("search", data, tmp_path / "b", config(budget=texts))
    run = pipeline.execute("search", job)
    costs = [job.count(Design.load(run / f"design-{text}.json").arch).madds for text in texts]
    assert all(cost <= int(text) for cost, text in zip(costs, texts, strict=True))
    assert costs[0] <= costs[1]


def test_further_budgets_leave_the_first_architecture_alone(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    seed = json.loads((run / "seed.json").read_text())["cost"]["madds"]
    before, budget = (run / "design.json").read_text(), str(int(0.97 * seed))
    pipeline.derive_again(run, budget)
    job = jobs.reopen(run)[1]
    assert job.count(Design.load(run / f"design-{budget}.json").arch).madds <= int(budget)
    assert (run / "design.json").read_text() == before


def test_an_architecture_edited_by_hand_is_the_one_that_is_trained(data: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "train")
    edited = zoo.lookup("fna_deeplabv3_w010")
    (run / "design.json").write_text(replace(Design.load(run), arch=edited).to_json())
    verb, job, arch = jobs.reopen(run)
    pipeline.execute(verb, job, arch)
    assert Design.load(run / "train/design.json").arch == edited


def test_in_a_run_the_backbone_of_a_design_may_be_edited_but_not_what_is_around_it(
    finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    design = Design.load(run)
    edits = (
        replace(design, head=parse_head("lraspp")),
        replace(design, output_stride=8),
        replace(design, imgsz=(16, 24), resize=True),
    )
    for edited in edits:
        (run / "design.json").write_text(edited.to_json())
        verb, job, arch = jobs.reopen(run)
        with pytest.raises(UserError, match=r"design\.json has another head, output stride or image size than its run"):
            pipeline.execute(verb, job, arch)


def test_a_design_says_whether_images_are_resized(data: Path, tmp_path: Path) -> None:
    changes: tuple[dict[str, Any], ...] = ({}, {"imgsz": (24, 32)}, {"imgsz": 24, "detection": {"short_side": 40}})
    designs = [
        Design.load(pipeline.start("train", data, tmp_path / "run", config(**how)).run.folder) for how in changes
    ]
    assert [design.resize for design in designs] == [False, True, True], "a short side is for boxes alone"
    assert [design.imgsz for design in designs[1:]] == [(24, 32), (24, 24)]


def test_an_architecture_that_cannot_be_trained_is_refused_before_a_folder_is_made(data: Path, tmp_path: Path) -> None:
    arch = zoo.lookup("mobilenet_v2_w010")
    fewer = replace(arch, stages=arch.stages[:-1])
    halved = replace(arch, stages=tuple(replace(stage, stride=1) for stage in arch.stages))
    seed = tmp_path / "seed.safetensors"
    weights = Network(Backbone(arch), nn.Identity()).state_dict()
    save_file(dict(weights), seed, {ARCH_KEY: arch.to_json()})
    for wrong, how, words in (
        (fewer, {"weights": str(seed)}, "the seed has 7 stages, the target 6"),
        (halved, {"head": "fpn"}, "no stage at stride 4"),
    ):
        (tmp_path / "mine.json").write_text(wrong.to_json())
        with pytest.raises(UserError, match=words):
            jobs.start("train", data, tmp_path / "run", config(**how), str(tmp_path / "mine.json"))
        assert not (tmp_path / "run").exists()


def test_a_design_is_trained_as_it_says_and_again_without_its_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arch = zoo.lookup("fna_retinanet_w010")
    given = Design("another", arch, parse_head("lraspp(width=16)"), 16, (24, 32), resize=True)
    (tmp_path / "mine.json").write_text(given.to_json())
    # The head of the configuration gives way to the design's.
    how = config(head="deeplabv3")
    job = jobs.start("train", data, tmp_path / "run", how, str(tmp_path / "mine.json"))
    with monkeypatch.context() as patch:
        stop_at(patch, Segmentation, 4)
        with pytest.raises(Interrupted):
            pipeline.execute("train", job, str(tmp_path / "mine.json"))
    (tmp_path / "mine.json").unlink()
    verb, job, text = jobs.reopen(tmp_path / "run")
    pipeline.execute(verb, job, text)
    trained = load(tmp_path / "run").info.design
    assert trained == replace(given, seed="none")
    assert Design.load(tmp_path / "run") == trained


def test_a_run_of_before_designs_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    for name, text in (("config.yaml", "task: seg"), ("run.json", "{}"), ("seed-arch.json", "{}")):
        (folder / name).write_text(text)
    before = sorted(file.name for file in folder.iterdir())
    for read in (jobs.reopen, write_report, pipeline.validate):
        with pytest.raises(UserError, match="a run of before networks had designs.*run it again"):
            read(folder)
    assert sorted(file.name for file in folder.iterdir()) == before


def test_a_budget_below_the_smallest_network_names_the_smallest(data: Path, tmp_path: Path) -> None:
    job = jobs.start("search", data, tmp_path / "b", config(budget=["1000"]))
    with pytest.raises(UserError, match=r"below the smallest network of this space, 0\.\d+ G"):
        pipeline.execute("search", job)


def test_a_run_folder_is_never_overwritten(data: Path, tmp_path: Path) -> None:
    folders = [jobs.start("train", data, tmp_path / "r", config()).run.folder.name for _ in range(3)]
    assert folders == ["r", "r-2", "r-3"]


def test_validation_of_a_finished_run_gives_the_metrics_it_reported(finished: Path) -> None:
    again = pipeline.validate(finished)
    reported = json.loads((finished / "train/metrics.json").read_text())["best"]
    assert again["mIoU"] == reported["mIoU"]
    assert again["confusion"] == reported["confusion"]


def test_only_training_steps_are_compiled_and_weights_keep_their_names(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[bool] = []

    def compile_as_is(module: torch.nn.Module) -> None:
        def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
            modes.append(torch.is_grad_enabled())
            return graph

        module._compiled_call_impl = torch.compile(module._call_impl, backend=backend)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_as_is)
    arch = str(finished / "seed-design.json")
    run = pipeline.train(data, arch, tmp_path / "compiled", **config(compile=True).model_dump())
    given = pipeline.train(data, arch, tmp_path / "given", **config().model_dump())
    assert modes
    assert all(modes)  # neither norms' refresh nor validation
    assert_equal_weights(run, given)


def test_data_with_errors_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    folder = draw_data(tmp_path / "scenes")
    (folder / "masks/train/3.png").unlink()
    with pytest.raises(UserError, match="fna check"):
        jobs.start("train", folder, tmp_path / "r", config())
    assert not (tmp_path / "r").exists()


def test_any_architecture_can_be_trained_by_name(data: Path, tmp_path: Path) -> None:
    arch = "fna_deeplabv3_w010"
    run = pipeline.execute("train", jobs.start("train", data, tmp_path / "r", config(), arch), arch)
    assert Design.load(run / "train/design.json").arch == zoo.lookup(arch)
