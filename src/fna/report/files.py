"""A run folder as values: everything the report needs, read from files, without torch."""

import csv
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fna.arch.arch import HW, Arch
from fna.arch.design import Design
from fna.arch.plain import AnyArch
from fna.errors import UserError
from fna.files import check_run_folder, read_json
from fna.search.result import SearchResult, read_result
from fna.tasks.kinds import TaskKind, find_task

LogLines = list[dict[str, float]]
"""The lines of a metrics file; a line has the columns that were written in it."""


def read_log_lines(path: Path) -> LogLines:
    """The lines of a metrics CSV without their empty cells; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        try:
            return [{key: float(value) for key, value in line.items() if value} for line in reader]
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{path} line {reader.line_num} is not a row of numbers ({error}); delete the line"
            ) from error


@dataclass(frozen=True)
class TrainingFiles:
    """One fine-tuned network of a run: the folder RUN/NAME."""

    name: str
    folder: Path
    design: Design
    cost: dict[str, int]
    seconds: float | None

    @property
    def arch(self) -> AnyArch:
        """Its backbone."""
        return self.design.arch

    @cached_property
    def metrics(self) -> dict[str, Any] | None:
        """`best`, `last` and `steps`; None until the training is finished."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def best(self) -> dict[str, Any] | None:
        """The best validation so far."""
        return self.metrics["best"] if self.metrics else read_json(self.folder / "best.json")

    @cached_property
    def log_lines(self) -> LogLines:
        """Training log by step."""
        return read_log_lines(self.folder / "metrics.csv")


