"""Input, truth, and the predictions of a seed and of an adapted network, side by side, where they differ most."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import track
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.config.config import Config
from fna.config.files import load_config
from fna.data.layouts.opening import open_data
from fna.data.reading.images import read_image
from fna.errors import UserError, unknown
from fna.files import write_json
from fna.report.files import RunFiles
from fna.report.page import label
from fna.report.sheet import Panel, fitted, sheet
from fna.tasks.drawing import save_picture
from fna.tasks.kinds import TASKS, imported
from fna.tasks.score import Score
from fna.tasks.task import View
from fna.use.load import load
from fna.use.predict import compute_device
from fna.weights.trained import TrainedNetwork


@dataclass(frozen=True)
class Rival:
    """One of the two networks that are compared; `config` is that of its run."""

    title: str
    network: TrainedNetwork
    config: Config


@dataclass(frozen=True)
class Scored:
    """A validation image: its place among them, its name, and the score of both networks (None: not defined)."""

    place: int
    name: str
    scores: tuple[float | None, float | None]

    @property
    def difference(self) -> float | None:
        """The second network's score minus the first one's."""
        first, second = self.scores
        return None if first is None or second is None else second - first


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same validation images; `shown` are the drawn ones, in the order of their rows."""

    metric: Score
    titles: tuple[str, str]
    scored: tuple[Scored, ...]
    shown: tuple[Scored, ...]

    @property
    def _unit(self) -> str:
        return " (percent)" if self.metric.unit == "%" else ""

    def summary(self) -> str:
        """How the images were chosen, and what the choice leaves out."""
        found = [image.difference for image in self.scored if image.difference is not None]
        better = sum(self.metric.better(d, 0) for d in found)
        worse = sum(self.metric.better(0, d) for d in found)
        return (
            f"Shown: {len(self.shown)} of {len(self.scored)} validation images, those with the largest absolute "
            f"difference in {self.metric.name}{self._unit}. Of all, the {self.titles[1]} is better in {better}, "
            f"worse in {worse}, equal in {len(found) - better - worse}."
        )

    def second(self, image: Scored) -> str:
        """The second network's score and what it has more than the first one's."""
        return f"{self.metric.shown(image.scores[1])} ({self.metric.difference(image.difference)})"

    def text(self) -> str:
        """The summary, and the scores of both networks in every image that is shown."""
        lines = [f"  {image.name}: {self.metric.shown(image.scores[0])}, {self.second(image)}" for image in self.shown]
        return "\n".join([self.summary(), f"{self.metric.name} of {self.titles[0]}, {self.titles[1]}:", *lines])


def figure_predictions(
    run: str | Path,
    other: str | Path | None = None,
    out: str | Path = "predictions",
    images: int = 4,
    training: str = "train",
    device: str = "auto",
) -> Comparison:
    """Draw input, truth and both predictions of the validation images in which two networks differ most (figures 5, 6).

    The networks are the seed's and the one of `training` of an adaptation `run`; or that of `train` of `run` and that
    of `training` of `other`, such as a fine-tuned seed and an adapted network. Images are chosen by the absolute
    difference, whichever is better: for segmentation of mIoU over the classes in the image's truth, for detection of
    F1 of boxes with a score from 0.3, matched from IoU 0.5. Equal ones: in the order of the data.
    `out`: a .png file, or a folder, which gets predictions.png and scores.json, with the scores of all images.
    Raises UserError where a network is missing, and where the two were not trained and validated on the same data.
    """
    out = Path(out)
    if out.suffix not in ("", ".png"):
        raise unknown("format of this figure", out.suffix, [".png"])
    if images < 1:
        raise UserError(f"images is {images}; a figure needs at least 1")
    runs = [RunFiles(Path(folder)) for folder in (run, run if other is None else other)]
    rivals = _rivals(runs, ("seed" if other is None else "train", training), device)
    data = _data(runs)
    view: View = imported(TASKS[rivals[0].network.info.task].view or "")(data)
    samples = data.splits["val"]
    scored = tuple(_scored(view, rivals, samples))
    comparison = Comparison(view.metric, (rivals[0].title, rivals[1].title), scored, choose(scored, images))
    picture = _drawn(view, rivals, [samples[image.place] for image in comparison.shown], comparison)
    if out.suffix:
        save_picture(picture, out)
        return comparison
    save_picture(picture, out / "predictions.png")
    write_json(out / "scores.json", asdict(comparison) | {"metric": comparison.metric.name})
    return comparison


