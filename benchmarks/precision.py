"""Precision, memory format and compilation: a fine-tuning step in each way against the default."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter

import torch

from benchmarks.cases import Bench, Case, changed, opened, small_cases
from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.timing import compared, race
from fna.adapt import optimizer_for, remapped, training_mode, training_step
from fna.evaluate import to_device
from fna.schedules import set_lr

NAME = "precision"
DEFAULT = "32, channels-last"
COMPILED = "32, torch.compile"
NOTE = "forward, backward and optimizer, the batch in memory; below 1 is faster than the default."


def precision(settings: Settings) -> list[Row]:
    """bf16, channels first and torch.compile; the last only at full size, since compiling takes minutes."""
    rows = []
    for case in small_cases(settings):
        with ExitStack() as stack:
            bench = stack.enter_context(opened(case, settings))
            half = stack.enter_context(opened(halved(case), settings))
            steps = {
                DEFAULT: training(bench),
                "bf16-mixed": training(half),
                "32, channels first": training(bench, torch.contiguous_format),
            }
            note = NOTE
            if settings.size == "full":
                steps[COMPILED] = training(bench, compiled=True)
                start = perf_counter()
                steps[COMPILED]()
                note += f" The first compiled step took {perf_counter() - start:.0f} s."
            times = race(steps, bench.pace, bench.watch)
            others = [name for name in steps if name != DEFAULT]
            rows += [
                compared(NAME, bench.case("adapt"), name, DEFAULT, times.compare(name, DEFAULT), note=note)
                for name in others
            ]
    return rows


def halved(case: Case) -> Case:
    """The case in mixed precision."""
    return replace(case, config=changed(case.config, {"precision": "bf16-mixed"}))


def training(
    bench: Bench, memory_format: torch.memory_format = torch.channels_last, compiled: bool = False
) -> Callable[[], None]:
    """A step of fine-tuning the seed's architecture, on one batch."""
    run, how = bench.run, bench.config.adapt
    network, _ = remapped(bench.config, bench.task, bench.seed, bench.seed.arch)
    network.to(memory_format=memory_format)
    if compiled:
        network.compile()
    model, optimizer = run.fabric.setup(network, optimizer_for(network, how))
    training_mode(network, how)
    set_lr(optimizer, how.lr_start)  # of a warm-up's first step: random targets again and again bear no more
    batch = to_device(run, bench.adapt_batch())
    batch["image"] = batch["image"].contiguous(memory_format=memory_format)

    def step() -> None:
        training_step(run, bench.task, model, optimizer, batch, how.clip)

    return step
