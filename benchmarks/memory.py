"""Memory: the peak of every kind of step, and the largest batch under a limit."""

import gc
import math
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from time import monotonic

import torch

from benchmarks.alpha_step import ALL_GRADIENTS, ALPHAS_ONLY, one_by_one, start
from benchmarks.cases import Case, Section, opened, paper_cases, small_cases
from benchmarks.peak import peak_memory
from benchmarks.rows import Finding, measured, single
from benchmarks.settings import Settings
from fna.arch.arch import HW
from fna.study.projection import adapt_steps, search_steps
from fna.study.random_images import random_task

NAME = "memory"
AT_MOST = 0.5
"""Of the straightforward alpha step."""
SEARCH_STEPS = {"weight": "weight step", "alpha": "alpha step", "score": "scoring of swaps"}
ADAPT_STEPS = {"refresh": "norm refresh", "train": "fine-tuning step"}
STEPS = SEARCH_STEPS | ADAPT_STEPS
"""Kinds of steps, of the search and of the fine-tuning."""
REFERENCES = (ALL_GRADIENTS, ALPHAS_ONLY)
LARGEST = {"weight": "weight step", "alpha": "alpha step", "train": "fine-tuning step"}
GIB = 2**30
LIMITS_GIB = {"full": 2.0, "quick": 1.0, "tiny": 0.125}
"""On a CPU, so that the largest batches are small and soon found."""
REPEATS = 2
"""Steps that a peak is taken over: the first one makes the state of the optimizer."""


def memory(settings: Settings) -> list[Finding]:
    """Peaks on small shapes, and largest batches on the paper's."""
    rows = [row for case in small_cases(settings, share=False) for row in peak_rows(case, settings)]
    cases = small_cases(settings)[:1] if settings.size == "tiny" else paper_cases(settings)
    if settings.size == "quick":
        cases = cases[:1]
    kinds = ["alpha"] if settings.size == "quick" else list(LARGEST)
    limit = int(LIMITS_GIB[settings.size] * GIB)
    return rows + [largest_row(case, kind, settings, limit) for case in cases for kind in kinds]


def peak_rows(
    case: Case, settings: Settings, kinds: Sequence[str] = tuple(STEPS), references: Sequence[str] = REFERENCES
) -> list[Finding]:
    """The peak of each kind of step, that of the alphas beside the straightforward form."""
    peaks = {kind: peak_of(case, kind, settings) for kind in (*kinds, *references)}
    note = "above a process with all libraries loaded; network, gradients, optimizer, batch and activations are in it."
    rows = {}
    for kind in kinds:
        height, width = shape_of(case, section_of(kind))
        where = f"{case.name}, {height}x{width}, batch {getattr(case.config, section_of(kind)).batch}"
        rows[kind] = measured(NAME, where, STEPS[kind], single(peaks[kind] / 2**20), "MiB", note=note)
    return [
        *rows.values(),
        *(against(rows["alpha"], reference, peaks[reference] / 2**20) for reference in references),
    ]


def against(row: Finding, reference: str, mebibytes: float) -> Finding:
    """The row with a reference beside it, one that is judged where that is the straightforward form."""
    ratio = row.contestant_value.median / mebibytes
    judged = reference == ALL_GRADIENTS
    return Finding(
        NAME,
        row.case,
        row.contestant,
        row.contestant_value,
        row.unit,
        reference,
        single(mebibytes),
        single(ratio),
        f"at most {AT_MOST}" if judged else "",
        ratio <= AT_MOST if judged else None,
        row.note,
    )


def section_of(kind: str) -> Section:
    """Where the configuration says how a step of this kind is."""
    return "adapt" if kind in ADAPT_STEPS else "search"


def peak_of(case: Case, kind: str, settings: Settings) -> int:
    """Bytes of one kind of step at its peak, with networks and optimizers."""
    return peak_memory(take_steps, case, kind, settings, device=settings.device)


def take_steps(case: Case, kind: str, settings: Settings) -> None:
    """Make what a step needs, and take a few."""
    with opened(case, settings) as bench:
        if kind in REFERENCES:
            step, _ = one_by_one(bench, start(bench), bench.search_batch(), kind == ALL_GRADIENTS)
        else:
            steps_of = adapt_steps if kind in ADAPT_STEPS else search_steps
            step = steps_of(bench.run, bench.task, bench.seed, None)[kind]
        for _ in range(REPEATS):
            step()


def largest_row(
    case: Case, kind: str, settings: Settings, limit: int, until: float = math.inf, peak: float = math.inf
) -> Finding:
    """The largest batch of one kind of step whose peak is under `limit` bytes.

    `peak` is that of the case's own batch, where it is known: then the search begins near where it will end. It is
    broken off when `monotonic()` is past `until`; then the row says `at least`.
    """
    section = section_of(kind)

    def fits(batch: int) -> bool:
        try:
            return peak_of(case.having(**{section: {"batch": batch}}), kind, settings) <= limit
        except (torch.OutOfMemoryError, BrokenProcessPool):
            return False
        finally:
            gc.collect()

    def late() -> bool:
        return monotonic() > until

    own = getattr(case.config, section).batch
    # What does not grow with the batch is in the peak, so that the guess is a bit low.
    found = largest(fits, smallest_batch(case), late, known=own * (peak < limit), guess=int(own * limit / peak))
    height, width = shape_of(case, section)
    where = f"{case.name}, {height}x{width}, under {limit / GIB:.4g} GiB"
    note = "largest batches are found by doubling and then halving the interval, each tried with real steps."
    name = f"largest batch, {LARGEST[kind]}{', at least' if late() else ''}"
    return measured(NAME, where, name, single(found), "images", note=note)


def shape_of(case: Case, section: Section) -> HW:
    """Height and width of the training images of a section."""
    task = random_task(case.config, case.classes, case.name)
    return task.shape(task.config.adapt.augment if section == "adapt" else task.config.search.augment)


def smallest_batch(case: Case) -> int:
    """One image; two where a norm has a single cell, as SSDLite's last map."""
    return 2 if case.config.head == "ssdlite" else 1


def largest(
    fits: Callable[[int], bool],
    smallest: int,
    late: Callable[[], bool] = lambda: False,
    most: int = 4096,
    known: int = 0,
    guess: int = 0,
) -> int:
    """The largest number up to `most` that fits, 0 where not even the smallest does; what is below one that fits fits.

    `known` is one that fits, 0 for none, and `guess` the next one to try. When it is `late`, the largest that is known
    to fit.
    """
    if not known and not fits(smallest):
        return 0
    good = max(known, smallest)
    bad = guess if good < guess <= most else good * 2
    while bad <= most and not late() and fits(bad):
        good, bad = bad, bad * 2
    bad = min(bad, most + 1)
    while bad - good > 1 and not late():
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good
