"""Image and mask folders: `images/train` + `masks/train`, `train/images` + `train/masks`, or named in YAML."""

from pathlib import Path

from fna.data.description import Description
from fna.data.pairs import MASK_SUFFIXES, Paired, pair, with_val
from fna.data.pixels import palette_colours
from fna.data.samples import Colour, Sample, SegmentationData
from fna.errors import UserError

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "img_dir")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "ann_dir", "annotations")
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
Pairs = dict[str, tuple[Path, Path]]  # split -> image folder, mask folder


def has_kind_first(root: Path) -> bool:
    """`images/` beside `masks/`."""
    return bool(_named(root, IMAGE_FOLDERS) and _named(root, MASK_FOLDERS))


def has_split_first(root: Path) -> bool:
    """`train/images` beside `train/masks`."""
    return any(has_kind_first(folder) for folder in _splits(root).values())


def open_kind_first(described: Description) -> SegmentationData:
    """`images/{train,val}` + `masks/{train,val}`, or `images` + `masks` without splits."""
    images, masks = _only(described.root, IMAGE_FOLDERS), _only(described.root, MASK_FOLDERS)
    _refuse_boxes(images, masks)
    image_splits, mask_splits = _splits(images), _splits(masks)
    if not image_splits and not mask_splits:
        return _open(described, {"train": (images, masks)}, f"{images.name} and {masks.name}, no split folders")
    for folder, splits in ((images, image_splits), (masks, mask_splits)):
        inside = splits.values()
        strays = [entry.name for entry in sorted(folder.iterdir()) if entry not in inside and entry.name[0] != "."]
        if strays:
            raise UserError(
                f"{folder}: holds {', '.join(strays[:5])}, and it is not clear to which split this belongs. "
                f"Move everything in {images.name} and {masks.name} into train, val or test."
            )
    pairs = {
        split: (image_splits.get(split, images / split), mask_splits.get(split, masks / split))
        for split in SPLIT_FOLDERS.values()
        if split in image_splits or split in mask_splits
    }
    return _open(described, pairs, f"{images.name}/SPLIT and {masks.name}/SPLIT")


def open_split_first(described: Description) -> SegmentationData:
    """`train/images` + `train/masks`, and the same for val and test."""
    pairs = {}
    for split, folder in _splits(described.root).items():
        without_masks = split == "test" and not _named(folder, MASK_FOLDERS)
        masks = folder / "masks" if without_masks else _only(folder, MASK_FOLDERS)
        pairs[split] = (_only(folder, IMAGE_FOLDERS), masks)
    return _open(described, pairs, "SPLIT/images and SPLIT/masks")


def open_named(described: Description) -> SegmentationData:
    """The image folders that the YAML file names; `masks_dir` replaces the part `images` of each."""
    masks_dir = described.masks_dir or "masks"
    pairs = {}
    for split, images in described.folders:
        if not images.is_dir():
            raise UserError(f"{split} is {images}, and there is no such folder.")
        parts = images.relative_to(described.root).parts if images.is_relative_to(described.root) else images.parts
        places = [place for place, part in enumerate(parts) if part.lower() in IMAGE_FOLDERS]
        if len(places) != 1:
            raise UserError(
                f"{split} is {images}: expected a path with one part named "
                f"{', '.join(IMAGE_FOLDERS)}, which {masks_dir} replaces."
            )
        masks = Path(*parts[: places[0]], masks_dir, *parts[places[0] + 1 :])
        pairs[split] = (images, described.root / masks)
    return _open(described, pairs, f"folders named in the YAML file, masks in {masks_dir}")


def _open(described: Description, pairs: Pairs, rule: str) -> SegmentationData:
    notes = [*described.notes, f"image and mask folders: {rule}"]
    if "test" in pairs and not pairs["test"][1].is_dir():
        del pairs["test"]
        notes.append("test has no masks and is left out")
    for images, masks in pairs.values():
        _refuse_boxes(images, masks)
    paired: dict[str, Paired] = {split: pair(split, images, masks) for split, (images, masks) in pairs.items()}
    splits, made = with_val({split: found.samples for split, found in paired.items()})
    notes += [note for found in paired.values() for note in found.notes] + list(made)
    if described.classes is None:
        raise UserError(
            f"{described.root}: the classes have no names. Add classes.txt with one name a line, "
            f"in the order of the mask values 0, 1, 2, ..., or data.yaml with names."
        )
    return SegmentationData(
        root=described.root,
        layout="folders",
        classes=described.classes,
        ignore=described.ignore,
        label_mapping=described.label_mapping,
        splits=splits,
        notes=tuple(notes),
        palette=described.palette or _palette(splits, described),
        problems=tuple(problem for found in paired.values() for problem in found.problems),
    )


def _palette(splits: dict[str, tuple[Sample, ...]], described: Description) -> tuple[Colour, ...] | None:
    """The colours of the first mask, when masks are palette files that hold class indices."""
    first = next((samples[0] for samples in splits.values() if samples), None)
    if first is None or described.label_mapping is not None or described.classes is None:
        return None
    try:
        return palette_colours(first.mask, len(described.classes))
    except UserError:  # an unreadable mask is reported with all others by the check
        return None


def _refuse_boxes(images: Path, masks: Path) -> None:
    if not masks.is_dir():
        return
    suffixes = {file.suffix.lower() for file in masks.rglob("*") if file.is_file() and not file.name.startswith(".")}
    if suffixes and not suffixes & MASK_SUFFIXES:
        raise UserError(
            f"{masks}: holds only {', '.join(sorted(suffixes))} files. Segmentation needs one "
            f"lossless mask per image of {images} (PNG with the class index of each pixel); "
            f"text and JSON files describe boxes or polygons, and JPEG changes values."
        )


def _splits(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        split = SPLIT_FOLDERS.get(entry.name.lower())
        if split is None or not entry.is_dir():
            continue
        if split in found:
            raise UserError(
                f"{folder}: both {found[split].name} and {entry.name} look like the {split} split. Keep one."
            )
        found[split] = entry
    return found


def _named(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and entry.name.lower() in names]


def _only(folder: Path, names: tuple[str, ...]) -> Path:
    found = _named(folder, names)
    if len(found) != 1:
        has = ", ".join(entry.name for entry in found) or "none"
        raise UserError(f"{folder}: expected one folder named {', '.join(names)}; found {has}.")
    return found[0]
