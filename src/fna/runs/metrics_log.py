"""The numbers of a training, step by step, in a CSV."""

import csv
from pathlib import Path

from fna.files import read_metrics, write_text


class MetricsLog:
    """A CSV that is only ever appended to; on resuming, rows from steps that will be repeated are dropped."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        self.rows = [row for row in read_metrics(path) if int(row["step"]) < first_step]
        if path.exists():
            self._rewrite()

    def add(self, step: int, **values: float) -> None:
        """One row; new columns may appear at any time."""
        known = list(self.rows[0]) if self.rows else []
        row = {"step": str(step)} | {key: f"{value:.6g}" for key, value in values.items()}
        self.rows.append(row)
        if any(key not in known for key in row):
            self._rewrite()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, known).writerow(row)

    def _rewrite(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        self.rows = [{key: row.get(key, "") for key in columns} for row in self.rows]
        lines = [",".join(columns), *(",".join(row.values()) for row in self.rows)]
        write_text(self.path, "\r\n".join(lines) + "\r\n")
