"""What a search decides: decisions with their options; a pick is one option of each."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Path = tuple[int, ...]
"""One candidate index per searched layer."""
Pick = tuple[int, ...]
"""One option index per decision."""
OptionValues = Sequence[Sequence[float]]
"""Of every decision a value for each of its options, such as a score or a cost."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One choice: `options` as text, of which the seed has `seed_option`.

    `candidates` is what each option stands for in a super network: one candidate index for each searched layer that
    the decision covers. Empty where the decision is not of layers.
    """

    name: str
    options: tuple[str, ...]
    seed_option: int
    candidates: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.seed_option < len(self.options):
            raise ValueError(f"{self.name}: the seed's option is {self.seed_option}, of {len(self.options)} options")
        if self.candidates and len(self.candidates) != len(self.options):
            raise ValueError(f"{self.name}: {len(self.candidates)} candidates for {len(self.options)} options")


def seed_pick(decisions: Sequence[Decision]) -> Pick:
    """The pick that gives the seed."""
    return tuple(decision.seed_option for decision in decisions)


def path_of(decisions: Sequence[Decision], pick: Pick) -> Path:
    """The path of a pick: the candidates of all its options, in order."""
    return tuple(c for decision, option in zip(decisions, pick, strict=True) for c in decision.candidates[option])


def option_costs(
    decisions: Sequence[Decision], costs: Sequence[Sequence[int]], join: Callable[[Iterable[int]], int] = sum
) -> list[list[int]]:
    """The cost of every option, from that of every candidate of every searched layer, of which it joins several."""
    rows, layer = [], 0
    for decision in decisions:
        layers = costs[layer : layer + len(decision.candidates[0])]
        rows.append([join([row[c] for row, c in zip(layers, part, strict=True)]) for part in decision.candidates])
        layer += len(layers)
    return rows


def size_log10(decisions: Sequence[Decision]) -> float:
    """log10 of the number of picks: the size of the space that is searched."""
    return sum(math.log10(len(decision.options)) for decision in decisions)
