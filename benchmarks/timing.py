"""Two or more ways to do the same, timed in turn: what slows the machine down slows all of them down."""

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from statistics import quantiles
from time import perf_counter

from benchmarks.rows import Finding, Quartiles

Clock = Callable[[], float]


def nothing() -> None:
    """What is waited for after a call on a CPU."""


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles and median, interpolated between the values (`statistics.quantiles`, inclusive); one value is all."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*quantiles(values, n=4, method="inclusive"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """`ratio` is contestant over reference, round by round; below 1 the contestant is better. The others in seconds."""

    ratio: Quartiles
    contestant: Quartiles
    reference: Quartiles
    rounds: int


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of every contestant in every round, by name."""

    seconds: Mapping[str, Sequence[float]]

    def of(self, name: str) -> Quartiles:
        """Seconds of one contestant."""
        return quartiles(self.seconds[name])

    def compare(self, contestant: str, reference: str) -> Comparison:
        """One against another, in pairs of the same round."""
        ours, theirs = self.seconds[contestant], self.seconds[reference]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        return Comparison(quartiles(ratios), quartiles(ours), quartiles(theirs), len(ratios))


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to time: `rounds`, or fewer once `seconds` are spent, but at least two; `warmup` rounds before them."""

    rounds: int
    warmup: int = 1
    seconds: float = math.inf


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Without the pauses of Python's garbage collector, which would fall on whoever is at work."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Reads `clock` around so many `calls`; `synchronize` waits until the device is done with them."""

    synchronize: Callable[[], None] = nothing
    calls: int = 1
    clock: Clock = field(default=perf_counter)

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call, the mean of all."""
        start = self.clock()
        for _ in range(self.calls):
            call()
        self.synchronize()
        return (self.clock() - start) / self.calls


def race(contestants: Mapping[str, Callable[[], object]], pace: Pace, watch: Stopwatch | None = None) -> Times:
    """Time all contestants once a round, strictly in turn; the order is turned round after every round."""
    watch = watch or Stopwatch()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    order = cycle((names, names[::-1]))
    with no_garbage_collection():
        for _ in range(pace.warmup):
            for call in contestants.values():
                watch.seconds(call)
        start = watch.clock()
        for done in range(pace.rounds):
            if done >= 2 and watch.clock() - start > pace.seconds:
                break
            for name in next(order):
                seconds[name].append(watch.seconds(contestants[name]))
    return Times(seconds)


def compare(
    contestant: Callable[[], object],
    reference: Callable[[], object],
    rounds: int,
    warmup: int = 1,
    synchronize: Callable[[], None] = nothing,
    clock: Clock = perf_counter,
) -> Comparison:
    """Two of them; see `race`."""
    both = {"contestant": contestant, "reference": reference}
    times = race(both, Pace(rounds, warmup), Stopwatch(synchronize, clock=clock))
    return times.compare("contestant", "reference")


def compared(
    benchmark: str,
    case: str,
    contestant: str,
    reference: str,
    found: Comparison,
    at_most: float | None = None,
    note: str = "",
) -> Finding:
    """The row of a comparison in seconds; `at_most` is the wanted ratio."""
    return Finding(
        benchmark,
        case,
        contestant,
        found.contestant,
        reference=reference,
        reference_value=found.reference,
        ratio=found.ratio,
        wanted="" if at_most is None else f"at most {at_most:.3g}",
        reached=None if at_most is None else found.ratio.median <= at_most,
        note=note,
    )
