"""Images and masks of two folders brought together by name; whatever has no partner becomes a problem."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fna.data.samples import BoxSample, ClassSample, Problem, Sample

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})  # lossless: a JPEG changes class numbers
MASK_ENDINGS = ("_mask", "_label", "_gt")
ODD_IMAGES = "{split}: not an image by its suffix, not used"
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})
VAL_FRACTION = 0.2
Kind = TypeVar("Kind", Sample, BoxSample, ClassSample)


@dataclass(frozen=True)
class Paired:
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def pair(split: str, images: Path, masks: Path) -> Paired:
    """The samples of two parallel folder trees: `a/b.jpg` belongs to `a/b.png`.

    Masks may all end in `_mask`, `_label` or `_gt`; that is noted. Files without a partner, two files for one name and
    files of another kind are problems, by name.
    """
    image_files, odd_images = files_of(images, IMAGE_SUFFIXES)
    mask_files, odd_masks = files_of(masks, MASK_SUFFIXES)
    ending = _common_ending(image_files, mask_files)
    found = match(split, by_name(images, image_files), by_name(masks, mask_files, ending))
    problems = list(found.problems)
    if odd_images:
        problems.append(Problem("warning", ODD_IMAGES.format(split=split), odd_images))
    if odd_masks:
        problems.append(
            Problem("error", f"{split}: not a mask by its suffix (accepted: {_list(MASK_SUFFIXES)})", odd_masks)
        )
    notes = (f"{split}: mask names end in {ending}",) if ending else ()
    return Paired(found.samples, tuple(problems), notes)


def match(split: str, images: dict[str, list[Path]], masks: dict[str, list[Path]], what: str = "mask") -> Paired:
    """Samples for the names that have one image and one mask (or `what` stands in its place), problems for others."""
    both = sorted(images.keys() & masks.keys())
    unique = [name for name in both if len(images[name]) == len(masks[name]) == 1]
    kinds = {
        f"image without a {what}": [file for name in images.keys() - masks.keys() for file in images[name]],
        f"{what} without an image": [file for name in masks.keys() - images.keys() for file in masks[name]],
        "several files for one name": [file for name in set(both) - set(unique) for file in images[name] + masks[name]],
    }
    problems = tuple(
        Problem("error", f"{split}: {text}", tuple(sorted(map(str, files)))) for text, files in kinds.items() if files
    )
    return Paired(tuple(Sample(name, images[name][0], masks[name][0]) for name in unique), problems)


def with_val(splits: dict[str, tuple[Kind, ...]]) -> tuple[dict[str, tuple[Kind, ...]], tuple[str, ...]]:
    """The splits with a val split, and a note if it had to be made.

    A sample goes to val by a hash of its name, so it stays there when files are added. A train split of two or more
    gives at least one sample to either side.
    """
    if "val" in splits or "train" not in splits:
        return splits, ()
    samples = sorted(splits["train"], key=lambda sample: _share(sample.name))
    count = sum(_share(sample.name) < VAL_FRACTION for sample in samples)
    if len(samples) > 1:
        count = min(max(count, 1), len(samples) - 1)
    chosen = {sample.name for sample in samples[:count]}
    made = {
        "train": tuple(sample for sample in splits["train"] if sample.name not in chosen),
        "val": tuple(sample for sample in splits["train"] if sample.name in chosen),
    }
    note = (
        f"no val split: {VAL_FRACTION:.0%} of train by hash of the file name ({len(made['train'])} train, {count} val)"
    )
    return {**splits, **made}, (note,)


def _share(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def files_of(folder: Path, suffixes: frozenset[str]) -> tuple[list[Path], tuple[str, ...]]:
    """The files below a folder that have one of the suffixes, and the others; hidden and system files are neither."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    files = [file for file in files if file.name.lower() not in SYSTEM_FILES]
    odd = tuple(str(file) for file in files if file.suffix.lower() not in suffixes)
    return [file for file in files if file.suffix.lower() in suffixes], odd


def by_name(folder: Path, files: list[Path], ending: str = "") -> dict[str, list[Path]]:
    """Path inside the folder without suffix and ending -> the files of that name."""
    names: dict[str, list[Path]] = {}
    for file in files:
        names.setdefault(file.relative_to(folder).with_suffix("").as_posix().removesuffix(ending), []).append(file)
    return names


def _common_ending(images: list[Path], masks: list[Path]) -> str:
    """The ending that all masks have and no image has, or nothing."""
    for ending in MASK_ENDINGS:
        if (
            masks
            and all(file.stem.endswith(ending) for file in masks)
            and not any(f.stem.endswith(ending) for f in images)
        ):
            return ending
    return ""


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
