"""Model and task in, metrics out."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from fna.run import Run
from fna.tasks.task import Batch, Task


def to_device(run: Run, batch: Batch) -> dict[str, torch.Tensor]:
    """The batch on the run's device, images channels-last as the networks are."""
    moved = {key: value.to(run.device, non_blocking=True) for key, value in batch.items()}
    moved["image"] = moved["image"].contiguous(memory_format=torch.channels_last)
    return moved


@torch.no_grad()
def evaluate(run: Run, task: Task, model: nn.Module) -> dict[str, Any]:
    """Metrics over the validation images, whole, one at a time; the model's training mode is left as it was."""
    training = model.training
    model.eval()
    evaluator = task.evaluator()
    for batch in DataLoader(task.validation(), num_workers=run.config.workers):
        evaluator.update(model, to_device(run, batch))
    model.train(training)
    return evaluator.result()
