"""The last word of a search: the architectures it proposes, and the seed, fine-tuned for a while on the same batches.

One short fine-tuning says little, for the batches differ more than the networks do. The difference between two networks
on the same batches says more: what the batches have in common cancels, as in `swaps`. What is left is that two
trainings part by themselves, whatever their networks. Only further random seeds show that, and average it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from torch import Tensor

from fna.arch.arch import Arch
from fna.runs.run import Run
from fna.runs.steps import each_step
from fna.tasks.task import Task
from fna.train.adapt import (
    learning_rate,
    optimizer_for,
    refresh_norms,
    remapped,
    stream,
    total_steps,
    training_mode,
    training_step,
)
from fna.train.evaluate import to_device
from fna.train.schedules import set_lr
from fna.weights.seeds import Seed


@dataclass(frozen=True)
class Trial:
    """An architecture against the seed: differences of the mean training loss, one a random seed (negative is better).

    `error` is the standard error of their mean, the `difference`.
    """

    arch: Arch
    differences: tuple[float, ...]
    error: float

    @property
    def difference(self) -> float:
        """The mean over random seeds."""
        return fmean(self.differences)

    def __str__(self) -> str:
        return f"loss {self.difference:+.4f} ± {self.error:.4f} against the seed"


def compare(run: Run, task: Task, seed: Seed, archs: Sequence[Arch], folder: str) -> list[Trial]:
    """Fine-tune every architecture for `search.trial_steps`, and the seed's own; differences over the second half.

    All of it once for each of `search.trial_seeds` random seeds (batches and head). Each has a folder of its own below
    `folder`, named by what it is, so none is ever repeated.
    """
    replicas = range(run.config.search.trial_seeds)
    theirs = [losses(run, task, seed, seed.arch, f"{folder}/seed", replica) for replica in replicas]
    trials = []
    for arch in archs:
        name = f"{folder}/{hashlib.sha256(arch.to_json().encode()).hexdigest()[:8]}"
        ours = [losses(run, task, seed, arch, name, replica) for replica in replicas]
        trials.append(Trial(arch, *differences(ours, theirs)))
    return trials


def differences(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], float]:
    """Means of `ours` - `theirs` over the second half of the steps, one row a random seed, and their mean's error.

    The standard error is that of the spread over steps, or over random seeds where that is larger.
    """
    rows = [
        [a - b for a, b in zip(our, their, strict=True)][len(our) // 2 :]
        for our, their in zip(ours, theirs, strict=True)
    ]
    means = [fmean(row) for row in rows]
    over_steps = math.sqrt(sum(standard_error(row) ** 2 for row in rows)) / len(rows)
    return tuple(means), max(over_steps, standard_error(means) if len(means) > 1 else 0.0)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of the values; infinite for a single one."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def losses(run: Run, task: Task, seed: Seed, arch: Arch, name: str, replica: int) -> list[float]:
    """The training loss of every step of a short fine-tuning, on the whole schedule of `adapt` in little.

    Kept in NAME-REPLICA/last.ckpt with the state of the training, so an interrupted one goes on.
    """
    how, steps, folder = run.config.adapt, run.config.search.trial_steps, f"{name}-{replica}"
    config = run.config.model_copy(update={"seed": task.random_seed(replica)})
    network, _ = remapped(config, task, seed, task.design(seed.name, arch))
    data = task.training(run.config.search.trial_augment or how.augment, replica=replica)
    warmup = round(how.warmup_steps * steps / total_steps(how, len(data)))
    how = how.model_copy(update={"warmup_steps": warmup})
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    parts = {"network": network, "optimizer": optimizer}
    first = run.states.restore(f"{folder}/last.ckpt", parts)
    saved: list[float] = (run.states.read(f"{folder}/losses.ckpt") or {"losses": []})["losses"]
    found: list[float | Tensor] = [*saved[:first]]
    if first == 0:
        refresh_norms(run, task, model, data, how.batch, min(how.refresh_steps, steps))
    training_mode(network, how)
    batches = stream(run, task, data, how.batch, first, steps)

    def save(done: int) -> None:
        run.states.write(f"{folder}/losses.ckpt", {"losses": list(map(float, found))})
        run.states.save(f"{folder}/last.ckpt", parts, done)

    for step in each_step(run, f"trial {folder.rpartition('/')[2]}", first, steps, save):
        set_lr(optimizer, learning_rate(step, steps, how))
        found.append(training_step(run, task, model, optimizer, to_device(run, next(batches)), how.clip))
    return list(map(float, found))
