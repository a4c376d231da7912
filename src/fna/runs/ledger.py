"""What the parts of a run have taken, in cost.json."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from fna.files import read_json, write_json
from fna.runs.engine import Engine


class Ledger:
    """Enters wall and device time; `with ledger(part)` is around what is timed, `note` says how long it took."""

    def __init__(self, folder: Path, engine: Engine, note: Callable[[str], None]) -> None:
        self.path = folder / "cost.json"
        self.engine = engine
        self.note = note
        self._part: str | None = None
        self._entered = 0.0

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of the block to the part's entry, however the block ends."""
        start = self._entered = time.monotonic()
        self._part = part
        try:
            yield
        finally:
            self.update()
            self._part = None
            self.note(f"  {part}: {time.monotonic() - start:.0f} s")

    def update(self) -> None:
        """Enter the time since it was last entered, so that a killed process loses little; outside a block nothing."""
        if self._part is None:
            return
        now = time.monotonic()
        costs = read_json(self.path) or {}
        entry = costs.setdefault(self._part, {"wall_seconds": 0.0, "device_hours": 0.0})
        entry["wall_seconds"] = round(entry["wall_seconds"] + now - self._entered, 2)
        entry["device_hours"] = round(entry["wall_seconds"] * self.engine.world_size / 3600, 5)
        entry["device"] = str(self.engine.device)
        entry["threads"] = torch.get_num_threads()
        write_json(self.path, costs)
        self._entered = now
