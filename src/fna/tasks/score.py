"""What a score is called, which unit it has, and which way is better; without torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

NOTHING = "–"
"""In tables, in place of a value that is not there."""


@dataclass(frozen=True, slots=True)
class Score:
    """The metric by which the networks of a task are compared.

    `unit` is "%" for a fraction, shown as a percentage with one decimal, or any other text ("" for none), shown with
    four digits. Files have the values as they are.
    """

    name: str
    unit: str = "%"
    higher_is_better: bool = True

    def better(self, value: float, other: float) -> bool:
        """Whether `value` is better than `other`; nan is worse than every number."""
        if math.isnan(value) or math.isnan(other):
            return math.isnan(other) and not math.isnan(value)
        return value > other if self.higher_is_better else value < other

    def best(self, values: Iterable[float]) -> float:
        """The best of the values; raises ValueError where there is none."""
        return max(values) if self.higher_is_better else min(values)

    def gain(self, value: float) -> float:
        """A number that is larger for a better value."""
        return value if self.higher_is_better else -value

    def scaled(self, value: float) -> float:
        """The value in its unit: 41.93 % of 0.4193."""
        return 100 * value if self.unit == "%" else value

    def shown(self, value: float | None) -> str:
        """`0.4193` -> `41.9` where the unit is %, else `0.4193`; a dash for what is absent or not a number."""
        return self._text(value, "")

    def difference(self, value: float | None) -> str:
        """A difference of two values of this score, with its sign."""
        return self._text(value, "+")

    @property
    def points(self) -> str:
        """What is written after a difference, with a space before it: points of a percentage, or the unit."""
        return " points" if self.unit == "%" else self._after

    @property
    def in_unit(self) -> str:
        """` in percent`, ` in m`, or nothing, for sentences."""
        return " in percent" if self.unit == "%" else f" in {self.unit}" if self.unit else ""

    @property
    def label(self) -> str:
        """The name with its unit, for axes."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def direction(self) -> str:
        """`lower is better`, which has to be said; nothing where higher is, as everyone takes it."""
        return "" if self.higher_is_better else "lower is better"

    @property
    def _after(self) -> str:
        return f" {self.unit}" if self.unit else ""

    def _text(self, value: float | None, sign: str) -> str:
        if value is None or math.isnan(value):
            return NOTHING
        return f"{self.scaled(value):{sign}.1f}" if self.unit == "%" else f"{value:{sign}.4g}"
