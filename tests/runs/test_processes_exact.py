"""A step of several processes is a step of one on the whole batch: the same losses, weights and alphas.

In double precision, in which the two differ by what rounding the losses to single precision leaves; in single precision
an untrained network makes much of the last bits within a few steps.
"""

import copy
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import multiprocessing, nn
from torch.nn.utils import clip_grad_norm_

import fna.nn.heads.parts
from drawn import TINY, configured, draw_data
from drawn_boxes import draw_boxes
from fna.config.config import Config
from fna.cost.count import candidate_madds
from fna.data.samples import IGNORE
from fna.jobs import prepare
from fna.runs.run import Run
from fna.search.search import (
    alpha_step,
    cost_tensors,
    make_decisions,
    make_space,
    optimizers,
    sample_path,
    super_network,
)
from fna.train.adapt import training_step

SEARCH = {"method": "alphas", "optimizer": "sgd", "clip": 1.0, "augment": {"crop": "64x64", "scales": [1.0]}}
SEGMENTATION = configured(TINY, device="cpu", class_weights="auto", search={**SEARCH, "share": True})
DETECTION = configured(
    TINY, device="cpu", head="ssdlite", imgsz="64x64", search={**SEARCH, "share": False, "norm": "plain"}
)
STEPS, BATCH, RATE = 3, 4, 1e-3


def connect(rank: int, port: int, world: int) -> None:
    """Say what a launcher says; Fabric then connects."""
    torch.set_num_threads(1)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0"} | where
    fna.nn.heads.parts.DROPOUT = 0.0


class Alone:
    """What the steps ask of a run and its engine, of one process and with torch alone."""

    together = 0

    def __init__(self, config: Config) -> None:
        self.config = config
        self.engine = self

    def whole_batch(self, loss: torch.Tensor, weight: object) -> torch.Tensor:
        return loss

    def backward(self, loss: torch.Tensor, parameters: object, **how: Any) -> None:
        loss.backward(**how)

    def clip(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, norm: float) -> None:
        clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], norm)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        return value.detach()

    def assert_alike(self, tensors: object, what: str) -> None:
        pass


def beside(rank: int, world: int, port: int, config: Config, data: Path, folder: Path) -> None:
    """One of the processes: a search with its share of each batch, and beside it one by hand with the whole batch."""
    connect(rank, port, world)
    config, seed, task = prepare(data, config.model_copy(update={"devices": world}))
    how, space = config.search, make_space(task, seed, config.search)
    network = super_network(config, task, seed, space, 0).double().train()
    costs, decisions = candidate_madds(space, task.imgsz, config.output_stride), make_decisions(space, seed, how)
    (folder / str(rank)).mkdir()
    run, runs = Run(folder / str(rank), config), []
    for process in (Alone(config), run):
        own = copy.deepcopy(network)
        model, steppers = own, optimizers(own, own.backbone, how)
        if process is run:
            model, *steppers = run.engine.setup(own, *steppers)
            own.double()  # Fabric has it in the precision of the run
        runs.append((process, own, model, *steppers))
    assert {type(m).__name__ for m in runs[1][1].modules() if isinstance(m, nn.BatchNorm2d)} == {"SyncBatchNorm2d"}
    stream, share = task.training(how.augment), BATCH // world
    for step in range(STEPS):
        batch = task.collate([stream[step * BATCH + n] for n in range(BATCH)])
        if "mask" in batch:
            batch["mask"][0, :48] = IGNORE  # few pixels of the first image count, and none of the last
            batch["mask"][BATCH - 1] = IGNORE
        batch = {name: value.double() if name == "image" else value for name, value in batch.items()}
        part = {name: value[rank * share : (rank + 1) * share] for name, value in batch.items()}
        path = sample_path(decisions, network.backbone, how, (0, 0, step), True)
        found = []
        for (process, own, model, weights, alphas), images in zip(runs, (batch, part), strict=True):
            weights.param_groups[0]["lr"] = RATE
            losses = alpha_step(process, task, model, own.backbone, alphas, images, cost_tensors(costs, own.backbone))
            loss = training_step(process, task, model, weights, images, how.clip, path)
            found.append((float(losses["alpha_loss"]), float(loss)))
        assert found[1] == pytest.approx(found[0], rel=1e-6), step
    start = {name: value.double() for name, value in network.named_parameters()}
    (_, whole, *_), (_, shared, *_) = runs
    for (name, ours), theirs in zip(shared.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7, msg=name)
    moved = max(float((p - start[name]).abs().max()) for name, p in whole.named_parameters())
    assert moved > 1e-4  # or the comparison says nothing


def spawn(world: int, config: Config, data: Path, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    multiprocessing.spawn(beside, (world, port, config, data, folder), nprocs=world)


@pytest.mark.slow
def test_a_segmentation_search_steps_with_four_processes_as_with_one(tmp_path: Path) -> None:
    spawn(4, SEGMENTATION, draw_data(tmp_path / "data", hw=(96, 96)), tmp_path)


@pytest.mark.slow
def test_a_detection_search_steps_with_two_processes_as_with_one(tmp_path: Path) -> None:
    spawn(2, DETECTION, draw_boxes(tmp_path / "data"), tmp_path)
