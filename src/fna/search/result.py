"""What a search found, as one value: every strategy writes it, every reader of a search reads it and nothing else.

The schema of search/result.json is described in docs/files.md.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from fna.arch.decision import Decision
from fna.arch.design import Design
from fna.arch.space import GROUPINGS
from fna.errors import UserError, unknown
from fna.files import read_json, write_json

FORMAT = "fna-search-1"
FILE = "search/result.json"

STRATEGIES = ("alphas", *(f"swaps-{grouping}" for grouping in GROUPINGS))


def known_strategy(value: object) -> object:
    """A name of `STRATEGIES`; what is no text is passed on to be judged by its type."""
    if isinstance(value, str) and value not in STRATEGIES:
        raise unknown("strategy", value, STRATEGIES)
    return value


Strategy = Annotated[str, BeforeValidator(known_strategy)]
FrozenValues = tuple[tuple[float, ...], ...]
"""`OptionValues` that nothing can change."""
Numbers = dict[str, int | float]
"""A cost, or limits of one, by the name of the measure."""


class Record(BaseModel):
    """A part of the file: no key may be missing or unknown, none is of another type; what cannot be known is None."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DecisionRecord(Record):
    """A decision; `costs` has the exact cost of each option by measure, `candidates` is as in `Decision`."""

    name: str
    options: tuple[str, ...]
    seed_option: int
    candidates: tuple[tuple[int, ...], ...] | None
    costs: dict[str, tuple[int, ...]]

    @staticmethod
    def of(decision: Decision, costs: dict[str, Sequence[int]]) -> "DecisionRecord":
        """The record of a decision whose options cost so much."""
        return DecisionRecord(
            name=decision.name,
            options=decision.options,
            seed_option=decision.seed_option,
            candidates=decision.candidates or None,
            costs={measure: tuple(row) for measure, row in costs.items()},
        )

    @property
    def decision(self) -> Decision:
        """The decision itself."""
        return Decision(self.name, self.options, self.seed_option, self.candidates or ())


class Worth(Record):
    """What each option is estimated to be worth, more is better; `unit` says in what.

    `mean` is over the `replicas` (independent searches), `standard_errors` are of that mean (0 where an option is the
    reference of the others; None with a single replica). `scores` is what the derivation reads.
    """

    unit: str
    mean: FrozenValues
    standard_errors: FrozenValues | None
    scores: FrozenValues
    replicas: tuple[FrozenValues, ...]


class Tried(Record):
    """One short training: the design (as design.json has it), what it costs, how long it was trained, how it did.

    `loss_difference` is of the training loss, to the seed on the same batches: negative is better. `score` is of
    held-out images, as a fraction or in the task's unit.
    """

    design: dict[str, Any]
    cost: Numbers
    steps: int
    random_seed: int
    loss_difference: float | None
    score: float | None


class Finalist(Record):
    """A proposal of the search, against the seed: the difference of the training loss of short trainings.

    `standard_error` and `probability_better` (than the seed, 0 to 1) are of that difference; all None without trials.
    """

    design: dict[str, Any]
    cost: Numbers
    difference: float | None
    standard_error: float | None
    probability_better: float | None

    @staticmethod
    def of(design: Design, cost: Numbers, difference: float | None = None, error: float | None = None) -> "Finalist":
        """A proposal with what its trials say, where it had any."""
        return Finalist(
            design=design_data(design),
            cost=cost,
            difference=difference,
            standard_error=None if error is None or math.isinf(error) else error,
            probability_better=probability_below_zero(difference, error),
        )

    @property
    def layers(self) -> str:
        """The layers of the architecture, stage by stage."""
        return " / ".join(" ".join(stage["layers"]) for stage in self.design["arch"]["stages"])


class Verdict(Record):
    """What was chosen under one budget. `label` is that of its files (`-0.5G`; nothing for the only budget).

    `budget` holds the upper limits by measure, None for no limit. `design` and its `cost` are the chosen network's:
    that of the finalist with the number `chosen`, or the seed's own, where that is None.
    """

    label: str
    budget: Numbers | None
    finalists: tuple[Finalist, ...]
    chosen: int | None
    design: dict[str, Any]
    cost: Numbers


class SearchResult(Record):
    """A finished search. `size_log10` is the size of the space searched: log10 of the number of picks of `decisions`.

    `repeatability` is defined in `fna.search.ranks`. `wall_seconds` are of all that the search took, trials included.
    """

    format: Literal["fna-search-1"]
    strategy: Strategy
    decisions: tuple[DecisionRecord, ...]
    size_log10: float
    worth: Worth
    repeatability: float | None
    tried: tuple[Tried, ...]
    verdicts: tuple[Verdict, ...]
    wall_seconds: float

    @property
    def space(self) -> tuple[Decision, ...]:
        """The decisions themselves."""
        return tuple(record.decision for record in self.decisions)

    @property
    def option_costs(self) -> dict[str, list[tuple[int, ...]]]:
        """By measure, the cost of every option of every decision."""
        return {name: [record.costs[name] for record in self.decisions] for name in self.decisions[0].costs}

    def with_verdict(self, verdict: Verdict, tried: Sequence[Tried], wall_seconds: float) -> "SearchResult":
        """The same search with a further budget decided; what was known under its label is replaced."""
        others = tuple(known for known in self.verdicts if known.label != verdict.label)
        return self.model_copy(
            update={
                "verdicts": (*others, verdict),
                "tried": (*self.tried, *(one for one in tried if one not in self.tried)),
                "wall_seconds": wall_seconds,
            }
        )


def design_data(design: Design) -> dict[str, Any]:
    """A design as JSON has it."""
    data: dict[str, Any] = json.loads(design.to_json())
    return data


def probability_below_zero(difference: float | None, error: float | None) -> float | None:
    """That the true difference is below zero, if its error is normal; None where either is not known."""
    if difference is None or error is None or not 0 < error < math.inf:
        return None
    return NormalDist(difference, error).cdf(0.0)


def write_result(folder: Path, result: SearchResult) -> None:
    """Write RUN/search/result.json."""
    write_json(folder / FILE, result.model_dump(mode="json"))


def read_result(folder: Path) -> SearchResult | None:
    """Read RUN/search/result.json; None where there is none.

    Raises UserError where another version wrote it, or where something in it is missing, unknown or of another type.
    """
    path = folder / FILE
    data = read_json(path)
    if data is None:
        return None
    written = data.get("format") if isinstance(data, dict) else None
    if written != FORMAT:
        raise UserError(
            f"{path} has format {written!r}, this version reads {FORMAT!r}: search again into a new folder, or move "
            "the file away to leave the search out of reports (architectures it derived can still be given to --arch)"
        )
    try:
        # Through JSON: strictly, lists are no tuples, but in JSON there is nothing else.
        return SearchResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: {where}: {first['msg']}; restore the file, or search again into a new folder"
        ) from error