def choose(scored: Sequence[Scored], count: int) -> tuple[Scored, ...]:
    """The images with the largest absolute difference, largest first; ties in the order of the data."""
    known = [(abs(image.difference), image) for image in scored if image.difference is not None]
    return tuple(image for _, image in sorted(known, key=lambda pair: -pair[0])[:count])


def _rivals(runs: Sequence[RunFiles], trainings: tuple[str, str], device: str) -> list[Rival]:
    if trainings[0] == "seed" and not (runs[0].folder / "seed" / "best.safetensors").is_file():
        raise _no_seed(runs[0])
    rivals = []
    for run, training in zip(runs, trainings, strict=True):
        network = load(run.folder, training).to(compute_device(device))
        title = next((label(run, files) for files in run.trainings if files.name == training), training)
        rivals.append(Rival(title, network, load_config(run.folder / "config.yaml")))
    if rivals[0].title == rivals[1].title:
        names = [run.folder.resolve().name for run in runs]
        rivals = [replace(rival, title=f"{rival.title} ({n})") for rival, n in zip(rivals, names, strict=True)]
    infos = [rival.network.info for rival in rivals]
    drawn = [kind.name for kind in TASKS.values() if kind.view]
    if infos[0].task not in drawn:
        raise UserError(f"{runs[0].folder} is for the task {infos[0].task!r}; this figure is for {', '.join(drawn)}")
    for what in ("task", "classes"):
        if getattr(infos[0], what) != getattr(infos[1], what):
            raise UserError(f"{runs[0].folder} and {runs[1].folder} differ in {what}: there is nothing to compare")
    return rivals


def _no_seed(run: RunFiles) -> UserError:
    """What to do about a run without a trained seed."""
    if any(training.name == "train" and run.is_seed(training) for training in run.trainings):
        return UserError(
            f"{run.folder} trained the seed's own architecture alone: there is nothing beside it. Give the run of an "
            f"adapted network, too: fna figure predictions {run.folder} ADAPTED"
        )
    data = run.job.get("data", "DATA")
    return UserError(
        f"{run.folder} has no trained seed (seed/best.safetensors). Make one with: fna train {data} --arch seed "
        f"--recipe {run.folder / 'config.yaml'} --out SEED; then: fna figure predictions SEED {run.folder}"
    )


def _data(runs: Sequence[RunFiles]) -> Any:
    """The data of the last run; a UserError where its validation images are not those of both runs."""
    run = runs[-1]
    if "data" not in run.job:
        raise UserError(f"{run.folder} has no run.json that says where its data are; give whole run folders")
    data = open_data(run.job["data"], None if run.config.get("task") == "auto" else run.config.get("task"))
    names = [sample.name for sample in data.splits["val"]]
    for each in runs:
        if each.dataset.get("splits", {}).get("val", names) != names:
            raise UserError(
                f"{each.folder} was validated on other images than {data.root} has now; "
                f"networks are compared on the same validation images only"
            )
    return data


def _scored(view: View, rivals: Sequence[Rival], samples: Sequence[Any]) -> Any:
    console = Console(stderr=True)
    shown = track(samples, "compare", console=console, transient=True, disable=not console.is_terminal)
    for place, sample in enumerate(shown):
        image, truth = read_image(sample.image), view.truth(sample)
        scores = [view.score(truth, view.predict(rival.network, rival.config, image)) for rival in rivals]
        yield Scored(place, sample.name, (scores[0], scores[1]))


def _drawn(view: View, rivals: Sequence[Rival], samples: Sequence[Any], comparison: Comparison) -> Image.Image:
    rows, results = [], []
    for sample, scored in zip(samples, comparison.shown, strict=True):
        image, truth = read_image(sample.image), view.truth(sample)
        found = [view.predict(rival.network, rival.config, image) for rival in rivals]
        size = fitted(*image.shape[1:])
        small = transforms.resize(image, list(size), InterpolationMode.BICUBIC, antialias=True)
        metric, first = view.metric, view.metric.shown(scored.scores[0])
        captions = ["", f"{metric.name} {first}", f"{metric.name} {comparison.second(scored)}"]
        row = [Panel(view.picture(image, one, size), text) for one, text in zip([truth, *found], captions, strict=True)]
        rows.append([Panel(Image.fromarray(small.permute(1, 2, 0).numpy()), sample.name), *row])
        results += [truth, *found]
    names, colours = view.legend(results)
    return sheet(["input", "truth", *comparison.titles], rows, names, colours, comparison.summary())
