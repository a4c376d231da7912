"""Parameter adaptation: remap the seed into an architecture, refresh norm statistics, fine-tune (paper 3.2, 4.1)."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.config.config import Config
from fna.config.sections import Adapt
from fna.data.reading.loader import loader, processes_here
from fna.data.reading.stream import StepSampler
from fna.files import write_json, write_text
from fna.nn.network import Network, build
from fna.runs.metrics_log import MetricsLog
from fna.runs.run import Run
from fna.runs.steps import draw_as_step, each_step
from fna.tasks.kinds import TASKS
from fna.tasks.task import Batch, Task
from fna.train.evaluate import as_written, batch_loss, evaluate, to_device
from fna.train.optimizers import weight_optimizer
from fna.train.schedules import polynomial, set_lr, stepped
from fna.weights.checkpoint import NetworkInfo, save_network
from fna.weights.initial import initial
from fna.weights.plain import AnySeed, PlainSeed
from fna.weights.remap import RemapReport, remap, remap_last


def stream(run: Run, task: Task, data: Dataset[Any], batch: int, first: int, last: int) -> Iterator[Batch]:
    """The batches of steps `first` to `last` - 1 of the training stream, or this process's share of them."""
    sampler = StepSampler(first, last, batch, run.engine.rank, run.engine.world_size)
    here = processes_here(run.engine.world_size)
    return iter(loader(data, sampler, task.collate, run.device, run.config.workers, here))


def remapped(config: Config, task: Task, seed: AnySeed, design: Design) -> tuple[Network, RemapReport | None]:
    """The network of a design started from the seed; a seed without weights leaves it at its random start.

    With another `adapt.init` the backbone has nothing of the seed, and the head starts as it always does.
    """
    network = build(design, len(task.classes), config.seed)
    if config.adapt.init != "remap":
        network.backbone.load_state_dict(initial(network.backbone.state_dict(), config.adapt.init, config.seed))
        return network, None
    if not seed.weights:
        return network, None
    if isinstance(seed, PlainSeed):
        network.backbone.features.load_state_dict(seed.weights)  # type: ignore[union-attr]
        return network, None
    arch = design.arch
    assert isinstance(arch, Arch)  # `jobs.wanted_network` gives a seed with layers no other architecture
    fresh = network.backbone.state_dict()
    weights, report = remap(seed.arch, seed.weights, arch, fresh, **config.remap.model_dump())
    network.backbone.load_state_dict(weights)
    head, entries = remap_last({**seed.weights, **seed.classifier}, network.head.state_dict())
    network.head.load_state_dict(head)
    return network, report.with_head(entries)


def network_info(config: Config, task: Task, seed: AnySeed, design: Design) -> NetworkInfo:
    """What is written beside the weights."""
    return NetworkInfo(design, config.task, task.classes, seed.mean, seed.std, task.settings())


@torch.no_grad()
def refresh_norms(run: Run, task: Task, model: nn.Module, data: Dataset[Any], batch: int, steps: int) -> None:
    """Let batch norms see `steps` batches before training (paper 4.1: 2000), weights untouched."""
    model.train()
    with as_written(run):
        for step, images in enumerate(stream(run, task, data, batch, 0, steps)):
            draw_as_step(run, step)  # norms that come after dropout see it
            model(to_device(run, images)["image"])


def optimizer_for(network: Network, how: Adapt) -> Optimizer:
    """One group for the backbone and one for the head."""
    groups = [
        {"params": list(network.backbone.parameters()), "factor": 1.0},
        {"params": list(network.head.parameters()), "factor": how.head_lr_factor},
    ]
    return weight_optimizer(groups, how)


def total_steps(how: Adapt, images: int) -> int:
    """The configured steps, or those of so many epochs over `images` images."""
    return how.steps if how.epochs is None else max(1, round(how.epochs * images / how.batch))


