"""Model and task in, metrics out."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from fna.data.reading.loader import loader, processes_here
from fna.runs.run import Run
from fna.tasks.task import Batch, Evaluator, Task


def to_device(run: Run, batch: Batch) -> dict[str, torch.Tensor]:
    """The batch on the run's device, images channels-last as the networks are."""
    moved = {key: value.to(run.device, non_blocking=True) for key, value in batch.items()}
    moved["image"] = moved["image"].contiguous(memory_format=torch.channels_last)
    return moved


def batch_loss(run: Run, task: Task, outputs: Any, batch: Batch) -> torch.Tensor:
    """The task's losses, added up; of several processes this one's part of the loss over the whole batch."""
    loss = torch.stack(list(task.losses(outputs, batch).values())).sum()
    return run.engine.whole_batch(loss, task.weight(outputs, batch) if run.engine.together else None)


def as_written(run: Run) -> AbstractContextManager[object]:
    """Without torch.compile: only training steps come in one shape, and often enough for compiling to pay."""
    # Where nothing is compiled, torch's compiler need not even be imported.
    return torch.compiler.set_stance("force_eager") if run.config.compile else nullcontext()


@torch.no_grad()
def evaluate(run: Run, task: Task, model: nn.Module) -> Evaluator:
    """The task's evaluator after the validation images, whole, one at a time; the model's modes are left as they were.

    Of several processes all have the same result.

    Each module has its own mode: frozen norms stay in evaluation mode while the rest trains.
    """
    engine, modes = run.engine, [(module, module.training) for module in model.modules()]
    model.eval()
    engine.spread_buffers(model)
    evaluator = task.evaluator()
    data = task.validation()
    # Of several processes each has every so-many-th image, so each image is counted by exactly one.
    own = [[index] for index in range(engine.rank, len(data), engine.world_size)]  # type: ignore[arg-type]
    here = processes_here(engine.world_size)
    with as_written(run):
        for batch in loader(data, own, task.collate, run.device, run.config.workers, here):
            evaluator.update(model, to_device(run, batch))
    if engine.together:
        evaluator.combine(engine.gather(evaluator.counted()))
    for module, training in modes:
        module.training = training
    return evaluator
