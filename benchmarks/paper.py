"""The paper's recipes at their own shapes, in fp32 and bf16: steps, memory, utilisation, projected hours.

Meant for a GPU; it ends in the minutes that it is given, whatever the device.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from time import monotonic

import torch

from benchmarks.alpha_step import ALL_GRADIENTS, alpha_bench
from benchmarks.cases import Bench, Case, Section, changed, in_precision, opened, paper_cases
from benchmarks.fine_tuning import fine_tuning_row
from benchmarks.memory import LARGEST, STEPS, largest_row, peak_rows, smallest_batch
from benchmarks.paper_hours import hours_rows
from benchmarks.rows import Row, measured, single
from benchmarks.settings import Settings
from benchmarks.timing import Pace, race
from benchmarks.utilisation import MATRIX, mixture_flops, peak_of_device, training_flops
from benchmarks.weight_step import weight_bench
from fna.search import make_space
from fna.study.projection import adapt_steps

NAME = "utilisation"
PRECISIONS = ("32", "bf16-mixed")
RESERVE = 0.9
"""Of the time given; what is begun is ended."""
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
    rows: tuple[Row, ...]


def paper(settings: Settings) -> Iterator[Row]:
    """Recipes by precisions, each with an equal part of the time that is left."""
    end = monotonic() + 60 * settings.minutes * RESERVE
    todo = [(precision, case) for case in paper_cases(settings) for precision in PRECISIONS]
    for done, (precision, case) in enumerate(todo):
        seconds = max(0.0, end - monotonic()) / (len(todo) - done)
        yield from recipe_rows(in_precision(case, precision), settings, seconds)


def recipe_rows(case: Case, settings: Settings, seconds: float) -> Iterator[Row]:
    """All that is measured of a recipe in one precision, in about so many seconds."""
    end = monotonic() + seconds
    steps: dict[str, Step] = {}
    for kind, measure in MEASURES.items():
        pace = replace(settings.pace, seconds=SHARES[kind] * seconds)
        section: Section = "adapt" if kind in ("train", "refresh") else "search"
        found = fitting(case, section, settings, pace, measure)
        if found is not None:
            steps[kind], case = found
            yield from steps[kind].rows
    yield from utilisation_rows(case, steps, settings)
    yield from hours_rows(case, {kind: (step.images, step.seconds) for kind, step in steps.items()}, settings)
    if settings.device == "cuda":
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
        case = Case(case.name, changed(case.config, {section: {"batch": batch}}), case.classes)
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


def utilisation_rows(case: Case, steps: Mapping[str, Step], settings: Settings) -> list[Row]:
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
