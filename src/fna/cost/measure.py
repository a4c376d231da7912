"""What a network costs: measures with their units, and a cost as the values of some of them.

Exact measures are counted from the data of an architecture. A measured one, such as milliseconds, holds on one target
only and needs the whole network: it has its place in `MEASURES` like any other, with its `target`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fna.arch.decision import Decision, option_costs
from fna.arch.design import Design
from fna.arch.space import Space
from fna.cost.count import candidate_counts, candidate_madds, count
from fna.cost.memory import candidate_memory, design_memory
from fna.errors import UserError

Number = int | float
Of = Callable[[Design, int], Number]
"""A design and the number of its classes -> the number of the whole network, for one image of the design's size."""
Candidates = Callable[[Space, Design, int], list[list[int]]]
"""The same of every candidate of every searched layer of a space, under the head and at the size of a design; what a
layer has does not depend on the others."""
THOUSANDS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
BINARY = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
"""Suffixes of an amount, and how many units each is; of memory they are powers of 1024, as in `--cache`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number for a network: `of` finds it, in `unit`, of which people read `scale` as one, with so many `digits`.

    `candidates` are the numbers of the layers of a space, from which a network's follows as `joins` says: their sum or
    their largest, and what is not searched. Without them only whole networks have one. `target` is where the number is
    measured, None where it is exact.
    """

    name: str
    unit: str
    of: Of
    scale: int = 1
    scaled_unit: str = ""
    digits: int = 2
    suffixes: Mapping[str, int] = field(default_factory=lambda: {"": 1})
    candidates: Candidates | None = None
    joins: Literal["sum", "max"] = "sum"
    target: str | None = None

    def text(self, value: Number) -> str:
        """The number as people read it: `0.5658 G MAdds`."""
        return f"{value / self.scale:.{self.digits}f} {self.scaled_unit or self.unit}"

    def parse(self, text: str) -> Number:
        """`0.5G` -> 500000000; whole for exact measures. Raises UserError for what is no number above zero."""
        found = re.fullmatch(r"\s*((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]?)\s*", text.lower())
        if not found or found[2].upper() not in self.suffixes:
            suffixes = [f"1{suffix}" for suffix in self.suffixes if suffix]
            raise UserError(
                f"{text!r} is no amount of {self.unit}: write a number above zero"
                + (f", alone or as {', '.join(suffixes)}" if suffixes else "")
            )
        value = float(found[1]) * self.suffixes[found[2].upper()]
        if math.isinf(value):
            raise UserError(f"{text!r} is larger than any number; leave the limit out for none")
        value = round(value) if self.target is None else value
        if value <= 0:
            least = "at least 1" if self.target is None else "above zero"
            raise UserError(f"{text!r} must be {least}: is a suffix missing?")
        return value


PARAMS = Measure(
    "params",
    "parameters",
    lambda design, classes: count(design, classes).params,
    scale=10**6,
    scaled_unit="M parameters",
    suffixes=THOUSANDS,
    candidates=lambda space, design, classes: [
        [part.params for part in row] for row in candidate_counts(space, design.imgsz, design.output_stride)
    ],
)
MADDS = Measure(
    "madds",
    "MAdds",
    lambda design, classes: count(design, classes).madds,
    scale=10**9,
    scaled_unit="G MAdds",
    digits=4,
    suffixes=THOUSANDS,
    candidates=lambda space, design, classes: candidate_madds(space, design.imgsz, design.output_stride),
)
MEMORY = Measure(
    "memory",
    "bytes",
    design_memory,
    scale=1 << 20,
    scaled_unit="MiB of activations",
    suffixes=BINARY,
    candidates=candidate_memory,
    joins="max",
)
JOINS: dict[str, Callable[[Iterable[int]], int]] = {"sum": sum, "max": max}
MEASURES = {measure.name: measure for measure in (PARAMS, MADDS, MEMORY)}
"""All measures by name."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The values of some measures for one network, by name."""

    values: Mapping[str, Number]

    def __getitem__(self, name: str) -> Number:
        return self.values[name]

    def __str__(self) -> str:
        return ", ".join(MEASURES[name].text(value) for name, value in self.values.items())

    def as_dict(self) -> dict[str, Number]:
        """The values by name, as JSON has them."""
        return dict(self.values)


def cost_of(design: Design, classes: int, measured: Iterable[str] = ()) -> Cost:
    """What a whole network costs: by all exact measures, and by those that are measured and asked for by name."""
    names = [name for name, measure in MEASURES.items() if measure.target is None or name in measured]
    return Cost({name: MEASURES[name].of(design, classes) for name in names})


def decision_costs(
    space: Space, decisions: Sequence[Decision], design: Design, classes: int
) -> dict[str, list[list[int]]]:
    """By measure, what every option of every decision costs; of all measures that layers have by themselves.

    Raises UserError for another library's head, under which nothing is searched.
    """
    return {
        name: option_costs(decisions, measure.candidates(space, design, classes), JOINS[measure.joins])
        for name, measure in MEASURES.items()
        if measure.candidates is not None
    }
