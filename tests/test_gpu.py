"""What is different on a CUDA device; all of it is skipped without one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning_fabric import Fabric

import fna.nn.heads.parts
from alphas import gradients_of, spread_alphas
from benchmarks.alpha_step import one_by_one, ours, start
from benchmarks.cases import opened, small_cases
from benchmarks.peak import peak_memory
from benchmarks.settings import Settings
from drawn import TINY, assert_equal_weights, configured, draw_data, stop_at
from drawn_boxes import TINY_BOXES, draw_boxes
from fna.config.config import Config
from fna.data.samples import IGNORE
from fna.errors import Interrupted
from fna.files import read_metrics
from fna.pipeline import execute, reopen
from fna.pipeline import start as begin
from fna.runs import processes
from fna.runs.run import Run
from fna.tasks.segmentation.task import Segmentation
from fna.train.adapt import remapped
from fna.train.evaluate import to_device
from fna.use.predict import predict

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

ALPHAS: dict[str, Any] = {"method": "alphas", "alpha_lr": 0.05, "expansions": [3, 6]}


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("masks") / "data")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_boxes(tmp_path_factory.mktemp("boxes") / "data")


@pytest.fixture
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def _single_precision() -> Iterator[None]:
    """Without TF32, in which convolutions round their inputs to 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_gpu(base: dict[str, Any] = TINY, **changes: Any) -> Config:
    return configured(base, device="cuda", **changes)


