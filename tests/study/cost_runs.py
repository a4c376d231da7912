"""Run folders with a ledger made by hand, and the table that `fna study cost` makes of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fna.cli.main import main


def write_run(
    folder: Path, task: str, ledger: dict[str, float], gpu: str | None = None, arch: str | None = None
) -> Path:
    """The files that the costs are read from; `ledger` in wall seconds, on one device."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"task": task}))
    entries: dict[str, Any] = {
        part: {
            "wall_seconds": seconds,
            "device_hours": seconds / 3600,
            "device": "cuda:0" if gpu else "cpu",
            "threads": 1,
        }
        for part, seconds in ledger.items()
    }
    (folder / "cost.json").write_text(json.dumps(entries))
    (folder / "env.json").write_text(json.dumps({"processor": "Example CPU", "gpu": gpu}))
    (folder / "run.json").write_text(json.dumps({"verb": "adapt", "arch": arch}))
    return folder


def rows(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, list[str]]:
    assert main(["study", "cost", *map(str, words)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}
