"""Parameter adaptation: remap the seed into an architecture, refresh norm statistics, fine-tune (paper 3.2, 4.1)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fna.arch.arch import Arch
from fna.config import Adapt, Config
from fna.data.dataset import StepSampler
from fna.evaluate import evaluate, to_device
from fna.files import write_json, write_text
from fna.nn.network import Network, build
from fna.run import MetricsLog, Run
from fna.schedules import polynomial, set_lr
from fna.tasks.task import Batch, Task
from fna.weights.checkpoint import NetworkInfo, save_network
from fna.weights.remap import RemapReport, remap
from fna.weights.seeds import Seed


def stream(run: Run, data: Dataset[Any], batch: int, first: int, last: int) -> Iterator[Batch]:
    """The batches of steps `first` to `last` - 1 of the training stream."""
    return iter(DataLoader(data, batch_sampler=StepSampler(first, last, batch), num_workers=run.config.workers))


def remapped(config: Config, task: Task, seed: Seed, arch: Arch) -> tuple[Network, RemapReport | None]:
    """The network of `arch` started from the seed; a seed without weights leaves it at its random start."""
    network = build(arch, task.head(seed.arch), config.output_stride, config.seed)
    if not seed.weights:
        return network, None
    initial = network.backbone.state_dict()
    weights, report = remap(seed.arch, seed.weights, arch, initial, **config.remap.model_dump())
    network.backbone.load_state_dict(weights)
    return network, report


def network_info(config: Config, task: Task, seed: Seed, arch: Arch) -> NetworkInfo:
    """What is written beside the weights."""
    return NetworkInfo(
        arch, config.task, config.head, config.output_stride, task.classes, seed.mean, seed.std, task.imgsz
    )


@torch.no_grad()
def refresh_norms(run: Run, model: nn.Module, data: Dataset[Any], batch: int, steps: int) -> None:
    """Let batch norms see `steps` batches before training (paper 4.1: 2000), weights untouched."""
    model.train()
    for images in stream(run, data, batch, 0, steps):
        model(to_device(run, images)["image"])


def optimizer_for(network: Network, how: Adapt) -> torch.optim.SGD:
    """SGD with one group for the backbone and one for the head."""
    groups = [
        {"params": list(network.backbone.parameters()), "factor": 1.0},
        {"params": list(network.head.parameters()), "factor": how.head_lr_factor},
    ]
    return torch.optim.SGD(groups, how.lr, how.momentum, weight_decay=how.weight_decay)


def adapt(run: Run, task: Task, seed: Seed, arch: Arch, stage: str = "train") -> dict[str, Any]:
    """Fine-tune `arch` from the remapped seed; resumes where the stage stopped.

    Writes STAGE/metrics.csv, remap.txt, last.ckpt, best.safetensors, last.safetensors and metrics.json (the best
    validation result), and returns the latter.
    """
    config, how, folder = run.config, run.config.adapt, run.folder / stage
    done = run.read_json(f"{stage}/metrics.json")
    if done is not None:
        return done
    network, report = remapped(config, task, seed, arch)
    info = network_info(config, task, seed, arch)
    data = task.training(how.augment)
    state = run.load_state(f"{stage}/last.ckpt")
    model, optimizer = run.fabric.setup(network, optimizer_for(network, how))
    first, best = 0, None
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first, best = state["step"], run.read_json(f"{stage}/best.json")
    else:
        if report is not None:
            write_text(folder / "remap.txt", report.text())
        refresh_norms(run, model, data, how.batch, how.refresh_steps)
    log = MetricsLog(folder / "metrics.csv", first)

    def save(step: int) -> None:
        run.save_state(
            f"{stage}/last.ckpt",
            {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step},
        )

    model.train()
    batches = stream(run, data, how.batch, first, how.steps)
    for step in run.steps(stage, first, how.steps, save):
        batch = to_device(run, next(batches))
        set_lr(optimizer, polynomial(step, how.steps, how.lr, how.power, how.warmup_steps, how.lr_start))
        losses = task.losses(model(batch["image"]), batch)
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        run.fabric.backward(loss)
        if how.clip:
            run.fabric.clip_gradients(model, optimizer, max_norm=how.clip)
        optimizer.step()

        validate = (step + 1) % how.validate_steps == 0 or step + 1 == how.steps
        if validate:
            result = evaluate(run, task, model)
            score = f"val/{task.score} {100 * result['score']:.1f}"
            run.note(f"  {stage} {step + 1}/{how.steps}  loss {loss.item():.3f}  {score}")
            if best is None or result["score"] > best["score"]:
                best = result | {"step": step + 1}
                save_network(folder / "best.safetensors", network.state_dict(), info)
                write_json(folder / "best.json", best)
            log.add(
                step, loss=loss.item(), lr=optimizer.param_groups[0]["lr"], **{f"val/{task.score}": result["score"]}
            )
        elif step % 20 == 0:
            log.add(step, loss=loss.item(), lr=optimizer.param_groups[0]["lr"])

    assert best is not None
    save_network(folder / "last.safetensors", network.state_dict(), info)
    final = {"best": best, "last": result, "steps": how.steps}
    write_json(folder / "metrics.json", final)
    return final
