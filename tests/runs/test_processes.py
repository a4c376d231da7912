"""Several processes give what one gives: the same losses, decisions and metrics, whoever has started them.

Dropout is switched off in these runs (`without_dropout.py`): what is dropped depends on who has which image.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import yaml
from torch import nn

from drawn import TINY, configured, draw_data
from fna.config.config import Config
from fna.errors import UserError
from fna.nn.sync_norm import SyncBatchNorm2d, synchronise
from fna.runs import processes

MAIN = Path(__file__).parents[1] / "without_dropout.py"
# Small steps: the gradient of a fresh network of this size is so steep that torch's own norms have it only to 1 % in
# single precision (two processes' have it to 0.04 %), and larger steps would make much of that.
GENTLE = {"optimizer": "sgd", "lr": 2e-6, "lr_start": 2e-6, "augment": {"crop": "96x96", "scales": [1.0]}}
SEGMENTATION = configured(
    TINY,
    device="cpu",
    budget=("none",),
    search={**GENTLE, "method": "alphas", "alpha_start": "seed", "replicas": 1},
    adapt={**GENTLE, "steps": 3, "validate_steps": 1},
    baseline=False,
)


def port() -> int:
    """One that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(**changes: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"} | changes


def fna(*words: object, launcher: tuple[str, ...] = (sys.executable,), **changes: str) -> subprocess.Popen[str]:
    command = [*launcher, str(MAIN), *map(str, words)]
    return subprocess.Popen(command, env=environment(**changes), stderr=subprocess.PIPE, text=True)


def succeed(process: "subprocess.Popen[str]") -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors


def recipe(config: Config, file: Path) -> Path:
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return file


def column(file: Path, name: str) -> list[float]:
    with file.open(newline="") as rows:
        return [float(row[name]) for row in csv.DictReader(rows) if row.get(name)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_data(tmp_path_factory.mktemp("masks") / "data", val=5, hw=(96, 128))


Adapted = Callable[[int], Path]


@pytest.fixture(scope="module")
def adapted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """The run of so many processes, made once."""
    folder = tmp_path_factory.mktemp("runs")
    file = recipe(SEGMENTATION, folder / "recipe.yaml")

    def make(devices: int) -> Path:
        out = folder / f"of-{devices}"
        if not out.exists():
            succeed(fna("adapt", data, "--recipe", file, "--devices", devices, "--out", out))
        return out

    return make


@pytest.mark.slow
def test_a_segmentation_has_the_losses_alphas_and_metrics_of_one_process(adapted: Adapted) -> None:
    one, many = adapted(1), adapted(2)
    for file, name in (
        ("search/0/metrics.csv", "loss"),
        ("search/0/metrics.csv", "alpha_loss"),
        ("train/metrics.csv", "loss"),
    ):
        # In double precision they are the same to the seventh digit, see test_processes_exact.py.
        assert column(many / file, name) == pytest.approx(column(one / file, name), rel=5e-4), name
    # Alphas move by as much whatever their gradients are, so near zero they may part.
    logits = [sum(json.loads((run / "search/0/logits.json").read_text()), []) for run in (one, many)]
    assert logits[0] == pytest.approx(logits[1], abs=5e-3)
    assert (many / "design.json").read_text() == (one / "design.json").read_text()
    counts = [json.loads((run / "train/last.json").read_text())["confusion"] for run in (one, many)]
    # Every pixel of the 5 images is counted once, however few processes have an image more than others.
    assert [sum(map(sum, matrix)) for matrix in counts] == [5 * 96 * 128] * 2
    ledger = json.loads((many / "cost.json").read_text())["train"]
    assert ledger["device_hours"] == pytest.approx(2 * ledger["wall_seconds"] / 3600, abs=1e-4)


@pytest.mark.slow
def test_two_nodes_under_torchrun_are_two_processes(data: Path, adapted: Adapted, tmp_path: Path) -> None:
    file, where = recipe(SEGMENTATION, tmp_path / "recipe.yaml"), f"127.0.0.1:{port()}"
    run = (sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d")
    nodes = [
        fna(
            *("adapt", data, "--recipe", file, "--out", tmp_path / "run"),
            launcher=(*run, f"--rdzv-endpoint={where}", "--rdzv-id=fna", "--local-addr=127.0.0.1"),
        )
        for _ in range(2)
    ]
    for node in nodes:
        succeed(node)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "run"]
    weights, logits = "train/metrics.csv", "search/0/logits.json"
    assert column(tmp_path / "run" / weights, "loss") == column(adapted(2) / weights, "loss")
    assert (tmp_path / "run" / logits).read_text() == (adapted(2) / logits).read_text()


@pytest.mark.slow
def test_a_run_stopped_on_two_processes_goes_on_with_one(data: Path, tmp_path: Path) -> None:
    config = configured(TINY, device="cpu", adapt={**GENTLE, "steps": 2000, "validate_steps": 2000})
    file, out = recipe(config, tmp_path / "recipe.yaml"), tmp_path / "run"
    process = fna("train", data, "--recipe", file, "--devices", 2, "--out", out)
    deadline = time.monotonic() + 120
    while not column(out / "train/metrics.csv", "step") if (out / "train/metrics.csv").is_file() else True:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("the state is saved") == 1
    done = torch.load(out / "train/last.ckpt", weights_only=True)["step"]
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(text.replace("steps: 2000", f"steps: {done + 2}"))
    succeed(fna("train", "--resume", out, "--devices", 1))
    assert json.loads((out / "train/metrics.json").read_text())["last"]["step"] == done + 2


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    process = fna("train", data, "--adapt.batch", 3, "--devices", 2, "--out", tmp_path / "run", "--device", "cpu")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "adapt.batch is 3, which 2 processes cannot share evenly" in errors
    assert not (tmp_path / "run").exists()


def test_flags_that_contradict_the_launcher_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert processes.layout(Config()) == (2, 2)
    with pytest.raises(UserError, match="has started 2 process"):
        processes.layout(Config(devices=4))


def test_slurms_tasks_are_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "fna"}.items():
        monkeypatch.setenv(name, value)
    assert processes.layout(Config()) == (4, 2)


def beside(rank: int, work: Callable[[int], Any], where: int) -> None:
    """One of two processes that are connected."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{where}", rank=rank, world_size=2)
    work(rank)
    dist.destroy_process_group()


def connected(work: Callable[[int], Any]) -> None:
    multiprocessing.spawn(beside, (work, port()), nprocs=2)


def like_one_norm(rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 5, 5, generator=generator) * 3 + 7
    goal = torch.randn(4, 3, 5, 5, generator=generator)
    whole, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    for norm in (whole, shared):
        nn.init.constant_(norm.weight, 1.5)
    synchronise(shared)
    assert type(shared) is SyncBatchNorm2d
    # Unequal shares: three images here, one there.
    own = slice(0, 3) if rank == 0 else slice(3, 4)
    inputs = [x.clone().requires_grad_(), x[own].clone().requires_grad_()]
    outputs = [whole(inputs[0]), shared(inputs[1])]
    (outputs[0] * goal).sum().backward()
    (outputs[1] * goal[own]).sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0][own])
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad[own], rtol=1e-4, atol=1e-5)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(shared, name), getattr(whole, name))
    for ours, theirs in ((shared.weight, whole.weight), (shared.bias, whole.bias)):
        dist.all_reduce(ours.grad)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    shared.eval()
    whole.eval()
    torch.testing.assert_close(shared(x), whole(x))


def test_a_synchronised_norm_is_torchs_over_all_images() -> None:
    connected(like_one_norm)


def averages(rank: int) -> None:
    weights = [nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(1))]
    weights[0].grad = torch.full((2, 2), float(rank)).to(memory_format=torch.preserve_format)
    weights[2].grad = torch.tensor([4.0 * rank + 1])
    processes.average_gradients(weights, 2)
    assert weights[0].grad.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert weights[1].grad is None
    assert weights[2].grad.tolist() == [3.0]
    # One pixel here and three there: means of 2 and 6 are a mean of 5 over all four.
    part = torch.tensor([2.0, 6.0][rank]) * processes.share_of(torch.tensor([1.0, 3.0][rank]), 2)
    assert float(processes.mean(part, 2)) == 5
    assert float(processes.share_of(torch.tensor(0.0), 2)) == 1
    assert processes.any_of(rank == 1, torch.device("cpu"))
    assert not processes.any_of(False, torch.device("cpu"))
    assert processes.gathered({"rank": rank}, 2) == [{"rank": 0}, {"rank": 1}]


def test_parts_of_a_batch_are_put_together() -> None:
    connected(averages)


def different_alphas(rank: int) -> None:
    alphas = [torch.zeros(3), torch.tensor([0.1, 0.2])]
    processes.assert_alike(alphas, "alphas")
    # The last bit of one number, and two numbers in each other's place.
    for other in (torch.nextafter(alphas[1], alphas[1] + 1), alphas[1].flip(0)):
        with pytest.raises(RuntimeError, match="alphas differ"):
            processes.assert_alike([alphas[0], other if rank else alphas[1]], "alphas")


def test_alphas_that_differ_in_a_bit_are_noticed() -> None:
    connected(different_alphas)
