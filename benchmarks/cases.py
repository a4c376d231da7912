"""What is trained in the benchmarks: recipes at stated shapes, on random images in memory."""

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from benchmarks.settings import Settings, Size
from benchmarks.timing import Pace, Stopwatch, nothing
from fna.arch.arch import Arch
from fna.arch.design import Design
from fna.config.config import Config
from fna.config.files import from_data, load_config, recipe_path
from fna.jobs import load_seed
from fna.runs.run import Run
from fna.runs.steps import each_step
from fna.study.projection import PAPER_DATA
from fna.study.random_images import RandomTask, random_batch, random_task
from fna.tasks.task import Batch
from fna.weights.plain import searchable
from fna.weights.seeds import Seed

Section = Literal["search", "adapt"]
ENDLESS = 10**9
STEPS_PER_CALL = 4
"""On a GPU, so that a loop may prepare the next step while the device works, as in a training."""
TINY: dict[str, Any] = {
    "backbone": "mobilenet_v2_w010",
    "search": {"depths": [2, 3, 4, 3, 3, 1], "batch": 2, "augment": {"crop": "64x64"}},
    "adapt": {"batch": 2, "augment": {"crop": "64x64"}},
}
"""Shapes on which everything works in a moment and no figure means anything."""
TINY_DETECTION: dict[str, Any] = {"imgsz": "64x64", "detection": {"short_side": None}}
CROP = {"augment": {"crop": "224x224"}}
PAPERS_SEARCH = {"method": "alphas", "expansions": [3, 6]}
"""Alphas on the paper's candidates, also where the recipe on little data does otherwise."""
SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    "camvid-deeplabv3": (11, {"search": {**PAPERS_SEARCH, **CROP}, "adapt": CROP}),
    "animals-ssdlite": (6, {"search": PAPERS_SEARCH}),
}
"""Recipes for a CPU, the classes of their data, and what is changed in them."""
SHARING: dict[Size, tuple[bool, ...]] = {"full": (False, True), "quick": (False,), "tiny": (False, True)}
"""Super networks without and with shared weights, by size."""
PAPER: dict[str, tuple[int, int]] = {
    "cityscapes-deeplabv3": (16, 16),
    "coco-retinanet": (4, 8),
    "coco-ssdlite": (32, 128),
}
"""Images of a search and a fine-tuning step on a GPU, to begin with: the paper's, or where those are of 8 GPUs, some of
them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A recipe with its changes; `name` is what tables say."""

    name: str
    config: Config
    classes: int

    def having(self, **changes: Any) -> "Case":
        """The case with other values at the (nested) keys of `changes`."""
        return replace(self, config=changed(self.config, changes))


@dataclass(frozen=True, slots=True)
class Bench:
    """A case at work: an open run, the task on random images, the seed without pretrained weights."""

    name: str
    run: Run
    task: RandomTask
    seed: Seed
    pace: Pace
    watch: Stopwatch

    @property
    def config(self) -> Config:
        """The resolved one."""
        return self.run.config

    def design(self, arch: Arch) -> Design:
        """The case's network on another backbone."""
        return self.task.design(self.seed.name, arch)

    def case(self, section: Section) -> str:
        """What a table says of it: name, height and width of training images, batch, and what is special."""
        how = self.config.adapt if section == "adapt" else self.config.search
        height, width = self.task.shape(how.augment)
        shared = ", shared weights" if section == "search" and self.config.search.share else ""
        precision = "" if self.config.precision == "32" else f", {self.config.precision}"
        return f"{self.name}, {height}x{width}, batch {how.batch}{shared}{precision}"

    def search_batch(self) -> Batch:
        """Of the search, in memory, not on the device."""
        return self._handed_over(random_batch(self.task, self.config.search.augment, self.config.search.batch))

    def adapt_batch(self) -> Batch:
        """Of the fine-tuning, in memory, not on the device."""
        return self._handed_over(random_batch(self.task, self.config.adapt.augment, self.config.adapt.batch))

    def _handed_over(self, batch: Batch) -> Batch:
        """As `fna.data.reading.loader` has it: for a CUDA device in pinned memory."""
        pinned = self.run.device.type == "cuda"
        return {name: value.pin_memory() for name, value in batch.items()} if pinned else batch


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts with the values of `changes` in place of their own."""
    result = dict(data)
    for key, value in changes.items():
        result[key] = merged(result[key], value) if isinstance(value, Mapping) and key in result else value
    return result


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    """A configuration with other values at the (nested) keys of `changes`."""
    return from_data(merged(config.model_dump(mode="json"), changes))


def tiny_changes(config: Config) -> dict[str, Any]:
    """What makes a recipe tiny."""
    return TINY | (TINY_DETECTION if config.task == "det" else {})


def small_cases(settings: Settings, **search: Any) -> list[Case]:
    """What a CPU trains in less than a second: width 0.35, 224x224; `search` are further changes of that section.

    For a quick look the first of them alone.
    """
    cases = []
    for recipe, (classes, changes) in list(SMALL.items())[: 1 if settings.size == "quick" else None]:
        config = load_config(recipe_path(recipe))
        basic = {"backbone": "mobilenet_v2_w035", "weights": "none", "workers": 0}
        for part in (changes, basic, tiny_changes(config) if settings.size == "tiny" else {}, {"search": search}):
            config = changed(config, part)
        cases.append(Case(f"{recipe} with {config.backbone}", config, classes))
    return cases


def paper_cases(settings: Settings) -> list[Case]:
    """The paper's recipes on random images at their own shapes; on tiny ones where only the command is tested."""
    cases = []
    for recipe, (search, adapt) in PAPER.items():
        config = changed(load_config(recipe_path(recipe)), {"weights": "none", "workers": 0})
        if settings.size == "tiny":
            config = changed(config, tiny_changes(config))
        elif settings.device == "cuda":
            config = changed(config, {"search": {"batch": search}, "adapt": {"batch": adapt}})
        cases.append(Case(recipe, config, PAPER_DATA[recipe.split("-")[0]][1]))
    return cases


@contextmanager
def endless_steps(run: Run, label: str) -> Iterator[Iterator[int]]:
    """The step numbers of a training that has no end, with all that a run does between steps."""
    steps = each_step(run, label, 0, ENDLESS, lambda done: None)
    try:
        yield steps
    finally:
        steps.close()  # type: ignore[attr-defined]  # a generator


@contextmanager
def opened(case: Case, settings: Settings) -> Iterator[Bench]:
    """A case in a run folder of its own that is gone afterwards; the run's progress is not printed."""
    torch.manual_seed(0)
    config = changed(case.config, {"device": settings.device, "threads": settings.threads})
    task = random_task(config, case.classes, case.name)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        run = Run(Path(folder), task.config)
        run.console = Console(file=io.StringIO())
        with run.ledger("benchmark"):
            seed = searchable(load_seed(config))
            yield Bench(case.name, run, task, seed, settings.pace, stopwatch(run.device))


def stopwatch(device: torch.device) -> Stopwatch:
    """That waits for a GPU."""
    if device.type == "cuda":
        return Stopwatch(partial(torch.cuda.synchronize, device), STEPS_PER_CALL)
    return Stopwatch(nothing)
