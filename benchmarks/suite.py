"""The benchmarks by name."""

from collections.abc import Callable, Iterable

from benchmarks.alpha_step import alpha_step
from benchmarks.fine_tuning import fine_tuning
from benchmarks.growth import growth
from benchmarks.inference import inference
from benchmarks.input_pipeline import input_pipeline
from benchmarks.memory import memory
from benchmarks.paper import paper
from benchmarks.precision import precision
from benchmarks.rows import Finding
from benchmarks.search_share import search_share
from benchmarks.settings import Settings
from benchmarks.shared_machine import shared_machine
from benchmarks.small_things import small_things
from benchmarks.weight_step import weight_step

Benchmark = Callable[[Settings], Iterable[Finding]]
"""A function that measures and gives its rows, one by one where it takes long."""
BENCHMARKS: dict[str, Benchmark] = {
    "weight_step": weight_step,
    "alpha_step": alpha_step,
    "fine_tuning": fine_tuning,
    "precision": precision,
    "search_share": search_share,
    "memory": memory,
    "growth": growth,
    "input_pipeline": input_pipeline,
    "small_things": small_things,
    "inference": inference,
    "shared_machine": shared_machine,
}
EXTRA: dict[str, Benchmark] = {"paper": paper}
"""Run only by name: for a GPU."""
