"""The paper's recipes at their own shapes, in fp32 and bf16: steps, memory, utilisation, projected hours.

Meant for a GPU; it ends in the minutes that it is given, whatever the device.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean
from time import monotonic

import torch

from benchmarks.alpha_step import ALL_GRADIENTS, alpha_bench
from benchmarks.cases import Bench, Case, Section, opened, paper_cases
from benchmarks.fine_tuning import fine_tuning_row
from benchmarks.memory import LARGEST, STEPS, largest_row, peak_rows, smallest_batch
from benchmarks.paper_hours import hours_rows
from benchmarks.rows import Finding, measured, single
from benchmarks.settings import Settings
from benchmarks.timing import Pace, race
from benchmarks.utilisation import MATRIX, mixture_flops, peak_of_device, training_flops
from benchmarks.weight_step import weight_bench
from fna.search.search import make_space
from fna.study.projection import adapt_steps

NAME = "utilisation"
PRECISIONS = ("32", "bf16-mixed")
RESERVE = 0.9
"""Of the time left, for what is begun is ended."""
SHARES = {"weight": 0.12, "alpha": 0.2, "train": 0.12, "refresh": 0.03}
"""Of the time of a recipe in one precision, for the rounds of its steps. The rest starts networks and finds batches."""
NOTE = (
    "operations are 2 for a multiply-add of convolutions, three times (forward, gradients of inputs and weights), in a "
    "step of the alphas twice. The peak:"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What was measured of a kind of step: seconds with so many images, and rows."""

    images: int
    seconds: float
    flops: float
    rows: tuple[Finding, ...]


def paper(settings: Settings) -> Iterator[Finding]:
    """Recipes in single precision, then in bf16, each with an equal part of the time that is left."""
    clock = Deadline(monotonic() + 60 * settings.minutes)
    todo = [(precision, case) for precision in PRECISIONS for case in paper_cases(settings)]
    for done, (precision, case) in enumerate(todo):
        seconds = RESERVE * clock.left() / (len(todo) - done)
        yield from recipe_rows(case.having(precision=precision), settings, seconds, clock)


@dataclass(slots=True)
class Deadline:
    """When all has to be over. What is not likely to be by then is not begun, and said to be left out."""

    at: float
    took: dict[str, float] = field(default_factory=dict)
    """The most seconds so far of each kind of work: a new shape's first step takes far longer than all others."""

    def left(self) -> float:
        """Seconds."""
        return max(0.0, self.at - monotonic())

    @contextmanager
    def work(self, kind: str) -> Iterator[None]:
        """Remembers how long the block takes."""
        start = monotonic()
        yield
        self.took[kind] = max(self.took.get(kind, 0.0), monotonic() - start)

    def allows(self, kind: str) -> bool:
        """Whether there is time for as much as this kind of work has taken."""
        return self.left() > self.took.get(kind, 0.0)


def recipe_rows(case: Case, settings: Settings, seconds: float, clock: Deadline) -> Iterator[Finding]:
    """All that is measured of a recipe in one precision, with rounds of steps for about so many seconds."""
    end = monotonic() + seconds
    steps: dict[str, Step] = {}
    for kind, measure in MEASURES.items():
        if not clock.allows(kind):
            print(f"no time for {case.name}, {case.config.precision}: {kind}", file=sys.stderr, flush=True)
            continue
        pace = replace(settings.pace, seconds=SHARES[kind] * seconds)
        section: Section = "adapt" if kind in ("train", "refresh") else "search"
        with clock.work(kind):
            found = fitting(case, section, settings, pace, measure)
        if found is not None:
            steps[kind], case = found
            yield from steps[kind].rows
    yield from utilisation_rows(case, steps, settings)
    yield from hours_rows(case, {kind: (step.images, step.seconds) for kind, step in steps.items()}, settings)
    if settings.device == "cuda" and len(steps) == len(MEASURES) and clock.allows("memory"):
        with clock.work("memory"):
            yield from memory_rows(case, settings, end)


def memory_rows(case: Case, settings: Settings, end: float) -> Iterator[Finding]:
    """Peaks and largest batches."""
    peaks = peak_rows(case, settings, list(LARGEST), [ALL_GRADIENTS])
    yield from peaks
    limit = torch.cuda.mem_get_info()[1]
    for left, (kind, row) in enumerate(zip(LARGEST, peaks, strict=False)):
        until = monotonic() + max(0.0, end - monotonic()) / (len(LARGEST) - left)
        yield largest_row(case, kind, settings, limit, until, row.contestant_value.median * 2**20)


def fitting(
    case: Case, section: Section, settings: Settings, pace: Pace, measure: Callable[[Bench], Step]
) -> tuple[Step, Case] | None:
    """A measurement with the batch of the case, or half of it until it fits the GPU; None where nothing fits."""
    for batch in halves(getattr(case.config, section).batch, smallest_batch(case)):
        case = case.having(**{section: {"batch": batch}})
        try:
            with opened(case, settings) as bench:
                return measure(replace(bench, pace=pace)), case
        except torch.OutOfMemoryError:
            pass
        gc.collect()  # after the exception is gone, and its frames with what they held
        torch.cuda.empty_cache()
    return None


def halves(batch: int, smallest: int) -> Iterator[int]:
    """The batch, half of it, and so on."""
    while batch >= smallest:
        yield batch
        batch //= 2


def weight(bench: Bench) -> Step:
    """A weight step; operations are the mean of the sampled paths."""
    row, paths = weight_bench(bench)
    how, space = bench.config.search, make_space(bench.task, bench.seed, bench.config.search)
    hw = bench.task.shape(how.augment)
    flops = fmean(training_flops(bench, space.pick(path), hw, how.batch) for path in paths)
    return Step(how.batch, row.contestant_value.median, flops, (row,))


def alpha(bench: Bench) -> Step:
    """A step of the alphas and its references."""
    rows, how = alpha_bench(bench), bench.config.search
    space = make_space(bench.task, bench.seed, how)
    flops = mixture_flops(bench, space, bench.task.shape(how.augment), how.batch)
    return Step(how.batch, rows[0].contestant_value.median, flops, tuple(rows))


def train(bench: Bench) -> Step:
    """A fine-tuning step."""
    row, how = fine_tuning_row(bench), bench.config.adapt
    flops = training_flops(bench, bench.seed.arch, bench.task.shape(how.augment), how.batch)
    return Step(how.batch, row.contestant_value.median, flops, (row,))


def refresh(bench: Bench) -> Step:
    """A batch of the norm refresh, for the hours alone."""
    call = adapt_steps(bench.run, bench.task, bench.seed, None)["refresh"]
    seconds = race({"refresh": call}, bench.pace, bench.watch).of("refresh").median
    return Step(bench.config.adapt.batch, seconds, 0.0, ())


MEASURES: dict[str, Callable[[Bench], Step]] = {"weight": weight, "alpha": alpha, "train": train, "refresh": refresh}


def utilisation_rows(case: Case, steps: Mapping[str, Step], settings: Settings) -> list[Finding]:
    """Achieved over possible operations a second of each kind of step that has operations."""
    device, rows = torch.device(settings.device), []
    peak = peak_of_device(device, case.config.precision, 256 if settings.size == "tiny" else MATRIX)
    for kind, step in steps.items():
        if step.flops:
            share = 100 * step.flops / step.seconds / peak.flops
            name = step.rows[0].case
            rows.append(
                measured(NAME, name, STEPS[kind], single(share), "% of the peak", note=f"{NOTE} {peak.source}.")
            )
    return rows
