"""Numbers and tables as Markdown; scores are shown by `fna.tasks.score.Score`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from fna.tasks.score import NOTHING as NOTHING  # a word of these tables, too


def percent(fraction: float) -> str:
    """A share or a probability: `0.4193` -> `41.9`."""
    return f"{100 * fraction:.1f}"


def giga(madds: float | None) -> str:
    """Multiply-adds in billions."""
    return NOTHING if madds is None else f"{madds / 1e9:.4f} G"


def mega(number: float | None) -> str:
    """A count in millions."""
    return NOTHING if number is None else f"{number / 1e6:.2f} M"


def seconds(value: float | None) -> str:
    """Wall time in seconds."""
    return NOTHING if value is None else f"{value:.0f}"


def minutes(value: float | None) -> str:
    """Wall time in minutes, from seconds."""
    return NOTHING if value is None else f"{value / 60:.1f}"


def duration(value: float) -> str:
    """Wall time for people: seconds up to two minutes, then minutes, then hours."""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.2f} h"


def cell(value: object) -> str:
    """Text that stays inside its table cell."""
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, all others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_ABSOLUTE = re.compile(r"""(?<![^\s='",(\[])(?:/|[A-Za-z]:[\\/]|~/)[^\s'",)\]]+""")


def shorten_paths(command: str) -> str:
    """A command with every absolute path cut to its last two components; all else stays as typed."""

    def short(found: re.Match[str]) -> str:
        path = PureWindowsPath(found[0]) if found[0][1:2] == ":" else PurePosixPath(found[0])
        return "/".join([part for part in path.parts if part not in (path.anchor, "~")][-2:])

    return _ABSOLUTE.sub(short, command)