class RunFiles:
    """What is in a run folder. Raises UserError where `folder` is none or a file in it cannot be read."""

    def __init__(self, folder: Path) -> None:
        check_run_folder(folder)
        self.folder = folder
        try:
            config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(f"cannot read {folder / 'config.yaml'}: {error}") from error
        if not isinstance(config, dict):
            raise UserError(f"{folder / 'config.yaml'} must be a mapping of keys, got {type(config).__name__}")
        self.config: dict[str, Any] = config
        self.environment: dict[str, Any] = self._json("env.json") or {}
        self.job: dict[str, Any] = self._json("run.json") or {}
        self.dataset: dict[str, Any] = self._json("dataset.json") or {}
        self.seed: dict[str, Any] = self._json("seed.json") or {}
        self.ledger: dict[str, dict[str, Any]] = self._json("cost.json") or {}

    def _json(self, name: str) -> Any:
        return read_json(self.folder / name)

    @cached_property
    def search(self) -> SearchResult | None:
        """What the search found; None until there is one. Raises UserError for the file of another version."""
        return read_result(self.folder)

    @cached_property
    def seed_design(self) -> Design | None:
        """The run's network on the seed's own backbone."""
        path = self.folder / "seed-design.json"
        return Design.load(path) if path.is_file() else None

    @property
    def seed_arch(self) -> AnyArch | None:
        """The seed's architecture."""
        return self.seed_design.arch if self.seed_design else None

    @cached_property
    def derived(self) -> dict[str, AnyArch]:
        """What the search derived, by label: "" for design.json, "-0.5G" for design-0.5G.json."""
        if self.job.get("verb") == "train":
            return {}  # its design.json was given
        files = sorted(self.folder.glob("design*.json"))
        return {
            path.stem.removeprefix("design"): Design.load(path).arch
            for path in files
            if path.stem == "design" or path.stem.startswith("design-")
        }

    @cached_property
    def trainings(self) -> list[TrainingFiles]:
        """The fine-tuned networks: the seed first, then by name."""
        folders = [self.folder / "seed", *sorted(self.folder.glob("train")), *sorted(self.folder.glob("train-*"))]
        return [self._training(folder) for folder in folders if (folder / "design.json").is_file()]

    def _training(self, folder: Path) -> TrainingFiles:
        cost = read_json(folder / "cost.json") or {}
        seconds = self.ledger.get(folder.name, {}).get("wall_seconds")
        return TrainingFiles(folder.name, folder, Design.load(folder / "design.json"), cost, seconds)

    @cached_property
    def search_logs(self) -> list[LogLines]:
        """The training log of each independent search."""
        paths = sorted(self.folder.glob("search/*/metrics.csv"), key=lambda path: path.parent.name)
        return [read_log_lines(path) for path in paths]

    @cached_property
    def search_health(self) -> list[LogLines]:
        """Entropy and skip probability of the stages by step, of each search that learned alphas."""
        paths = sorted(self.folder.glob("search/*/alphas.csv"), key=lambda path: path.parent.name)
        return [log for log in map(read_log_lines, paths) if any("entropy" in key for line in log for key in line)]

    @property
    def kind(self) -> TaskKind:
        """The task; it is segmentation where the configuration does not say."""
        return find_task(self.config.get("task", "seg"))

    @property
    def imgsz(self) -> HW | None:
        """Height and width at which costs were counted, where the files say it."""
        return self.seed_design.imgsz if self.seed_design else None

    @property
    def output_stride(self) -> int:
        """Output stride of the backbone; 32 where the run does not say it yet."""
        return self.seed_design.output_stride if self.seed_design else 32

    @property
    def pretrained(self) -> bool:
        """Whether the networks start from the seed's weights."""
        if self.config.get("adapt", {}).get("init", "remap") != "remap":
            return False
        return self.config.get("weights") != "none" and self.seed.get("source") != "none"

    @cached_property
    def archs(self) -> dict[str, Arch]:
        """All architectures by name: the seed's, what was derived, and what was trained where that is another.

        A plain backbone has no layers to show, so it is not among them.
        """
        archs: dict[str, AnyArch] = {} if self.seed_arch is None else {"seed": self.seed_arch}
        archs |= {f"adapted{label}": arch for label, arch in self.derived.items()}
        trained = {f"adapted{t.name.removeprefix('train')}": t.arch for t in self.trainings if not self.is_seed(t)}
        return {name: arch for name, arch in (archs | trained).items() if isinstance(arch, Arch)}

    @property
    def whole_costs(self) -> dict[str, dict[str, int]]:
        """Cost of the whole model by the names of `archs`, where the run has counted it."""
        costs = {"seed": self.seed.get("cost", {})}
        costs |= {f"adapted{t.name.removeprefix('train')}": t.cost for t in self.trainings if not self.is_seed(t)}
        return {name: cost for name, cost in costs.items() if cost}

    def is_seed(self, training: TrainingFiles) -> bool:
        """Whether a training is the baseline: named so, or of the seed's own architecture."""
        return training.name == "seed" or self.is_seed_arch(training.arch)

    def is_seed_arch(self, arch: AnyArch) -> bool:
        """Whether an architecture is the seed's own."""
        return self.seed_arch is not None and same_backbone(arch, self.seed_arch)

    def unfinished(self) -> list[str]:
        """What is still to do: `search`, and trainings by name."""
        verb = self.job.get("verb")
        finished = {training.name for training in self.trainings if training.metrics}
        if verb == "train":
            return [] if "train" in finished else ["train"]
        left = [] if self.search and self.derived else ["search"]
        if verb == "adapt":
            wanted = [f"train{label}" for label in self.derived or [""]]
            # Where the search kept the seed's own architecture, that network is the baseline.
            kept = any(self.is_seed_arch(arch) for arch in self.derived.values())
            wanted += ["seed"] if self.config.get("baseline") and not kept else []
            left += [name for name in wanted if name not in finished]
        return left


def dense(arch: AnyArch) -> Hashable:
    """What an architecture is as a dense network, which has no last 1x1 convolution."""
    return (arch.stem, arch.stages) if isinstance(arch, Arch) else arch


def same_backbone(a: AnyArch, b: AnyArch) -> bool:
    """Whether two architectures are equal as dense networks."""
    return dense(a) == dense(b)
