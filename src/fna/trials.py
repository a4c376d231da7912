"""The last word of a search: the architectures it proposes, and the seed, fine-tuned for a while on the same batches.

One short fine-tuning says little, for the batches differ more than the networks do. The difference between two networks
on the same batches says much: what the batches have in common cancels, as in `fna.swaps`.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from fna.adapt import (
    learning_rate,
    optimizer_for,
    refresh_norms,
    remapped,
    stream,
    total_steps,
    training_mode,
    training_step,
)
from fna.arch.arch import Arch
from fna.evaluate import to_device
from fna.run import Run
from fna.schedules import set_lr
from fna.tasks.task import Task
from fna.weights.seeds import Seed


@dataclass(frozen=True)
class Trial:
    """An architecture against the seed: mean difference of the training loss (negative is better), and its error."""

    arch: Arch
    difference: float
    error: float

    def as_dict(self) -> dict[str, Any]:
        """Layers by stage, difference and error, for trials.json."""
        layers = [[str(op) for op in stage.layers] for stage in self.arch.stages]
        return {"layers": layers, "difference": self.difference, "error": self.error}

    def __str__(self) -> str:
        return f"loss {self.difference:+.4f} ± {self.error:.4f} against the seed"


def compare(run: Run, task: Task, seed: Seed, archs: Sequence[Arch], folder: str) -> list[Trial]:
    """Fine-tune every architecture for `search.trial_steps`, and the seed's own; differences over the second half.

    Each has a folder of its own below `folder`, named by what it is, so none is ever repeated.
    """
    theirs = losses(run, task, seed, seed.arch, f"{folder}/seed")
    trials = []
    for arch in archs:
        name = hashlib.sha256(arch.to_json().encode()).hexdigest()[:8]
        ours = losses(run, task, seed, arch, f"{folder}/{name}")
        differences = [a - b for a, b in zip(ours, theirs, strict=True)][len(ours) // 2 :]
        error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
        trials.append(Trial(arch, fmean(differences), error))
    return trials


def losses(run: Run, task: Task, seed: Seed, arch: Arch, folder: str) -> list[float]:
    """The training loss of every step of a short fine-tuning, on the whole schedule of `adapt` in little.

    Kept in FOLDER/last.ckpt with the state of the training, so an interrupted one goes on.
    """
    config, how, steps = run.config, run.config.adapt, run.config.search.trial_steps
    network, _ = remapped(config, task, seed, arch)
    data = task.training(how.augment)
    warmup = round(how.warmup_steps * steps / total_steps(how, len(data)))
    how = how.model_copy(update={"warmup_steps": warmup})
    model, optimizer = run.fabric.setup(network, optimizer_for(network, how))
    parts = {"network": network, "optimizer": optimizer}
    first = run.restore(f"{folder}/last.ckpt", parts)
    found: list[float] = (run.load_state(f"{folder}/losses.ckpt") or {"losses": []})["losses"][:first]
    if first == 0:
        refresh_norms(run, task, model, data, how.batch, min(how.refresh_steps, steps))
    training_mode(network, how)
    batches = stream(run, task, data, how.batch, first, steps)

    def save(done: int) -> None:
        run.save_state(f"{folder}/losses.ckpt", {"losses": found})
        run.save(f"{folder}/last.ckpt", parts, done)

    for step in run.steps(f"trial {folder.rpartition('/')[2]}", first, steps, save):
        set_lr(optimizer, learning_rate(step, steps, how))
        found.append(training_step(run, task, model, optimizer, to_device(run, next(batches)), how.clip))
    return found