def run(verb: str, data: Path, config: Config, out: Path) -> Path:
    return execute(verb, begin(verb, data, out, config))


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("share", [False, True])
def test_alpha_gradients_are_those_of_the_straightforward_form(share: bool) -> None:
    settings = Settings("cuda", size="tiny")
    with opened(small_cases(settings, share=share, norm="seed", batch=8)[0], settings) as bench:
        bench.run.engine.fabric = Fabric(accelerator="cuda", devices=1, precision="64-true")
        network, batch = start(bench), bench.search_batch()
        batch["image"] = batch["image"].double()
        spread_alphas(network.backbone)
        expected = gradients_of(*one_by_one(bench, network, batch, True))
        found = gradients_of(*ours(bench, network, batch))
    for mine, theirs in zip(found, expected, strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < 1e-4


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
@pytest.mark.parametrize("case", [0, 1])
def test_a_recorded_mixture_is_the_mixture(case: int, precision: str) -> None:
    settings = Settings("cuda", size="tiny")
    with opened(small_cases(settings, share=False)[case].having(precision=precision), settings) as bench:
        network, run = start(bench), bench.run
        supernet, model = network.backbone, run.engine.setup(network).train()
        assert supernet.record_mixture
        found: list[tuple[torch.Tensor, ...]] = []
        for time in (1, 2):  # with other images and alphas
            torch.manual_seed(time)
            images = to_device(run, bench.search_batch() | {"image": torch.randn(bench.search_batch()["image"].shape)})
            spread_alphas(supernet)
            for recorded in (True, False):
                supernet.record_mixture = recorded
                buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
                torch.manual_seed(0)  # of the dropout
                outputs = model(images["image"])
                loss = sum(bench.task.losses(outputs, images).values())
                run.engine.backward(loss, supernet.alphas, inputs=list(supernet.alphas))
                found.append(tuple(alpha.grad.clone() for alpha in supernet.alphas))
                network.zero_grad()
                after = {name: buffer.clone() for name, buffer in network.named_buffers()}
                network.load_state_dict(buffers, strict=False)  # both begin with the same norm statistics
                found.append(tuple(after.values()))
    (first, stats), (eager, eager_stats), (again, _), (other, _) = zip(found[::2], found[1::2], strict=True)
    assert not torch.equal(first[0], again[0])
    for mine, theirs in zip((*first, *again), (*eager, *other), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)
    for mine, theirs in zip(stats, eager_stats, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("_double")
def test_loss_and_gradients_are_those_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fna.nn.heads.parts, "DROPOUT", 0.0)  # which draws other numbers on each device
    found = {}
    for device in ("cpu", "cuda"):
        settings = Settings(device, size="tiny")
        with opened(small_cases(settings, share=False)[0], settings) as bench:
            network, _ = remapped(bench.config, bench.task, bench.seed, bench.seed.arch)
            network.to(device).train()
            bench.task.class_weights = torch.linspace(0.5, 2, len(bench.task.classes)).float()
            batch = {key: value.to(device) for key, value in bench.adapt_batch().items()}
            batch["mask"][0, :20] = IGNORE
            (loss,) = bench.task.losses(network(batch["image"].double()), batch).values()
            loss.backward()
            found[device] = [loss.detach().cpu(), *(p.grad.cpu() for p in network.parameters())]
    for mine, theirs in zip(found["cuda"], found["cpu"], strict=True):
        assert float((mine - theirs).norm()) < 1e-4 * (float(theirs.norm()) + 1e-6)


@pytest.mark.parametrize("method", ["alphas", "swaps"])
def test_the_same_random_seed_gives_the_same_weights(method: str, masks: Path, tmp_path: Path) -> None:
    config = on_gpu(search=ALPHAS if method == "alphas" else {}, baseline=False)
    one, two = (run("adapt", masks, config, tmp_path / name) for name in "ab")
    assert (one / "design.json").read_text() == (two / "design.json").read_text()
    assert_equal_weights(one, two)


@pytest.mark.parametrize("head", ["ssdlite", "retinanet"])
def test_detectors_with_the_same_random_seed_have_the_same_weights(head: str, boxes: Path, tmp_path: Path) -> None:
    one, two = (run("train", boxes, on_gpu(TINY_BOXES, head=head), tmp_path / name) for name in "ab")
    assert_equal_weights(one, two)


def test_an_interrupted_training_ends_as_if_it_had_not_been(
    masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("train", masks, on_gpu(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, Segmentation, 4)
        with pytest.raises(Interrupted):
            run("train", masks, on_gpu(), tmp_path / "again")
    verb, job, arch = reopen(tmp_path / "again")
    assert_equal_weights(whole, execute(verb, job, arch))


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("task", ["masks", "boxes"])
def test_the_pipeline_runs_in_mixed_precision(
    precision: str, task: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data: Path = request.getfixturevalue(task)
    config = on_gpu(TINY_BOXES if task == "boxes" else TINY, precision=precision, search=ALPHAS)
    folder = run("adapt", data, config, tmp_path / "run")
    rows = [row for training in ("train", "seed") for row in read_metrics(folder / training / "metrics.csv")]
    assert all(0 < float(row["loss"]) < 1e3 for row in rows)
    images = sorted(data.rglob("*.png"))[:1]
    assert predict(folder, images, tmp_path / "out", device="cuda")[0].result.is_file()


@pytest.mark.usefixtures("_single_precision")
def test_what_processes_tell_each_other_goes_through_nccl(
    masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process of several, which is all that one device allows: every message, sent to itself alone."""
    config = on_gpu(search=ALPHAS, baseline=False, class_weights="auto")
    alone = run("adapt", masks, config, tmp_path / "alone")

    def connected(config: Config, accelerator: str, devices: Any) -> Fabric:
        fabric = Fabric(accelerator="cuda", devices=1, strategy=processes.Replicas(), precision=config.precision)
        fabric.launch()
        return fabric

    monkeypatch.setattr(processes, "connected", connected)
    monkeypatch.setattr(Run, "together", property(lambda _: 1))
    try:
        told = run("adapt", masks, config, tmp_path / "told")
        assert dist.get_backend() == "nccl"
    finally:
        dist.destroy_process_group()
    first = [read_metrics(folder / "search/0/metrics.csv")[0]["loss"] for folder in (alone, told)]
    assert float(first[0]) == pytest.approx(float(first[1]), rel=1e-4)


def test_the_peak_is_that_of_the_device() -> None:
    assert peak_memory(torch.zeros, 2**18, device="cuda:0") >= 0
    assert peak_memory(lambda: torch.zeros(2**18, device="cuda"), device="cuda:0") == pytest.approx(2**20, rel=0.01)
