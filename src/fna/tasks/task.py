"""The contract of a task: everything the loops need to know about it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from fna.arch.arch import HW
from fna.arch.design import Design
from fna.arch.plain import AnyArch
from fna.config.config import Config
from fna.config.sections import Augment
from fna.config.types import parse_bytes
from fna.data.check.check import check
from fna.data.reading.cache import ImageCache
from fna.data.reading.stream import ImageDataset, split
from fna.data.samples import Colour, Data
from fna.errors import UserError
from fna.tasks.score import Score
from fna.weights.trained import TrainedNetwork

DatasetT = TypeVar("DatasetT", bound=ImageDataset[Any, Any, Any])
Batch = Mapping[str, Tensor]
"""At least `image` (N, 3, H, W), normalised."""


class Evaluator(Protocol):
    """Streams predictions into metrics."""

    def update(self, model: nn.Module, batch: Batch) -> None:
        """Predict a batch and count."""

    def counted(self) -> Any:
        """What this process has counted, for `combine`."""

    def combine(self, parts: Sequence[Any]) -> None:
        """Go on with what all processes have counted, this one included."""

    def result(self) -> dict[str, Any]:
        """Metrics as fractions: `score` chooses the best network, `per_class` is by name; None where undefined."""

    def files(self) -> dict[str, Any]:
        """Further results as JSON, by file name."""


class Task(Protocol):
    """The class that the row of a task in `fna.tasks.kinds.TASKS` names."""

    imgsz: HW
    classes: tuple[str, ...]

    def __init__(self, config: Config, data: Any, mean: Sequence[float], std: Sequence[float]) -> None: ...

    def summary(self) -> list[str]:
        """What was found in the data, in a few lines for the console."""

    def describe(self) -> dict[str, Any]:
        """What is trained on, for dataset.json."""

    @staticmethod
    def one_shape(config: Config, augment: Augment) -> bool:
        """Whether all training images have the same height and width."""

    def settings(self) -> dict[str, Any] | None:
        """What has to be known beside the network to use its outputs, as JSON for the file of the network."""

    def design(self, seed: str, arch: AnyArch) -> Design:
        """The whole network of a backbone, started from the seed of this name."""

    def random_seed(self, replica: int) -> int:
        """Of everything random in a replica of a search."""

    def splits(self, replica: int = 0) -> tuple[Sequence[Any], Sequence[Any]]:
        """The training samples for the weights and for the alphas of a search; another split for each replica."""

    def training(
        self, augment: Augment, samples: Sequence[Any] | None = None, replica: int = 0
    ) -> ImageDataset[Any, Any, Any]:
        """The endless training stream over `samples` (default: all): item p depends on (random seed, replica, p)."""

    def validation(self) -> Dataset[Any]:
        """The validation images, whole, in order."""

    def collate(self, samples: list[Any]) -> Batch:
        """Samples of either stream as a batch."""

    def losses(self, outputs: Any, batch: Batch) -> dict[str, Tensor]:
        """Named terms, summed by the loop, from what the network gives for the batch."""

    def weight(self, outputs: Any, batch: Batch) -> Tensor | None:
        """What the losses are a mean over, in number or weight; None where that is the images.

        With several processes, each has its own part of a batch, and the loss is one over the whole.
        """

    def evaluator(self) -> Evaluator:
        """A fresh evaluator."""


@dataclass(frozen=True)
class Prediction:
    """An image file and what was written for it: the raw result, and a picture of it where the task has one."""

    image: Path
    result: Path
    overlay: Path | None


Writer = Callable[[Tensor, Prediction], Any]
"""Writes what a network says of an image, uint8 (3, H, W). What it returns goes into the one file of all images, where
a task has no file for each."""


class View(Protocol):
    """How the predictions of a task are scored image by image and drawn; `fna figure predictions` compares two."""

    metric: Score

    def __init__(self, data: Any) -> None: ...

    def truth(self, sample: Any) -> Any:
        """What is annotated in an image."""

    def predict(self, network: TrainedNetwork, config: Config, image: Tensor) -> Any:
        """What a network, with the configuration of its run, says of an image, uint8 (3, H, W); as the truth is."""

    def score(self, truth: Any, found: Any) -> float | None:
        """The metric of one image, None where it is not defined."""

    def picture(self, image: Tensor, result: Any, size: HW) -> Image.Image:
        """Truth or prediction drawn at this height and width."""

    def legend(self, results: Sequence[Any]) -> tuple[list[str], list[Colour]]:
        """Names and colours of what occurs in truths and predictions."""


class CheckedTask:
    """What tasks on a checked data set share. `report` is the check's; data with errors are a UserError."""

    imgsz: HW

    def __init__(self, config: Config, data: Data, mean: Sequence[float], std: Sequence[float]) -> None:
        self.config = config
        self.data: Any = data
        self.mean, self.std = tuple(mean), tuple(std)
        self.classes = data.classes
        self.cache_bytes = parse_bytes(config.cache)
        self._decoded: dict[str, tuple[Hashable, ImageCache]] = {}
        self.report: Any = check(data)
        if self.report.errors:
            raise UserError(
                f"{data.root}: {len(self.report.errors)} problem(s) in the data, the first: "
                f"{self.report.errors[0].text}. See all with: fna check {data.root}"
            )

    def remembering(self, data: DatasetT, split: str) -> DatasetT:
        """`data` of samples of a split, with the images that data sets before it have decoded, if they read alike.

        A search with its trials, a fine-tuning and its validations make a data set each.
        """
        samples = self.data.splits[split]
        reading, cache = self._decoded.get(split, (None, None))
        if cache is None or reading != data.reading:
            cache = ImageCache(len(samples), self.cache_bytes)
            self._decoded[split] = data.reading, cache
        numbers = {id(sample): number for number, sample in enumerate(samples)}
        data.share(cache, [numbers[id(sample)] for sample in data.samples])
        return data

    def commonest_size(self) -> HW:
        """Height and width of most training images."""
        sizes: Mapping[HW, int] = self.report.splits["train"].sizes
        return max(sizes, key=lambda size: (sizes[size], size))

    def random_seed(self, replica: int) -> int:
        """Of everything random in a replica of a search."""
        return self.config.seed + 1000 * replica

    def counted(self) -> str:
        """What else than images is counted, with a comma after it."""
        return ""

    def summary(self) -> list[str]:
        """What was found in the data, in a few lines."""
        images = ", ".join(f"{count.images} {name}" for name, count in self.report.splits.items())
        found = f"{images} images, {self.counted()}{len(self.classes)} classes"
        lines = [f"data {self.data.root}: {self.data.layout}, {found}"]
        lines.extend(f"note: {note}" for note in self.data.notes)
        lines.extend(f"warning: {problem.text}" for problem in self.report.warnings)
        return lines

    def describe(self) -> dict[str, Any]:
        """What was trained on, for dataset.json."""
        return {
            "root": str(self.data.root),
            "layout": self.data.layout,
            "imgsz": list(self.imgsz),
            "classes": self.classes,
            "splits": {name: [sample.name for sample in samples] for name, samples in self.data.splits.items()},
        }

    @staticmethod
    def one_shape(config: Config, augment: Augment) -> bool:
        """Training images are crops of one size, or are resized to one."""
        return True

    def settings(self) -> dict[str, Any] | None:
        """Nothing."""
        return None

    def design(self, seed: str, arch: AnyArch) -> Design:
        """The configured head on the backbone; images are resized where --imgsz says to what."""
        config = self.config
        return Design(seed, arch, config.head_kind, config.output_stride, self.imgsz, resize=config.imgsz is not None)

    def splits(self, replica: int = 0) -> tuple[Sequence[Any], Sequence[Any]]:
        """Disjoint random parts of the training set (paper 4.1, 4.2)."""
        return split(self.data.splits["train"], self.config.search.alpha_split, self.random_seed(replica))
