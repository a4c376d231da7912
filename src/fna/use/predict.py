"""Masks or boxes, and pictures of them, or classes, for image files."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from fna.arch.arch import HW
from fna.config import Config, Evaluate, from_data, load_config
from fna.data.layouts.pairs import IMAGE_SUFFIXES
from fna.data.reading.box_dataset import BoxEntry, Resize, collate
from fna.data.reading.class_dataset import centre_view
from fna.data.reading.images import read_image
from fna.errors import UserError
from fna.files import write_json
from fna.tasks.box_drawing import box_colours, draw_boxes
from fna.tasks.classification import TOP
from fna.tasks.detection import DIVISOR, detect, detector_of
from fna.tasks.detectors import Detector
from fna.tasks.drawing import class_colours, mask_picture, overlay, save_picture
from fna.tasks.segmentation import predict_classes
from fna.use.load import TrainedNetwork, load, prepare

LISTED = 10
DRAWN_SCORE = 0.3
"""Boxes below it are in the JSON but not in the picture: a detector gives a hundred guesses for every image."""


ENDINGS = {"seg": "mask.png", "det": "boxes.json"}
"""What the raw result of each task is called, after the image's name."""
CLASSES_FILE = "predictions.json"
"""The raw result of classification, of all images."""


@dataclass(frozen=True)
class Prediction:
    """An image file and what was written for it: the raw result, and a picture of it where the task has one."""

    image: Path
    result: Path
    overlay: Path | None


def predict(
    run_or_file: str | Path,
    images: Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    stage: str = "train",
) -> list[Prediction]:
    """Write OUT/NAME_overlay.png and the raw result of every image.

    That is OUT/NAME_mask.png for segmentation (class indices, 8-bit palette), of the image's size, and
    OUT/NAME_boxes.json for detection (class, score, x1, y1, x2, y2 in pixels of the upright image, best first).
    For classification it is OUT/predictions.json alone: the likeliest classes of every image, at most 5, best first.
    `images` are files and folders (searched with their subfolders, which are kept in NAME); a NAME that is taken gets
    -2, -3 and so on. A run folder says how images were resized and whether windows slide; for a .safetensors file
    masks are predicted whole at the image's own size.
    Raises UserError, before anything is written, naming all images that cannot be read.
    """
    network = load(run_or_file, stage)
    task = network.info.task
    if task not in (*ENDINGS, "cls"):
        known = ", ".join((*ENDINGS, "cls"))
        raise UserError(f"{run_or_file} is a network for the task {task!r}; fna predict knows {known}.")
    config = load_config(Path(run_or_file) / "config.yaml") if Path(run_or_file).is_dir() else from_data({})
    place = compute_device(device)
    found = find_images(images, Path(out), ENDINGS.get(task))
    _check_readable([prediction.image for prediction in found])
    network.to(place)
    console = Console(stderr=True)
    shown = track(found, "predict", console=console, transient=True, disable=not console.is_terminal)
    if task == "cls":
        write_json(Path(out) / CLASSES_FILE, [classes_of(network, prediction.image) for prediction in shown])
        return found
    write = boxes_writer(network) if task == "det" else mask_writer(network, config)
    for prediction in shown:
        write(read_image(prediction.image), prediction)
    return found


@torch.inference_mode()
def classes_of(network: TrainedNetwork, file: Path) -> dict[str, Any]:
    """The image file's name, and its likeliest classes with their probabilities, at most 5, best first."""
    device, info = next(network.parameters()).device, network.info
    batch = prepare(centre_view(read_image(file), info.imgsz), info)[None].to(device)
    best = network(batch)[0].softmax(0).topk(min(TOP, len(info.classes)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return {"image": str(file), "classes": [{"class": info.classes[c], "probability": round(p, 5)} for c, p in pairs]}


Writer = Callable[[Tensor, Prediction], None]


def mask_writer(network: TrainedNetwork, config: Config) -> Writer:
    """Writes the mask of an image, uint8 (3, H, W), and the image under it with a legend."""
    names = network.info.classes
    colours = class_colours(len(names))

    def write(image: Tensor, prediction: Prediction) -> None:
        mask = predict_mask(network, image, config.imgsz, config.evaluate)
        save_picture(mask_picture(mask, colours), prediction.result)
        assert prediction.overlay is not None
        save_picture(overlay(image, mask, names, colours), prediction.overlay)

    return write


@torch.inference_mode()
def predict_mask(network: TrainedNetwork, image: Tensor, imgsz: HW | None, how: Evaluate) -> Tensor:
    """Class indices (H, W) of an image, uint8 (3, H, W); predicted at `imgsz` or, with None, at the image's size."""
    device = next(network.parameters()).device
    batch = prepare(image, network.info, imgsz)[None].to(device, memory_format=torch.channels_last)
    mask = predict_classes(network, batch, how).to(torch.uint8)
    return transforms.resize(mask, list(image.shape[1:]), InterpolationMode.NEAREST_EXACT)[0].cpu()


def boxes_writer(network: TrainedNetwork) -> Writer:
    """Writes the boxes of an image, uint8 (3, H, W), as JSON, and the image with the surer ones drawn."""
    names = network.info.classes
    colours = box_colours(len(names))
    detector, resize = detector_of(network.info)

    def write(image: Tensor, prediction: Prediction) -> None:
        found = predict_boxes(network, image, detector, resize)
        listed = [
            {"class": names[label], "score": round(score, 5), "box": [round(side, 2) for side in box]}
            for box, label, score in zip(*(found[k].tolist() for k in ("boxes", "labels", "scores")), strict=True)
        ]
        height, width = image.shape[1:]
        about = {"image": str(prediction.image), "height": height, "width": width, "boxes": listed}
        write_json(prediction.result, about)
        sure = found["scores"] >= DRAWN_SCORE
        boxes, labels, scores = (found[k][sure] for k in ("boxes", "labels", "scores"))
        drawn = draw_boxes(image, boxes, labels, scores, names, colours)
        assert prediction.overlay is not None
        save_picture(drawn, prediction.overlay)

    return write


@torch.inference_mode()
def predict_boxes(network: TrainedNetwork, image: Tensor, detector: Detector, resize: Resize) -> dict[str, Tensor]:
    """boxes (n, 4), scores (n,), labels (n,) of an image, uint8 (3, H, W), in its pixels, best first; on the CPU."""
    size = resize.target(image.shape[1], image.shape[2])
    entry: BoxEntry = {
        "image": prepare(image, network.info, size),
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "size": torch.tensor(size),
        "index": 0,
        "original": torch.tensor(image.shape[1:]),
    }
    device = next(network.parameters()).device
    batch = {key: value.to(device) for key, value in collate([entry], DIVISOR).items()}
    batch["image"] = batch["image"].contiguous(memory_format=torch.channels_last)
    (found,) = detect(detector, network, batch)
    return {key: value.cpu() for key, value in found.items()}


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


def find_images(inputs: Sequence[str | Path], out: Path, ending: str | None = ENDINGS["seg"]) -> list[Prediction]:
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
                found.append(Prediction(file, out / CLASSES_FILE, None))
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
