"""What a change is worth, measured by pairs: the held-out loss when it alone is swapped into the seed's path.

A trained super network runs the seed's path and every path that differs from it in one decision (a layer, or a whole
stage), all on the same batches, so that what the batches have in common cancels. The scores add up over decisions to
first order, which is what the exact derivation under a budget assumes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fna.arch.decision import Decision, Path, path_of, seed_pick
from fna.nn.supernet import Memory
from fna.runs.run import Run
from fna.runs.steps import each_step
from fna.tasks.task import Batch, Task
from fna.train.evaluate import batch_loss, to_device

TEMPERATURE = 0.01
"""Loss difference per unit of logit, about the standard error of one score; the derivation does not depend on it."""


def single_swaps(decisions: Sequence[Decision]) -> list[tuple[int, int, Path]]:
    """(decision, option, path) of every path that differs from the seed's in one decision."""
    seed = seed_pick(decisions)
    return [
        (d, option, path_of(decisions, (*seed[:d], option, *seed[d + 1 :])))
        for d, decision in enumerate(decisions)
        for option in range(len(decision.options))
        if option != decision.seed_option
    ]


def batch_statistics(model: nn.Module) -> None:
    """Evaluation mode, but norms use each batch's statistics: running ones of rarely sampled candidates are stale."""
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()


@torch.no_grad()
def score_swaps(
    run: Run,
    task: Task,
    model: nn.Module,
    decisions: Sequence[Decision],
    batches: Iterator[Batch],
    folder: str,
) -> list[list[float]]:
    """Logits (decisions, options): minus the mean loss change over `batches`, over `TEMPERATURE`; 0 for the seed's.

    Resumes after the last whole batch; the loss table is kept in FOLDER/last.ckpt.
    """
    swaps, seed_path = single_swaps(decisions), path_of(decisions, seed_pick(decisions))
    state = run.states.read(f"{folder}/last.ckpt")
    table: list[list[float]] = state["table"] if state else []
    held = list(batches)
    batch_statistics(model)

    def save(step: int) -> None:
        run.states.write(f"{folder}/last.ckpt", {"table": table})

    def loss(batch: Batch, path: Path, memory: Memory) -> Tensor:
        return run.engine.mean(batch_loss(run, task, model(batch["image"], path, memory), batch))

    for step in each_step(run, "score", len(table), len(held), save):
        batch = to_device(run, held[step])
        memory = Memory()  # of the seed's path: a swap needs only what comes after it
        reference = loss(batch, seed_path, memory)
        losses = [loss(batch, path, memory) for _, _, path in swaps]
        # Read in one go, so that the device is not waited for after every path.
        first, *others = torch.stack([reference, *losses]).tolist()
        table.append([other - first for other in others])

    logits = [[0.0] * len(decision.options) for decision in decisions]
    for (d, option, _), changes in zip(swaps, zip(*table, strict=True), strict=True):
        logits[d][option] = -sum(changes) / len(changes) / TEMPERATURE
    return logits
