"""What `python -m benchmarks` was asked for, as every benchmark gets it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.timing import Pace

Size = Literal["full", "quick", "tiny"]
PACES: dict[Size, Pace] = {"full": Pace(15, 2, 20.0), "quick": Pace(5, 1, 4.0), "tiny": Pace(2, 1, 1.0)}
"""By size: fewer rounds for orientation, and two on tiny shapes to see that everything works."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`size` says how long to measure, and `tiny` on which shapes; `minutes` is the time that all may take."""

    device: str = "cpu"
    threads: int = 1
    size: Size = "full"
    runs: tuple[Path, ...] = ()
    minutes: float = 8.0

    @property
    def pace(self) -> Pace:
        """How often to time a comparison."""
        return PACES[self.size]
