"""COCO boxes: `annotations/instances_SPLIT.json` beside image folders, or `SPLIT/_annotations.coco.json`."""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fna.data.boxes import BoxImage, BoxTable, Findings, box_samples
from fna.data.layouts.description import Description, refuse_mask_keys
from fna.data.layouts.folders import SPLIT_FOLDERS, split_folders
from fna.data.layouts.pairs import with_val
from fna.data.samples import BoxSample, DetectionData, Problem
from fna.errors import UserError

ROBOFLOW = "_annotations.coco.json"
# instances_val2017.json, but not instances_valminusminival.json: what follows the split starts with no letter
INSTANCES = re.compile(rf"instances_((?:{'|'.join(SPLIT_FOLDERS)})(?:[^a-zA-Z].*)?)\.json")
LISTED = 20
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Source:
    """One annotation file and the folders in which its images may lie, the likeliest first."""

    file: Path
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Content:
    """An annotation file, read; `categories` are in the order of the file, `used` the category numbers of its boxes."""

    file: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: dict[int, str]
    spare: int | None  # a category that is only the supercategory of all others

    @property
    def used(self) -> set[int]:
        return {annotation["category_id"] for annotation in self.annotations}


def has_instances(root: Path) -> bool:
    """`annotations/instances_train.json` or that of another split."""
    return bool(_instances(root))


def has_roboflow(root: Path) -> bool:
    """`train/_annotations.coco.json` or that of another split."""
    return any((folder / ROBOFLOW).is_file() for folder in split_folders(root).values())


def open_instances(described: Description) -> DetectionData:
    """The splits for which there is a file; train2017 belongs to instances_train2017.json."""
    root = described.root
    sources: dict[str, Source] = {}
    for name, file in _instances(root).items():
        split = next(SPLIT_FOLDERS[start] for start in _longest_first() if name.startswith(start))
        if split in sources:
            raise UserError(f"{file.parent}: {sources[split].file.name} and {file.name} are both {split}. Keep one.")
        names = (name, *(folder for folder, meant in SPLIT_FOLDERS.items() if meant == split))
        folders = [root / name for name in names] + [root / "images" / name for name in names]
        sources[split] = Source(file, (*folders, root / "images", root))
    unused = sorted(
        file.name
        for file in (root / "annotations").glob("*.json")
        if file not in {source.file for source in sources.values()}
    )
    notes = ["COCO boxes from annotations/instances_SPLIT.json"]
    if unused:
        notes.append(f"annotation files not used: {', '.join(unused)}")
    return _open(described, sources, notes)


def open_roboflow(described: Description) -> DetectionData:
    """The splits that have a file among their images."""
    sources = {
        split: Source(folder / ROBOFLOW, (folder,))
        for split, folder in split_folders(described.root).items()
        if (folder / ROBOFLOW).is_file()
    }
    return _open(described, sources, [f"COCO boxes from SPLIT/{ROBOFLOW}"])


def _instances(root: Path) -> dict[str, Path]:
    """What follows `instances_` -> file."""
    files = sorted((root / "annotations").glob("instances_*.json"))
    return {found[1]: file for file in files if (found := INSTANCES.fullmatch(file.name))}


def _longest_first() -> list[str]:
    return sorted(SPLIT_FOLDERS, key=len, reverse=True)


def _open(described: Description, sources: dict[str, Source], notes: list[str]) -> DetectionData:
    refuse_mask_keys(described)
    findings = Findings()
    contents = {split: _read(source.file) for split, source in sources.items()}
    contents = _without_spare(contents, notes)
    numbers, differences = _classes(contents)
    if described.classes is not None and described.classes != tuple(numbers):
        raise UserError(
            f"{described.names_file}: its names are not the categories of the annotations, {_some(list(numbers))}, "
            f"in that order. Remove the file or its names: COCO annotations name the classes themselves."
        )
    index = {name: place for place, name in enumerate(numbers)}
    found = {}
    for split, content in contents.items():
        folder = _folder(content, sources[split].folders)
        notes.append(f"{split}: images in {folder.relative_to(described.root).as_posix()}")
        found[split] = _samples(split, content, folder, index, findings)
    splits, made = with_val(found)
    return DetectionData(
        root=described.root,
        layout="coco",
        classes=tuple(numbers),
        category_ids=tuple(numbers.values()),
        splits=splits,
        notes=(*described.notes, *notes, *made),
        problems=(*differences, *findings.problems()),
    )


