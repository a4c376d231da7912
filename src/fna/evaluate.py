"""Model and task in, metrics out."""

import torch
from torch import nn
from torch.utils.data import DataLoader

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
    for batch in DataLoader(task.validation(), num_workers=run.config.workers, collate_fn=task.collate):
        evaluator.update(model, to_device(run, batch))
    for module, training in modes:
        module.training = training
    return evaluator
