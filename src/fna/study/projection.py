"""What a recipe would cost on this machine: the time of its steps at its own shapes, times how many there are."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

import torch

from fna.arch.heads import DetectorKind
from fna.config.config import Config
from fna.config.files import load_config, recipe_path
from fna.cost.count import candidate_madds
from fna.data.reading.stream import split
from fna.errors import UserError
from fna.jobs import load_seed
from fna.nn.supernet import SuperNet
from fna.runs.run import Run
from fna.search.search import (
    Times,
    alpha_step,
    cost_tensors,
    make_decisions,
    make_space,
    optimizers,
    records_mixture,
    sample_path,
    super_network,
)
from fna.search.search import learning_rate as search_rate
from fna.search.swaps import score_swaps
from fna.study.random_images import OneBatch, RandomTask, random_batch, random_task
from fna.train.adapt import learning_rate as adapt_rate
from fna.train.adapt import optimizer_for, refresh_norms, remapped, total_steps, training_mode, training_step
from fna.train.evaluate import to_device
from fna.train.schedules import set_lr
from fna.weights.plain import searchable
from fna.weights.seeds import Seed

Phase = Literal["search", "adapt"]
Steps = dict[str, Callable[[], object]]
"""What is timed, by name."""

PAPER_DATA = {"cityscapes": (2975, 19), "coco": (118287, 80)}
"""Training images (Cityscapes fine train, COCO train2017) and classes of the recipes whose names begin so."""


@dataclass(frozen=True, slots=True)
class Part:
    """So many iterations of one kind; `step` is what is timed for them, `batch` the recipe's."""

    phase: Phase
    name: str
    step: str
    iterations: int
    batch: int


@dataclass(frozen=True, slots=True)
class TimedPart:
    """A part and the seconds of one iteration with `measured_batch` images."""

    part: Part
    measured_batch: int
    measured_seconds: float

    @property
    def seconds(self) -> float:
        """Of one iteration with the recipe's batch, in proportion to its images."""
        return self.measured_seconds * self.part.batch / self.measured_batch

    @property
    def hours(self) -> float:
        """Of all iterations."""
        return self.seconds * self.part.iterations / 3600


@dataclass(frozen=True, slots=True)
class Projection:
    """A recipe's parts, each timed on `device` (torch's name of it) with so many `threads`."""

    recipe: str
    task: str
    device: str
    threads: int
    images: int
    classes: int
    steps: int
    shapes: dict[Phase, tuple[int, int]]
    parts: tuple[TimedPart, ...]

    def hours(self, phase: Phase) -> float:
        """Of one phase."""
        return sum(timed.hours for timed in self.parts if timed.part.phase == phase)


def parts_of(config: Config, images: int) -> list[Part]:
    """What an adaptation with `images` training images consists of, validations and the baseline left out.

    The search is that of all replicas, with as many trials as there can be; fine-tuning is that of one budget.
    """
    how, adapt = config.search, config.adapt
    times = Times.of(how, len(split(range(images), how.alpha_split, config.seed)[0]))
    parts = [Part("search", "weight steps", "weight", how.replicas * times.total, how.batch)]
    if how.method == "alphas":
        steps = how.replicas * times.alpha_steps(times.total)
        parts.append(Part("search", "alpha steps", "alpha", steps, how.batch))
    else:
        parts.append(Part("search", "scored batches", "score", how.replicas * how.swap_batches, how.batch))
        networks = (how.trials * max(1, len(config.budget)) + 1) * how.trial_seeds if how.trials else 0
        refresh = networks * min(adapt.refresh_steps, how.trial_steps)
        parts.append(Part("search", "norm refresh batches of trials", "refresh", refresh, adapt.batch))
        parts.append(Part("search", "steps of trials", "train", networks * how.trial_steps, adapt.batch))
    parts.append(Part("adapt", "norm refresh batches", "refresh", adapt.refresh_steps, adapt.batch))
    parts.append(Part("adapt", "fine-tuning steps", "train", total_steps(adapt, images), adapt.batch))
    return [part for part in parts if part.iterations]


