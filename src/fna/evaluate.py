"""Model and task in, metrics out."""

import torch
from torch import nn

from fna.data.loader import loader, processes_here
from fna.run import Run
from fna.tasks.task import Batch, Evaluator, Task


def to_device(run: Run, batch: Batch) -> dict[str, torch.Tensor]:
    """The batch on the run's device, images channels-last as the networks are."""
    moved = {key: value.to(run.device, non_blocking=True) for key, value in batch.items()}
    moved["image"] = moved["image"].contiguous(memory_format=torch.channels_last)
    return moved


@torch.no_grad()
def evaluate(run: Run, task: Task, model: nn.Module) -> Evaluator:
    """The task's evaluator after the validation images, whole, one at a time; the model's modes are left as they were.

    Each module has its own mode: frozen norms stay in evaluation mode while the rest trains.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    evaluator = task.evaluator()
    data = task.validation()
    one_by_one = [[index] for index in range(len(data))]  # type: ignore[arg-type]
    processes = processes_here(run.fabric.world_size)
    for batch in loader(data, one_by_one, task.collate, run.device, run.config.workers, processes):
        evaluator.update(model, to_device(run, batch))
    for module, training in modes:
        module.training = training
    return evaluator
