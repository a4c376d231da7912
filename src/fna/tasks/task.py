"""The contract of a task: everything the loops need to know about it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.data import Dataset

from fna.arch.arch import HW, Arch
from fna.arch.heads import Head
from fna.config import Augment, Config
from fna.data.image_check import Report
from fna.data.stream import ImageDataset
from fna.errors import UserError

Batch = Mapping[str, Tensor]
"""At least `image` (N, 3, H, W), normalised."""


class Evaluator(Protocol):
    """Streams predictions into metrics."""

    def update(self, model: nn.Module, batch: Batch) -> None:
        """Predict a batch and count."""

    def result(self) -> dict[str, Any]:
        """Metrics as fractions: `score` chooses the best network, `per_class` is by name; None where undefined."""

    def files(self) -> dict[str, Any]:
        """Further results as JSON, by file name."""


class Task(Protocol):
    """A task plug-in: a class with these members and a row in `fna.tasks.TASKS`."""

    imgsz: HW
    classes: tuple[str, ...]
    score: str
    """The metric that chooses the best network."""

    def __init__(self, config: Config, data: Any, mean: Sequence[float], std: Sequence[float]) -> None: ...

    def summary(self) -> list[str]:
        """What was found in the data, in a few lines for the console."""

    def describe(self) -> dict[str, Any]:
        """What is trained on, for dataset.json."""

    def head(self, arch: Arch) -> Head:
        """The head as data, for counting and building."""

    def splits(self, replica: int = 0) -> tuple[Sequence[Any], Sequence[Any]]:
        """The training samples for the weights and for the alphas of a search; another split for each replica."""

    def training(
        self, augment: Augment, samples: Sequence[Any] | None = None, replica: int = 0
    ) -> ImageDataset[Any, Any, Any]:
        """The endless training stream over `samples` (default: all): item p is a function of (seed, replica, p)."""

    def validation(self) -> Dataset[Any]:
        """The validation images, whole, in order."""

    def collate(self, samples: list[Any]) -> Batch:
        """Samples of either stream as a batch."""

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Named terms, summed by the loop, from what the network gives for the batch."""

    def evaluator(self) -> Evaluator:
        """A fresh evaluator."""


def refuse_errors(report: Report[Any]) -> None:
    """A UserError for data in which the check found errors: nothing is trained on them."""
    if report.errors:
        raise UserError(
            f"{report.root}: {len(report.errors)} problem(s) in the data, the first: {report.errors[0].text}. "
            f"See all with: fna check {report.root}"
        )


def commonest_size(report: Report[Any]) -> HW:
    """Height and width of most training images."""
    sizes = report.splits["train"].sizes
    return max(sizes, key=lambda size: (sizes[size], size))
