"""YOLO boxes: `images/train` + `labels/train` or `train/images` + `train/labels`, one text file for each image."""

import math
from pathlib import Path

from fna.data.boxes import BoxImage, BoxTable, Findings, box_samples
from fna.data.layouts.description import Description, refuse_mask_keys
from fna.data.layouts.folders import (
    IMAGE_FOLDERS,
    LISTS,
    Pairs,
    holds_box_text,
    image_parts,
    is_empty,
    kind_first,
    named_folders,
    only,
    split_folders,
)
from fna.data.layouts.pairs import IMAGE_SUFFIXES, ODD_IMAGES, by_name, files_of, with_val
from fna.data.reading.examine import Size, in_threads
from fna.data.reading.pixels import upright_size
from fna.data.samples import BoxSample, DetectionData
from fna.errors import UserError

LABELS = "labels"
NUMBERS = 5  # in a line: class, then centre, width and height as shares of the image
TEXT_SUFFIXES = frozenset({".txt"})


def has_kind_first(root: Path) -> bool:
    """`images/` beside `labels/`, and text files in it, or nothing at all."""
    return any(
        holds_box_text(labels, images) or is_empty(labels)
        for images in named_folders(root, IMAGE_FOLDERS)
        for labels in named_folders(root, (LABELS,))
    )


def has_split_first(root: Path) -> bool:
    """`train/images` beside `train/labels`."""
    return any(has_kind_first(folder) for folder in split_folders(root).values())


def has_named(described: Description) -> bool:
    """The YAML file names image folders, and one of them has text files in the label folder that belongs to it."""
    pairs = [_beside(folder, described.root) for _, folder in described.folders]
    return any(labels.is_dir() and holds_box_text(labels, images) for images, labels in pairs)


def open_kind_first(described: Description) -> DetectionData:
    """`images/{train,val}` + `labels/{train,val}`, or `images` + `labels` without splits."""
    pairs, rule = kind_first(only(described.root, IMAGE_FOLDERS), only(described.root, (LABELS,)))
    return _open(described, pairs, rule)


def open_split_first(described: Description) -> DetectionData:
    """`train/images` + `train/labels`, and the same for val and test; a split may have no label folder."""
    pairs = {}
    for split, folder in split_folders(described.root).items():
        found = named_folders(folder, (LABELS,)) or [folder / LABELS]
        pairs[split] = (only(folder, IMAGE_FOLDERS), only(folder, (LABELS,), found))
    return _open(described, pairs, "SPLIT/images and SPLIT/labels")


def open_named(described: Description) -> DetectionData:
    """The image folders that the YAML file names; `labels` replaces the last part `images` of each."""
    pairs = {}
    for split, folder in described.folders:
        if not folder.is_dir():
            raise UserError(f"{split} is {folder}, and there is no such folder.")
        pairs[split] = _beside(folder, described.root)
        if pairs[split][1] == folder:
            raise UserError(f"{split} is {folder}: expected a path with a part named images, which labels replaces.")
    return _open(described, pairs, "folders named in the YAML file, boxes in labels")


def _beside(folder: Path, root: Path) -> tuple[Path, Path]:
    """Image and label folder; for a folder that has both in it those, and the folder twice where there are none."""
    parts, places = image_parts(folder, root)
    inside = named_folders(folder, IMAGE_FOLDERS) if folder.is_dir() else []
    if len(inside) == 1 and (folder / LABELS).is_dir():
        return inside[0], folder / LABELS
    if not places:
        return folder, folder
    return folder, root / Path(*parts[: places[-1]], LABELS, *parts[places[-1] + 1 :])


def _open(described: Description, pairs: Pairs, rule: str) -> DetectionData:
    refuse_mask_keys(described)
    if described.classes is None or described.numbers is None:
        raise UserError(
            f"{described.root}: the classes have no names. Add data.yaml with names, the list of classes in the order "
            f"of the numbers 0, 1, 2, ..., or classes.txt with one name a line."
        )
    notes = [*described.notes, f"YOLO boxes: {rule}"]
    if "test" in pairs and not pairs["test"][1].is_dir():
        del pairs["test"]
        notes.append("test has no labels and is left out")
    findings = Findings()
    index = {number: place for place, number in enumerate(described.numbers)}
    splits, made = with_val(
        {split: _samples(split, images, labels, index, findings) for split, (images, labels) in pairs.items()}
    )
    return DetectionData(
        root=described.root,
        layout="yolo",
        classes=described.classes,
        category_ids=described.numbers,
        splits=splits,
        notes=(*notes, *made),
        problems=findings.problems(),
    )


def _samples(
    split: str, folder: Path, labels: Path, index: dict[int, int], findings: Findings
) -> tuple[BoxSample, ...]:
    files, odd = files_of(folder, IMAGE_SUFFIXES) if folder.is_dir() else ([], ())
    for name in odd:
        findings.add("warning", ODD_IMAGES.format(split=split), name)
    images, sizes = list[BoxImage](), list[Size]()
    named = by_name(folder, files)
    for (name, same), size in zip(named.items(), in_threads(_size, [same[0] for same in named.values()]), strict=True):
        for file in same[1:]:
            findings.add("error", f"{split}: several files for one name, the first is taken", str(file))
        if isinstance(size, UserError):
            findings.add("error", f"{split}: image cannot be used", str(size))
        else:
            images.append(BoxImage(name, same[0], size, len(images) + 1))
            sizes.append(size)
    texts = files_of(labels, TEXT_SUFFIXES)[0] if labels.is_dir() else []
    text_of = {name: same[0] for name, same in by_name(labels, texts).items()}
    for name, file in text_of.items():
        if name not in named and file.name.lower() not in LISTS:
            findings.add("error", f"{split}: label file without an image", str(file))
    table, places = BoxTable(), list[str]()
    for owner, (image, size) in enumerate(zip(images, sizes, strict=True)):
        if image.name in text_of:
            _read(split, text_of[image.name], owner, size, index, table, places, findings)
    return box_samples(split, images, table, places.__getitem__, findings)


def _size(file: Path) -> Size | UserError:
    try:
        return upright_size(file)
    except UserError as error:
        return error


def _read(
    split: str,
    file: Path,
    owner: int,
    size: Size,
    index: dict[int, int],
    table: BoxTable,
    places: list[str],
    findings: Findings,
) -> None:
    """The lines of a label file into the table; a line of another kind is a UserError, since all may be of it."""
    height, width = size
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}).") from error
    for place, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        where = f"{file}: line {place}"
        if len(words) != NUMBERS:
            more = "; polygons, oriented boxes and key points are not read" if len(words) > NUMBERS else ""
            raise UserError(f"{where} has {len(words)} numbers, expected 5: class cx cy width height{more}.")
        try:
            label, cx, cy, box_width, box_height = map(float, words)
        except ValueError as error:
            raise UserError(f"{where} is {line.strip()[:80]!r}, expected 5 numbers.") from error
        number = int(label) if math.isfinite(label) and label == int(label) else None
        if number is None or number not in index:
            known = f"0 to {len(index) - 1}" if max(index) == len(index) - 1 else ", ".join(map(str, sorted(index)))
            text = f"{split}: class number that names do not have (known: {known}), box left out"
            findings.add("error", text, f"{where}: {words[0]}")
            continue
        x, y = cx * width, cy * height
        half_width, half_height = box_width * width / 2, box_height * height / 2
        table.add(owner, (x - half_width, y - half_height, x + half_width, y + half_height), index[number], False)
        places.append(where)
