"""Fine-tuning of a network that is already made, by the parts and on the schedule of `fna.train.adapt`."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from fna.files import write_json
from fna.nn.network import Network
from fna.runs.metrics_log import MetricsLog
from fna.runs.run import Run
from fna.runs.steps import each_step
from fna.tasks.kinds import TASKS
from fna.tasks.task import CheckedTask, Task
from fna.train.adapt import (
    learning_rate,
    optimizer_for,
    refresh_norms,
    stream,
    total_steps,
    training_mode,
    training_step,
)
from fna.train.evaluate import evaluate, to_device
from fna.train.schedules import set_lr


def with_samples(task: Task, **splits: Sequence[Any]) -> Task:
    """The same task with other samples in the named splits (`train`, `val`)."""
    assert isinstance(task, CheckedTask)
    other = copy(task)
    other.data = replace(task.data, splits=task.data.splits | splits)
    return other


def fine_tune(run: Run, task: Task, network: Network, training: str, replica: int) -> dict[str, Any]:
    """Refresh the norms of `network` and train it as `adapt` is configured; resumes where the training stopped.

    `replica` names the training stream: 0 is that of `fna adapt`. Writes TRAINING/metrics.csv, last.ckpt and
    metrics.json (`best` and `last` validation score), and returns the latter.
    """
    done = run.read_json(f"{training}/metrics.json")
    if done is not None:
        return dict(done)
    how, data = run.config.adapt, task.training(run.config.adapt.augment, replica=replica)
    score = TASKS[run.config.task].score
    key = f"val/{score.name}"
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    parts = {"network": network, "optimizer": optimizer}
    first = run.states.restore(f"{training}/last.ckpt", parts)
    if first == 0:
        refresh_norms(run, task, model, data, how.batch, how.refresh_steps)
    log = MetricsLog(run.folder / training / "metrics.csv", first)
    training_mode(network, how)
    total = total_steps(how, len(data))
    batches = stream(run, task, data, how.batch, first, total)
    for step in each_step(run, training, first, total, partial(run.states.save, f"{training}/last.ckpt", parts)):
        set_lr(optimizer, learning_rate(step, total, how))
        loss = training_step(run, task, model, optimizer, to_device(run, next(batches)), how.clip)
        if (step + 1) % how.validate_steps == 0 or step + 1 == total:
            value = float(evaluate(run, task, model).result()["score"])
            run.note(f"  {training} {step + 1}/{total}  loss {float(loss):.3f}  {key} {score.shown(value)}")
            log.add(step, loss=float(loss), **{key: value})
    scores = [float(row[key]) for row in log.rows if row.get(key)]
    result = {"best": score.best(scores), "last": scores[-1], "steps": total}
    write_json(run.folder / training / "metrics.json", result)
    return result
