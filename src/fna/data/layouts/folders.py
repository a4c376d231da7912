"""Image and mask folders: `images/train` + `masks/train`, `train/images` + `train/masks`, or named in YAML."""

from collections.abc import Iterator
from pathlib import Path

from fna.data.layouts.description import Description
from fna.data.layouts.pairs import IMAGE_SUFFIXES, MASK_SUFFIXES, Paired, pair, with_val
from fna.data.reading.pixels import palette_colours
from fna.data.samples import Colour, Sample, SegmentationData
from fna.errors import UserError

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "img_dir")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "ann_dir", "annotations")
LISTS = ("classes.txt", "readme.txt")  # text files among labels that belong to no image
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
    return bool(named_folders(root, IMAGE_FOLDERS) and _mask_folders(root))


def has_split_first(root: Path) -> bool:
    """`train/images` beside `train/masks`."""
    return any(has_kind_first(folder) for folder in split_folders(root).values())


def has_named(described: Description) -> bool:
    """The YAML file names the mask folder, or `images` in one of its image folders can be replaced by `masks`."""
    if described.masks_dir is not None:
        return True
    return any(
        len(places) == 1 and (described.root / Path(*parts[: places[0]], "masks", *parts[places[0] + 1 :])).is_dir()
        for _, folder in described.folders
        for parts, places in [image_parts(folder, described.root)]
    )


def open_kind_first(described: Description) -> SegmentationData:
    """`images/{train,val}` + `masks/{train,val}`, or `images` + `masks` without splits."""
    images = only(described.root, IMAGE_FOLDERS)
    masks = only(described.root, MASK_FOLDERS, _mask_folders(described.root))
    _refuse_boxes(images, masks)
    pairs, rule = kind_first(images, masks)
    return _open(described, pairs, rule)


def kind_first(images: Path, others: Path) -> tuple[Pairs, str]:
    """The split folders in two parallel folders, or the two themselves as train; and the rule by which it is so."""
    image_splits, other_splits = split_folders(images), split_folders(others)
    if not image_splits and not other_splits:
        return {"train": (images, others)}, f"{images.name} and {others.name}, no split folders"
    for folder, splits in ((images, image_splits), (others, other_splits)):
        inside = splits.values()
        strays = [entry.name for entry in _entries(folder) if entry not in inside and not _is_beside(entry)]
        if strays:
            raise UserError(
                f"{folder}: holds {', '.join(strays[:5])}, and it is not clear to which split this belongs. "
                f"Move everything in {images.name} and {others.name} into train, val or test."
            )
    pairs = {
        split: (image_splits.get(split, images / split), other_splits.get(split, others / split))
        for split in SPLIT_FOLDERS.values()
        if split in image_splits or split in other_splits
    }
    return pairs, f"{images.name}/SPLIT and {others.name}/SPLIT"


def open_split_first(described: Description) -> SegmentationData:
    """`train/images` + `train/masks`, and the same for val and test."""
    pairs = {}
    for split, folder in split_folders(described.root).items():
        found = _mask_folders(folder)
        masks = folder / "masks" if split == "test" and not found else only(folder, MASK_FOLDERS, found)
        pairs[split] = (only(folder, IMAGE_FOLDERS), masks)
    return _open(described, pairs, "SPLIT/images and SPLIT/masks")


def open_named(described: Description) -> SegmentationData:
    """The image folders that the YAML file names; `masks_dir` replaces the part `images` of each."""
    masks_dir = described.masks_dir or "masks"
    pairs = {}
    for split, images in described.folders:
        if not images.is_dir():
            raise UserError(f"{split} is {images}, and there is no such folder.")
        parts, places = image_parts(images, described.root)
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
    suffixes = {file.suffix.lower() for file in _files(masks)}
    if suffixes and not suffixes & MASK_SUFFIXES:
        raise UserError(
            f"{masks}: holds only {', '.join(sorted(suffixes))} files. Segmentation needs one "
            f"lossless mask per image of {images} (PNG with the class index of each pixel); "
            f"text and JSON files describe boxes or polygons, and JPEG changes values."
        )


def holds_box_text(labels: Path, images: Path) -> bool:
    """Whether a folder is one of YOLO labels: text files, and if there are masks, too, a text file for an image."""
    text, masks = False, False
    for file in _files(labels):
        masks = masks or file.suffix.lower() in MASK_SUFFIXES
        if file.suffix.lower() == ".txt" and file.name.lower() not in LISTS:
            text = True
            stem = images / file.relative_to(labels).with_suffix("")
            if any(stem.with_name(stem.name + suffix).is_file() for suffix in IMAGE_SUFFIXES):
                return True
    return text and not masks


def is_empty(folder: Path) -> bool:
    """No file in the whole tree; hidden ones do not count."""
    return next(_files(folder), None) is None


def split_folders(folder: Path) -> dict[str, Path]:
    """The folders for train, val and test, under any of their names; UserError for two of one split."""
    found: dict[str, Path] = {}
    for entry in named_folders(folder, tuple(SPLIT_FOLDERS)):
        split = SPLIT_FOLDERS[entry.name.lower()]
        if split in found:
            raise UserError(
                f"{folder}: both {found[split].name} and {entry.name} look like the {split} split. Keep one."
            )
        found[split] = entry
    return found


def named_folders(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The folders in a folder that have one of the names, in upper or lower case."""
    return sorted(entry for entry in folder.iterdir() if entry.name.lower() in names and entry.is_dir())


def only(folder: Path, names: tuple[str, ...], found: list[Path] | None = None) -> Path:
    """The one folder of those names (or of those `found` already); UserError where there is none or several."""
    found = named_folders(folder, names) if found is None else found
    if len(found) != 1:
        has = ", ".join(entry.name for entry in found) or "none"
        raise UserError(f"{folder}: expected one folder named {', '.join(names)}; found {has}.")
    return found[0]


def _mask_folders(folder: Path) -> list[Path]:
    """The folders named like mask folders that do not hold boxes: YOLO text in `labels`, JSON or XML in `annotations`.

    A folder without any file may be either.
    """
    images = named_folders(folder, IMAGE_FOLDERS)
    return [masks for masks in named_folders(folder, MASK_FOLDERS) if not _holds_boxes(masks, images)]


def _holds_boxes(masks: Path, images: list[Path]) -> bool:
    if masks.name.lower() == "annotations":
        return any(entry.suffix.lower() in (".json", ".xml") for entry in _entries(masks))
    if masks.name.lower() != "labels":
        return False
    text = any(holds_box_text(masks, folder) for folder in images)
    return text and not any(file.suffix.lower() in MASK_SUFFIXES for file in _files(masks))


def image_parts(folder: Path, root: Path) -> tuple[tuple[str, ...], list[int]]:
    """The parts of a path (below `root`, if it is there), and which of them are names of image folders."""
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else folder.parts
    return parts, [place for place, part in enumerate(parts) if part.lower() in IMAGE_FOLDERS]


def _is_beside(entry: Path) -> bool:
    """What labelling and training tools write beside the split folders."""
    return entry.suffix == ".cache" or entry.name.lower() in LISTS


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if not file.name.startswith(".") and file.is_file())


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
