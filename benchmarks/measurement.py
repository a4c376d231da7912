"""What was measured in one go, on which machine; several of them are one table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import Finding, markdown, row_from, row_values
from fna.errors import UserError
from fna.files import write_json


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rows, and machine, versions, threads, date and command."""

    machine: dict[str, Any]
    rows: tuple[Finding, ...]

    @staticmethod
    def read(path: Path) -> "Measurement":
        """From a results.json; raises UserError where it is none."""
        try:
            machine = json.loads(path.read_text(encoding="utf-8"))
            return Measurement(machine, tuple(map(row_from, machine.pop("rows"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is no results.json of the benchmarks: {error}") from None

    def write(self, path: Path) -> None:
        """As a results.json."""
        write_json(path, self.machine | {"rows": [row_values(row) for row in self.rows]})

    def described(self) -> str:
        """On what it was measured, and how, in two lines."""
        machine = self.machine
        device = machine["gpu"] if machine["device"] == "cuda" else f"{machine['processor']}, {machine['cores']} cores"
        versions = ", ".join(f"{name} {machine[name]}" for name in ("fna", "python", "torch", "torchvision"))
        size = "" if machine["size"] == "full" else f" Size `{machine['size']}`: for orientation only."
        what = ", ".join(dict.fromkeys(row.benchmark for row in self.rows))
        return (
            f"- machine ({what}): {device}, torch threads: {machine['threads']}; {versions}; {machine['date']}.{size}\n"
            f"- command: `{machine['command']}`\n"
        )


def joined(measurements: Sequence[Measurement]) -> str:
    """One table; a benchmark that several have measured is in it as the last one has it."""
    last = {row.benchmark: measurement for measurement in measurements for row in measurement.rows}
    parts = [
        Measurement(one.machine, tuple(row for row in one.rows if last[row.benchmark] is one)) for one in measurements
    ]
    rows = [row for part in parts for row in part.rows]
    return f"{markdown(rows)}\n" + "".join(part.described() for part in parts if part.rows)