def _without_spare(contents: dict[str, Content], notes: list[str]) -> dict[str, Content]:
    """The contents without the category that names the data set, if no box has it in any split."""
    if any(content.spare in content.used for content in contents.values()):
        return contents
    names = {content.categories[content.spare] for content in contents.values() if content.spare is not None}
    if names:
        notes.append(f"left out, being no class but the supercategory of all others: {', '.join(sorted(names))}")
    return {
        split: Content(
            content.file,
            content.images,
            content.annotations,
            {number: name for number, name in content.categories.items() if number != content.spare},
            None,
        )
        for split, content in contents.items()
    }


def _classes(contents: dict[str, Content]) -> tuple[dict[str, int], tuple[Problem, ...]]:
    """Class name -> category number as val has it, in the order of the numbers; other splits add what only they have.

    A number that is taken already gives way to the next free one.
    """
    for content in contents.values():
        twice = [name for name, count in Counter(content.categories.values()).items() if count > 1]
        if twice:
            raise UserError(
                f"{content.file}: categories has the name {twice[0]!r} twice. Give each class its own name."
            )
        if not content.categories:
            raise UserError(f"{content.file}: categories is empty. Name the classes there.")
    first = "val" if "val" in contents else next(iter(contents))
    numbers: dict[str, int] = {}
    for content in (contents[first], *contents.values()):
        for number, name in sorted(content.categories.items()):
            if name not in numbers:
                taken = set(numbers.values())
                numbers[name] = number if number not in taken else max(taken) + 1
    places = []
    for name in numbers:
        having = [split for split, content in contents.items() if name in content.categories.values()]
        if len(having) < len(contents):
            places.append(f"{name}: only in {', '.join(having)}")
    text = "the class lists of the splits differ; classes are matched by name"
    return numbers, (Problem("warning", text, tuple(places)),) if places else ()


def _samples(
    split: str,
    content: Content,
    folder: Path,
    index: dict[str, int],
    findings: Findings,
) -> tuple[BoxSample, ...]:
    images, owners = _images(split, content, folder, findings)
    table, places = BoxTable(), list[str]()
    seen: set[int] = set()
    ids = {number: index[name] for number, name in content.categories.items()}
    for annotation in content.annotations:
        place = f"annotation {annotation['id']}"
        if annotation["id"] in seen:
            findings.add("error", f"{split}: annotation id is there twice", f"{content.file}: {place}")
        seen.add(annotation["id"])
        if annotation["image_id"] not in owners:
            text = f"{split}: annotation of an image that is not in the file, left out"
            findings.add("error", text, f"{content.file}: {place}: image_id {annotation['image_id']}")
            continue
        if annotation["category_id"] not in ids:
            text = f"{split}: annotation of a category that is not in the file, left out"
            findings.add("error", text, f"{content.file}: {place}: category_id {annotation['category_id']}")
            continue
        owner = owners[annotation["image_id"]]
        if owner is None:
            continue  # its image is missing and named
        x, y, width, height = annotation["bbox"]
        area = annotation["area"]
        if area is not None and not (math.isfinite(area) and area >= 0):
            text = f"{split}: area is negative or not finite, width x height is taken"
            findings.add("warning", text, f"{content.file}: {place}: {area}")
            area = None
        table.add(
            owner,
            (x, y, x + width, y + height),
            ids[annotation["category_id"]],
            annotation["iscrowd"],
            math.nan if area is None else area,
        )
        places.append(place)
    return box_samples(split, images, table, lambda row: f"{content.file}: {places[row]}", findings)


def _images(
    split: str, content: Content, folder: Path, findings: Findings
) -> tuple[list[BoxImage], dict[int, int | None]]:
    """The images that are there, and image id -> place among them; None for an image that cannot be used."""
    images, owners, names = list[BoxImage](), dict[int, int | None](), dict[str, str]()
    for entry in content.images:
        number, file_name = entry["id"], entry["file_name"]
        path = PurePosixPath(file_name)
        inside = bool(path.name) and not path.is_absolute() and ".." not in path.parts
        name = path.with_suffix("").as_posix() if inside else ""
        place = f"{content.file}: image {number}"
        if number in owners:
            findings.add("error", f"{split}: image id is there twice, the first is taken", f"{place}: {file_name}")
            continue
        owners[number] = None
        if not inside:
            text = f"{split}: file_name does not lead to a file in the image folder, left out"
            findings.add("error", text, f"{place}: {file_name}")
        elif name in names:
            text = "file name is there twice" if names[name] == file_name else "several files for one name"
            findings.add("error", f"{split}: {text}, the first is taken", f"{place}: {file_name}")
        elif not _is_file(folder / path):
            findings.add("error", f"{split}: image file is missing, left out", f"{place}: {folder / path}")
        else:
            names[name] = file_name
            owners[number] = len(images)
            images.append(BoxImage(name, folder / path, entry["size"], number))
    return images, owners


