"""How time and memory of a step grow with candidates, depth, image size and batch."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from math import log
from statistics import linear_regression
from typing import Any

from benchmarks.cases import Case, changed, opened, small_cases
from benchmarks.memory import STEPS, peak_of
from benchmarks.rows import Finding, number, single
from benchmarks.settings import Settings
from benchmarks.timing import Times, quartiles, race
from fna.study.projection import search_steps

NAME = "growth"
KINDS = ("weight", "alpha")
NEAR = 0.1
"""How far an exponent may be from 1 and still be called linear."""
ROUNDS = 5
"""At most: every round gives an exponent."""
BASE = {"search": {"batch": 4, "augment": {"crop": "128x128"}}}
SEED_DEPTHS = (2, 3, 4, 3, 3, 1)
"""Of MobileNetV2's searched stages: the least that its space must have."""
Axis = Mapping[float, dict[str, Any]]
AXES: dict[str, Axis] = {
    "candidates of a layer": {2 * len(k): {"kernels": list(k)} for k in ((3,), (3, 5), (3, 5, 7), (3, 5, 7, 9))},
    "searched layers": {n * sum(SEED_DEPTHS): {"depths": [n * depth for depth in SEED_DEPTHS]} for n in (1, 2, 3)},
    "pixels of an image": {side**2: {"augment": {"crop": [side, side]}} for side in (96, 128, 192, 256)},
    "images of a batch": {n: {"batch": n} for n in (2, 4, 8, 16)},
}
TINY_AXES: dict[str, Axis] = {
    "images of a batch": {n: {"batch": n, "augment": {"crop": "64x64"}} for n in (2, 4)},
}
NOTE = (
    "exponent p of a fitted power law, cost ~ size^p; 1 within 0.1 is called linear. What does not grow (the head, "
    "fixed layers, the start of every operation) makes p smaller."
)


def growth(settings: Settings) -> list[Finding]:
    """Every axis by itself, from the same base."""
    base = small_cases(settings, share=False)[0]
    if settings.size != "tiny":
        base = Case(base.name, changed(base.config, BASE), base.classes)
    axes = {"full": AXES, "quick": dict([*AXES.items()][-1:]), "tiny": TINY_AXES}[settings.size]
    return [row for axis, changes in axes.items() for row in axis_rows(base, axis, changes, settings)]


def axis_rows(base: Case, axis: str, changes: Axis, settings: Settings) -> list[Finding]:
    """Time and memory of each kind of step along an axis."""
    cases = {
        size: Case(base.name, changed(base.config, {"search": how}), base.classes) for size, how in changes.items()
    }
    rows = []
    for kind in KINDS:
        times = race_of(cases, kind, settings)
        peaks = {size: peak_of(case, kind, settings) / 2**20 for size, case in cases.items()}
        medians = {size: times.of(str(size)).median for size in cases}
        exponents = [exponent(dict(zip(cases, values, strict=True))) for values in by_round(times, cases)]
        for what, points, unit, found in (
            ("time", medians, "s", quartiles(exponents)),
            ("memory", peaks, "MiB", single(exponent(peaks))),
        ):
            name = f"{STEPS[kind]}, {what}"
            note = f"{axis}: {name}: {points_text(points, unit)}."
            rows.append(Finding(NAME, axis, name, found, f"exponent ({verdict(found.median)})", note=note))
    return [replace(rows[0], note=f"{NOTE} {rows[0].note}"), *rows[1:]]


def by_round(times: Times, cases: Mapping[float, Case]) -> list[tuple[float, ...]]:
    """The seconds of all sizes in each round."""
    return list(zip(*(times.seconds[str(size)] for size in cases), strict=True))


def race_of(cases: Mapping[float, Case], kind: str, settings: Settings) -> Times:
    """The sizes in turn, so that what slows the machine down bends no curve."""
    with ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {}
        for size, case in cases.items():
            bench = stack.enter_context(opened(case, settings))
            calls[str(size)] = search_steps(bench.run, bench.task, bench.seed, None)[kind]
        pace = replace(settings.pace, rounds=min(ROUNDS, settings.pace.rounds))
        return race(calls, pace, bench.watch)


def exponent(points: Mapping[float, float]) -> float:
    """The slope of a least-squares line through log(cost) over log(size)."""
    return linear_regression([log(size) for size in points], [log(cost) for cost in points.values()]).slope


def verdict(power: float) -> str:
    """What an exponent means."""
    if abs(power) <= NEAR:
        return "constant"
    if abs(power - 1) <= NEAR:
        return "linear"
    return "less than linear" if power < 1 else "more than linear"


def points_text(points: Mapping[float, float], unit: str) -> str:
    """`2: 0.11 s, 4: 0.2 s`."""
    return ", ".join(f"{number(size)}: {number(cost)} {unit}" for size, cost in points.items())
