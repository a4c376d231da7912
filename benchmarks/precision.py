"""Precision, memory format and compilation: a fine-tuning step in each way against the default."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from benchmarks.cases import Bench, Case, opened, paper_cases, small_cases
from benchmarks.rows import Finding
from benchmarks.settings import Settings
from benchmarks.timing import compared, race
from fna.train.adapt import optimizer_for, remapped, training_mode, training_step
from fna.train.evaluate import to_device
from fna.train.schedules import set_lr

NAME = "precision"
NOTE = "forward, backward and optimizer, the batch in memory; below 1 is faster than the default."
FORMATS = {torch.channels_last: "channels last", torch.contiguous_format: "channels first"}
PRECISIONS = {"cpu": ("32", "bf16-mixed"), "cuda": ("32", "bf16-mixed", "16-mixed")}


@dataclass(frozen=True, slots=True)
class Way:
    """How a network is trained."""

    precision: str
    memory_format: torch.memory_format
    compiled: bool = False

    def __str__(self) -> str:
        return ", ".join([self.precision, FORMATS[self.memory_format], *["torch.compile"] * self.compiled])


DEFAULT = Way("32", torch.channels_last)


def precision(settings: Settings) -> list[Finding]:
    """Precisions and memory formats, and torch.compile; the last only at full size, since compiling takes minutes.

    On a GPU at the paper's shapes.
    """
    cases = paper_cases(settings) if settings.device == "cuda" else small_cases(settings)
    return [row for case in cases for row in case_rows(case, settings)]


def case_rows(case: Case, settings: Settings) -> list[Finding]:
    """A row for each way that is not the default."""
    note, steps = NOTE, dict[str, Callable[[], None]]()
    with ExitStack() as stack:
        benches = {
            name: stack.enter_context(opened(case.having(precision=name), settings))
            for name in PRECISIONS[settings.device]
        }
        for way in ways(settings):
            steps[str(way)] = training(benches[way.precision], way)
            if way.compiled:
                start = perf_counter()
                steps[str(way)]()
                note += f" The first compiled step took {perf_counter() - start:.0f} s."
        bench = benches[DEFAULT.precision]
        times = race(steps, bench.pace, bench.watch)
    others = [way for way in steps if way != str(DEFAULT)]
    return [
        compared(NAME, bench.case("adapt"), way, str(DEFAULT), times.compare(way, str(DEFAULT)), note=note)
        for way in others
    ]


def ways(settings: Settings) -> Iterator[Way]:
    """All that are tried."""
    for name in PRECISIONS[settings.device]:
        for memory_format in FORMATS:
            yield Way(name, memory_format)
    if settings.size == "full":
        yield replace(DEFAULT, compiled=True)


def training(bench: Bench, way: Way) -> Callable[[], None]:
    """A step of fine-tuning the seed's architecture, on one batch."""
    run, how = bench.run, bench.config.adapt
    network, _ = remapped(bench.config, bench.task, bench.seed, bench.design(bench.seed.arch))
    if way.compiled:
        network.compile()
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    network.to(memory_format=way.memory_format)
    training_mode(network, how)
    set_lr(optimizer, how.lr_start)  # of a warm-up's first step: random targets again and again bear no more
    batch = to_device(run, bench.adapt_batch())
    batch["image"] = batch["image"].contiguous(memory_format=way.memory_format)

    def step() -> None:
        training_step(run, bench.task, model, optimizer, batch, how.clip)

    return step