def _folder(content: Content, folders: tuple[Path, ...]) -> Path:
    """The first folder that holds one of the images."""
    present = [folder for folder in folders if folder.is_dir()]
    if not content.images:
        return present[0]
    for folder in present:
        if any(_is_file(folder / entry["file_name"]) for entry in content.images):
            return folder
    raise UserError(
        f"{content.file}: none of its {len(content.images)} images is there, the first is "
        f"{content.images[0]['file_name']}. Looked in: {', '.join(str(folder) for folder in present)}."
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name that this system could have
        return False


def _read(file: Path) -> Content:
    try:
        whole = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error}).") from error
    if not isinstance(whole, dict):
        raise UserError(f"{file}: holds {_kind(whole)}, expected a table with images, annotations and categories.")
    entries = {key: _entries(file, whole, key) for key in ("images", "annotations", "categories")}
    categories: dict[int, str] = {}
    for place, entry in enumerate(entries["categories"]):
        what = f"categories, entry {place + 1}"
        number = _whole(file, what, entry, "id")
        if number in categories:
            raise UserError(f"{file}: {what}: the id {number} is there twice. Give each class its own id.")
        categories[number] = _text(file, what, entry, "name")
    return Content(
        file,
        [_image(file, place, entry) for place, entry in enumerate(entries["images"])],
        [_annotation(file, place, entry) for place, entry in enumerate(entries["annotations"])],
        categories,
        _spare(entries["categories"]),
    )


def _spare(categories: list[dict[str, Any]]) -> int | None:
    for category in categories:
        others = [other for other in categories if other is not category]
        if others and all(other.get("supercategory") == category["name"] for other in others):
            return int(category["id"])
    return None


def _image(file: Path, place: int, entry: dict[str, Any]) -> dict[str, Any]:
    what = f"images, entry {place + 1}"
    size = None
    if entry.get("height") is not None or entry.get("width") is not None:
        size = (_whole(file, what, entry, "height"), _whole(file, what, entry, "width"))
        if min(size) < 1:
            raise UserError(f"{file}: {what}: height and width are {size[0]} and {size[1]}, expected 1 or more.")
    return {"id": _whole(file, what, entry, "id"), "file_name": _text(file, what, entry, "file_name"), "size": size}


def _annotation(file: Path, place: int, entry: dict[str, Any]) -> dict[str, Any]:
    what = f"annotations, entry {place + 1}"
    number = _whole(file, what, entry, "id")
    what = f"annotation {number}"
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise UserError(f"{file}: {what}: bbox is {_kind(bbox)}, expected [x, y, width, height].")
    crowd = entry.get("iscrowd")
    if crowd not in (0, 1, None):
        raise UserError(f"{file}: {what}: iscrowd is {_kind(crowd)}, expected 0 or 1.")
    area = entry.get("area")
    return {
        "id": number,
        "image_id": _whole(file, what, entry, "image_id"),
        "category_id": _whole(file, what, entry, "category_id"),
        "bbox": [_number(file, what, "bbox", value) for value in bbox],
        "area": None if area is None else _number(file, what, "area", area),
        "iscrowd": bool(crowd),
    }


def _entries(file: Path, whole: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = whole.get(key)
    if not isinstance(entries, list):
        state = f"{key} is {_kind(entries)}" if key in whole else f"has no {key}"
        raise UserError(f"{file}: {state}, expected a list. COCO files have images, annotations and categories.")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UserError(f"{file}: {key}, entry {place + 1} is {_kind(entry)}, expected a table.")
    return entries


def _whole(file: Path, what: str, entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int and abs(value) <= LARGEST:
        return value
    raise UserError(f"{file}: {what}: {_state(entry, key)}, expected a whole number.")


def _number(file: Path, what: str, key: str, value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise UserError(f"{file}: {what}: {key} has {_kind(value)}, expected a number.")


def _text(file: Path, what: str, entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{file}: {what}: {_state(entry, key)}, expected a text.")
    return value


def _state(entry: dict[str, Any], key: str) -> str:
    return f"{key} is {_kind(entry[key])}" if key in entry else f"has no {key}"


def _kind(value: Any) -> str:
    return (
        f"a list of {len(value)}" if isinstance(value, list) else "a table" if isinstance(value, dict) else repr(value)
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (f", ... ({len(names)} names)" if len(names) > LISTED else "")
