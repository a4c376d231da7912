"""What a benchmark found: rows, and their table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fna.report.text import NOTHING, table

HEADER = ("benchmark", "case", "ours", "reference", "ratio", "wanted", "reached")


@dataclass(frozen=True, slots=True)
class Quartiles:
    """The quarter, the half and three quarters of the values lie below."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What one contestant took, in `unit`, and where there is a reference what that took, and their ratio.

    `ratio` is contestant over reference, pair by pair: below 1 the contestant is better. `wanted` is text such as
    `at most 1.05`, and `reached` whether the median keeps it; None where nothing is wanted.
    """

    benchmark: str
    case: str
    contestant: str
    contestant_value: Quartiles
    unit: str = "s"
    reference: str = ""
    reference_value: Quartiles | None = None
    ratio: Quartiles | None = None
    wanted: str = ""
    reached: bool | None = None
    note: str = ""


def single(value: float) -> Quartiles:
    """A value that was measured once, or has no spread."""
    return Quartiles(value, value, value)


def measured(
    benchmark: str,
    case: str,
    contestant: str,
    value: Quartiles,
    unit: str = "s",
    at_most: float | None = None,
    note: str = "",
) -> Finding:
    """The row of a value without a reference; `at_most` is the wanted limit, in `unit`."""
    wanted = "" if at_most is None else f"at most {at_most:g} {unit}"
    reached = None if at_most is None else value.median <= at_most
    return Finding(benchmark, case, contestant, value, unit, wanted=wanted, reached=reached, note=note)


def row_values(row: Finding) -> dict[str, Any]:
    """A row for results.json."""
    return asdict(row)


def row_from(values: Mapping[str, Any]) -> Finding:
    """A row from results.json."""
    parts: dict[str, Any] = {
        key: Quartiles(**value) if isinstance(value, dict) else value for key, value in values.items()
    }
    return Finding(**parts)


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def value_text(name: str, value: Quartiles | None, unit: str) -> str:
    """`one path: 0.41 s`."""
    if value is None:
        return NOTHING
    return f"{name}: {number(value.median)} {unit}".rstrip()


def ratio_text(ratio: Quartiles | None) -> str:
    """`1.02 (1.01 to 1.04)`."""
    if ratio is None:
        return NOTHING
    median = f"{ratio.median:.3g}"
    return median if ratio.low == ratio.high else f"{median} ({ratio.low:.3g} to {ratio.high:.3g})"


def markdown(rows: Iterable[Finding]) -> str:
    """The table, and below it the notes of its rows, each note once."""
    rows = list(rows)
    return "\n\n".join(part for part in (table(HEADER, map(cells, rows)), notes(rows)) if part)


def cells(row: Finding) -> Sequence[str]:
    """The cells of a row, as in `HEADER`."""
    reached = NOTHING if row.reached is None else ("yes" if row.reached else "no")
    return (
        row.benchmark,
        row.case,
        value_text(row.contestant, row.contestant_value, row.unit),
        value_text(row.reference, row.reference_value, row.unit),
        ratio_text(row.ratio),
        row.wanted or NOTHING,
        reached,
    )


def notes(rows: Sequence[Finding]) -> str:
    """One line for every note, with the rows that it is for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            found.setdefault(f"{row.benchmark}: {row.note}", []).append(row.case)
    return "\n".join(f"- {note}" for note in found)
