"""Tasks on random images in memory: a recipe's real shapes, heads and losses where its data are not at hand."""

from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from fna.arch.arch import HW
from fna.config.config import Config
from fna.config.resolved import resolved
from fna.config.sections import Augment
from fna.errors import UserError
from fna.tasks.kinds import TASKS, imported
from fna.tasks.task import Batch, Task


class RandomTask(Task, Protocol):
    """A task that reads nothing: made from a configuration and a number of classes, its targets are drawn."""

    config: Config

    def shape(self, augment: Augment) -> HW:
        """Height and width of training images."""

    def targets(self, count: int, hw: HW) -> dict[str, Tensor]:
        """What a batch of `count` images of this height and width has beside them."""


class OneBatch(Dataset[Batch]):
    """A training stream whose every item is the same whole batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __getitem__(self, position: int) -> Batch:
        return self.batch


def random_task(config: Config, classes: int, source: str) -> RandomTask:
    """The task of `config`, whose head must fit it; a UserError naming `source` where it has no random images."""
    made = {name: kind.random_images for name, kind in TASKS.items() if kind.random_images}
    if config.task not in made:
        raise UserError(
            f"{source}: task is {config.task!r}; costs are projected for the task {' or '.join(made)}, so set it"
        )
    task: RandomTask = imported(made[config.task])(resolved(config, config.task), classes)
    return task


def random_batch(task: RandomTask, augment: Augment, count: int) -> Batch:
    """`count` training images, as normalised ones are distributed, with their targets."""
    hw = task.shape(augment)
    return {"image": torch.randn(count, 3, *hw), **task.targets(count, hw)}
