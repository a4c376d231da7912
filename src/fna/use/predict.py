"""Masks or boxes, and pictures of them, or classes, for image files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from fna.config.files import from_data, load_config
from fna.data.layouts.pairs import IMAGE_SUFFIXES
from fna.data.reading.images import read_image
from fna.errors import UserError
from fna.files import write_json
from fna.tasks.kinds import TASKS, imported
from fna.tasks.task import Prediction
from fna.use.load import load

LISTED = 10
PREDICTIONS_FILE = "predictions.json"
"""The raw result of all images, for a task that has no file for each."""


def predict(
    run_or_file: str | Path,
    images: Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    training: str = "train",
) -> list[Prediction]:
    """Write OUT/NAME_overlay.png and the raw result of every image.

    That is OUT/NAME_mask.png for segmentation (class indices, 8-bit palette), of the image's size, and
    OUT/NAME_boxes.json for detection (class, score, x1, y1, x2, y2 in pixels of the upright image, best first).
    For classification it is OUT/predictions.json alone: the likeliest classes of every image, at most 5, best first.
    `images` are files and folders (searched with their subfolders, which are kept in NAME); a NAME that is taken gets
    -2, -3 and so on. The network's design says whether images are resized, a run folder whether windows slide; with a
    .safetensors file masks are predicted whole.
    Raises UserError, before anything is written, naming all images that cannot be read.
    """
    network = load(run_or_file, training)
    task = network.info.task
    if task not in TASKS:
        raise UserError(f"{run_or_file} is a network for the task {task!r}; fna predict knows {', '.join(TASKS)}.")
    kind = TASKS[task]
    config = load_config(Path(run_or_file) / "config.yaml") if Path(run_or_file).is_dir() else from_data({})
    place = compute_device(device)
    found = find_images(images, Path(out), kind.ending)
    _check_readable([prediction.image for prediction in found])
    network.to(place)
    console = Console(stderr=True)
    shown = track(found, "predict", console=console, transient=True, disable=not console.is_terminal)
    write = imported(kind.writer)(network, config)
    written = [write(read_image(prediction.image), prediction) for prediction in shown]
    if kind.ending is None:
        write_json(Path(out) / PREDICTIONS_FILE, written)
    return found


def compute_device(name: str) -> torch.device:
    """`auto`: the accelerator where there is one, else the CPU; or a device by torch's name."""
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {name!r} cannot be used here ({reason}). Use auto, cpu, cuda or cuda:1.") from error
    return device


def find_images(inputs: Sequence[str | Path], out: Path, ending: str | None) -> list[Prediction]:
    """The images among files and folders, with an output name for each; two images never share one.

    Without an `ending` all have one result, OUT/predictions.json.

    Raises UserError for missing files, folders without images, and an `out` that would mix results with images.
    """
    taken: set[str] = set()
    found: list[Prediction] = []
    for given in map(Path, inputs):
        for file, name in _images_of(given, out):
            unique, number = name, 1
            while unique.casefold() in taken:  # some file systems do not tell A from a
                number += 1
                unique = f"{name}-{number}"
            taken.add(unique.casefold())
            if ending is None:
                found.append(Prediction(file, out / PREDICTIONS_FILE, None))
            else:
                found.append(Prediction(file, out / f"{unique}_{ending}", out / f"{unique}_overlay.png"))
    if not found:
        raise UserError("no images were given; give files or folders.")
    sources = {prediction.image.resolve() for prediction in found}
    for prediction in found:
        for target in (prediction.result, prediction.overlay):
            if target is not None and target.resolve() in sources:
                raise UserError(f"{target} is one of the images and would be overwritten. Give another output folder.")
    return found


def _images_of(given: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """(file, output name) of a file, or of every image below a folder in order."""
    if given.is_file():
        yield given, given.stem
        return
    if not given.is_dir():
        raise UserError(f"{given}: no such file or folder.")
    if out.resolve().is_relative_to(given.resolve()):
        raise UserError(
            f"{out} lies in {given}, so the next prediction would take its results for images. "
            f"Give another output folder."
        )
    files = [f for f in sorted(given.rglob("*")) if f.is_file() and not f.name.startswith(".")]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise UserError(f"{given} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    if len(images) < len(files):
        others = ", ".join(str(f.relative_to(given)) for f in files if f not in set(images))
        Console(stderr=True).print(
            f"{given}: not images by their suffix, left out: {others}", markup=False, highlight=False, soft_wrap=True
        )
    for file in images:
        yield file, file.relative_to(given).with_suffix("").as_posix()


def _check_readable(files: Sequence[Path]) -> None:
    problems = []
    for file in files:
        try:
            read_image(file)
        except UserError as error:
            problems.append(str(error))
    if problems:
        more = f"\n  ... and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        lines = "".join(f"\n  {problem}" for problem in problems[:LISTED])
        raise UserError(f"{len(problems)} of {len(files)} images cannot be read; nothing was predicted:{lines}{more}")
