"""A budget: upper limits on what a network may cost, in any measures."""

from collections.abc import Mapping
from dataclasses import dataclass

from fna.cost.measure import MADDS, MEASURES, Cost, Measure, Number
from fna.errors import UserError, unknown

NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limits by the name of their measure; without any, everything is allowed."""

    limits: Mapping[str, Number]

    @staticmethod
    def parse(text: str) -> "Budget":
        """`0.5G` (multiply-adds), `params=2M`, `15ms`, several joined by `+`, or `none` for no limit.

        An amount alone is multiply-adds, unless it ends in the unit of another measure. Raises UserError for what is no
        amount, an unknown measure and one that is limited twice.
        """
        limits: dict[str, Number] = {}
        for part in [] if text.strip() == NO_LIMIT else text.split("+"):
            try:
                measure, amount = _measure_and_amount(part.strip())
                limit = measure.parse(amount)
            except UserError as error:
                raise UserError(f"budget {text!r}: {error}") from error
            if measure.name in limits:
                raise UserError(f"budget {text!r} limits {measure.name} twice; give each measure one limit")
            limits[measure.name] = limit
        return Budget(limits)

    def __str__(self) -> str:
        return " and ".join(f"{MEASURES[name].text(limit)}" for name, limit in self.limits.items()) or "no limit"

    def as_dict(self) -> dict[str, Number]:
        """The limits by name, as JSON has them."""
        return dict(self.limits)

    @property
    def measured(self) -> tuple[str, ...]:
        """The limited measures that only a run on a target can tell."""
        return tuple(name for name in self.limits if MEASURES[name].target is not None)

    def only_madds(self, what: str) -> int:
        """The limit of multiply-adds, which must be the only one; `what` says who asks."""
        if set(self.limits) != {MADDS.name}:
            raise UserError(f"budget is {self}; {what} under one limit of multiply-adds: give that, such as 0.5G")
        return int(self.limits[MADDS.name])

    def allows(self, cost: Cost) -> bool:
        """Whether no limit is exceeded; the cost has every limited measure."""
        return not self.exceeded(cost)

    def exceeded(self, cost: Cost) -> list[str]:
        """A sentence for every limit that a cost exceeds: which one, and by what.

        Raises UserError where the cost lacks a limited measure.
        """
        for name in self.limits:
            if name not in cost.values:
                raise UserError(f"budget {self}: {name} is not known of this network; limit {', '.join(cost.values)}")
        return [
            f"{MEASURES[name].text(cost[name])} exceed the limit of {MEASURES[name].text(limit)}"
            for name, limit in self.limits.items()
            if cost[name] > limit
        ]


def _measure_and_amount(text: str) -> tuple[Measure, str]:
    name, equals, amount = text.partition("=")
    if equals:
        if name.strip() not in MEASURES:
            raise unknown("measure", name.strip(), MEASURES)
        return MEASURES[name.strip()], amount
    measured = [measure for measure in MEASURES.values() if measure.target is not None]
    for measure in measured:
        if text.endswith(measure.unit):
            return measure, text.removesuffix(measure.unit)
    if text.endswith("ms"):
        raise UserError("milliseconds are not measured by this version; limit multiply-adds in their place, as in 0.5G")
    return MADDS, text