def project(recipe: str, images: int | None, classes: int | None, batch: int | None, steps: int) -> Projection:
    """Time every kind of step of a recipe (a name or a YAML file): the median of `steps` after one to warm up.

    `images` and `classes` are those of the paper's data where None and the recipe is for them; `batch` is the most
    images of a measured batch. Raises UserError where the recipe is unknown or its images are, and where a batch does
    not fit the memory of a GPU.
    """
    given = load_config(recipe_path(recipe))
    known_images, known_classes = PAPER_DATA.get(Path(recipe).stem.split("-")[0], (None, None))
    images, classes = images or known_images, classes or known_classes
    if images is None or classes is None:
        missing = " and ".join(f"--{key} N" for key, n in (("images", images), ("classes", classes)) if n is None)
        raise UserError(f"{recipe}: the search counts in epochs of data that are not known here; give {missing}")
    # The values of weights make no difference to the time, and recipes want a download.
    given = given.model_copy(update={"weights": "none", "workers": 0})
    parts, task, seed = parts_of(given, images), random_task(given, classes, recipe), searchable(load_seed(given))
    config = task.config
    kind = config.head_kind
    if batch == 1 and isinstance(kind, DetectorKind) and max(task.imgsz) <= kind.coarsest_norm:
        raise UserError(f"--batch is 1, but {kind.name} needs at least 2 images: its last map has one cell, and a norm")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), config)
        run.console.quiet = True
        seconds = measure(run, task, seed, {part.step for part in parts}, batch, steps)
    timed = tuple(TimedPart(part, at_most(batch, part.batch), seconds[part.step]) for part in parts)
    shapes: dict[Phase, tuple[int, int]] = {
        "search": task.shape(config.search.augment),
        "adapt": task.shape(config.adapt.augment),
    }
    device, threads = str(run.device), torch.get_num_threads()
    return Projection(Path(recipe).stem, config.task, device, threads, images, classes, steps, shapes, timed)


def measure(
    run: Run, task: RandomTask, seed: Seed, wanted: set[str], batch: int | None, steps: int
) -> dict[str, float]:
    """Seconds of every wanted kind of step; the super network is gone before the other one is made."""
    seconds: dict[str, float] = {}
    try:
        with run.ledger("projection"):  # the scoring of swaps adds to it
            for steps_of in (search_steps, adapt_steps):
                found = steps_of(run, task, seed, batch)
                seconds |= {name: seconds_of(run, step, steps) for name, step in found.items() if name in wanted}
                del found
    except torch.OutOfMemoryError as error:
        raise UserError(f"{run.device}: the batches do not fit its memory; give a smaller --batch") from error
    return seconds


def at_most(batch: int | None, recipe: int) -> int:
    """Images of a measured batch: the recipe's, or fewer."""
    return min(batch or recipe, recipe)


def seconds_of(run: Run, step: Callable[[], object], steps: int) -> float:
    """Median seconds of a step, over `steps` after one to warm up."""
    found = []
    for _ in range(steps + 1):
        start = perf_counter()
        step()
        if run.device.type == "cuda":
            torch.cuda.synchronize()
        found.append(perf_counter() - start)
    return median(found[1:])


def search_steps(run: Run, task: RandomTask, seed: Seed, batch: int | None) -> Steps:
    """A weight step (on paths as before the alphas start), an alpha step and the scoring of one batch."""
    config, how = run.config, run.config.search
    space = make_space(task, seed, how)
    network, decisions = super_network(config, task, seed, space, 0), make_decisions(space, seed, how)
    supernet = network.backbone
    assert isinstance(supernet, SuperNet)
    model, weights, alphas = run.engine.setup(network, *optimizers(network, supernet, how))
    model.train()
    supernet.record_mixture = records_mixture(run)
    set_lr(weights, search_rate(0, Times.of(how, how.batch), how))  # of the first step: random labels teach nothing
    images = random_batch(task, how.augment, at_most(batch, how.batch))
    costs = cost_tensors(candidate_madds(space, task.imgsz, config.output_stride), supernet)
    steps, scorings = count(), count()

    def weight() -> None:
        path = sample_path(decisions, supernet, how, (config.seed, 0, next(steps)), False)
        training_step(run, task, model, weights, to_device(run, images), how.clip, path)

    return {
        "weight": weight,
        "alpha": lambda: alpha_step(run, task, model, supernet, alphas, to_device(run, images), costs),
        "score": lambda: score_swaps(run, task, model, decisions, iter([images]), str(next(scorings))),
    }


def adapt_steps(run: Run, task: RandomTask, seed: Seed, batch: int | None) -> Steps:
    """A batch of the norm refresh and a fine-tuning step, of the seed's architecture."""
    how = run.config.adapt
    network, _ = remapped(run.config, task, seed, task.design(seed.name, seed.arch))
    model, optimizer = run.engine.setup(network, optimizer_for(network, how))
    set_lr(optimizer, adapt_rate(0, total_steps(how, how.batch), how))
    images = random_batch(task, how.augment, at_most(batch, how.batch))
    training_mode(network, how)
    return {
        "train": lambda: training_step(run, task, model, optimizer, to_device(run, images), how.clip),
        "refresh": lambda: refresh_norms(run, task, model, OneBatch(images), 1, 1),
    }