def learning_rate(step: int, total: int, how: Adapt) -> float:
    """Warm-up, then the polynomial decay of the paper's segmentation or the steps of its detection."""
    if how.milestones:
        return stepped(step, total, how.lr, how.milestones, how.warmup_steps, how.lr_start)
    return polynomial(step, total, how.lr, how.power, how.warmup_steps, how.lr_start)


def training_mode(network: Network, how: Adapt) -> None:
    """Training mode; with frozen norms those of the backbone keep their running statistics."""
    network.train()
    if how.norm == "frozen":
        for module in network.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def adapt(run: Run, task: Task, seed: AnySeed, design: Design, training: str = "train") -> dict[str, Any]:
    """Fine-tune a design from the remapped seed; resumes where the training stopped.

    Writes TRAINING/metrics.csv, remap.txt, last.ckpt, best.safetensors, last.safetensors and metrics.json (the best and
    the last validation result), and returns the latter.
    """
    config, how, folder = run.config, run.config.adapt, run.folder / training
    done = run.read_json(f"{training}/metrics.json")
    if done is not None:
        return done
    network, report = remapped(config, task, seed, design)
    info, data = network_info(config, task, seed, design), task.training(how.augment)
    if config.compile:
        network.compile()
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    parts = {"network": network, "optimizer": optimizer}
    first = run.states.restore(f"{training}/last.ckpt", parts)
    if first == 0:
        if report is not None:
            write_text(folder / "remap.txt", report.text())
        refresh_norms(run, task, model, data, how.batch, how.refresh_steps)
    log = MetricsLog(folder / "metrics.csv", first)
    training_mode(network, how)
    total, score = total_steps(how, len(data)), TASKS[config.task].score
    batches = stream(run, task, data, how.batch, first, total)
    for step in each_step(run, training, first, total, partial(run.states.save, f"{training}/last.ckpt", parts)):
        batch = to_device(run, next(batches))
        set_lr(optimizer, learning_rate(step, total, how))
        loss = training_step(run, task, model, optimizer, batch, how.clip)
        lr = optimizer.param_groups[0]["lr"]
        if (step + 1) % how.validate_steps == 0 or step + 1 == total:
            value = validate(run, task, model, info, training, step + 1)
            run.note(f"  {training} {step + 1}/{total}  loss {float(loss):.3f}  val/{score.name} {score.shown(value)}")
            log.add(step, loss=float(loss), lr=lr, **{f"val/{score.name}": value})
        elif step % 20 == 0:
            log.add(step, loss=float(loss), lr=lr)

    save_network(folder / "last.safetensors", network.state_dict(), info)
    final = {which: run.read_json(f"{training}/{which}.json") for which in ("best", "last")} | {"steps": total}
    write_json(folder / "metrics.json", final)
    return final


def training_step(
    run: Run, task: Task, model: nn.Module, optimizer: Optimizer, batch: Batch, clip: float, *path: object
) -> Tensor:
    """One step of the weights, on one path where `model` holds a super network; the loss, on the device.

    Nothing here waits for the device, so the next step is prepared while it works.
    """
    loss = batch_loss(run, task, model(batch["image"], *path), batch)
    optimizer.zero_grad()
    run.engine.backward(loss, (parameter for group in optimizer.param_groups for parameter in group["params"]))
    if clip:
        run.engine.clip(model, optimizer, clip)
    optimizer.step()
    return run.engine.mean(loss)


def validate(run: Run, task: Task, model: nn.Module, info: NetworkInfo, training: str, step: int) -> float:
    """Evaluate, write last.json, and best.json with best.safetensors where it is the best so far; the score."""
    result = evaluate(run, task, model).result() | {"step": step}
    best = run.read_json(f"{training}/best.json")
    if best is None or TASKS[run.config.task].score.better(result["score"], best["score"]):
        save_network(run.folder / training / "best.safetensors", model.state_dict(), info)
        write_json(run.folder / training / "best.json", result)
    write_json(run.folder / training / "last.json", result)
    return float(result["score"])
