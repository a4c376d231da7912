"""Pascal VOC boxes: `JPEGImages`, `Annotations/*.xml` and the lists in `ImageSets/Main`."""

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from fna.data.boxes import BoxImage, BoxTable, Findings, box_samples
from fna.data.layouts.description import Description, refuse_mask_keys
from fna.data.layouts.pairs import with_val
from fna.data.layouts.voc import read_lists
from fna.data.samples import BoxSample, DetectionData, Sample
from fna.errors import UserError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Thing:
    """An `object` of an annotation file, in pixels that are counted from 0: class, x1, y1, x2, y2, difficult."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """An annotation file, read; `size` is (height, width), None where the file says nothing or 0."""

    file: Path
    size: tuple[int, int] | None
    things: tuple[Thing, ...]


def is_voc_boxes(root: Path) -> bool:
    """`JPEGImages` beside `Annotations` with XML files in it."""
    annotations = root / "Annotations"
    return (root / "JPEGImages").is_dir() and annotations.is_dir() and any(annotations.glob("*.xml"))


def open_voc_boxes(described: Description) -> DetectionData:
    """The train and val lists; the classes are the names in the files, sorted, unless `classes.txt` names them."""
    refuse_mask_keys(described)
    found, unused = read_lists(described.root, "Main", "Annotations", ".xml", "label file")
    read = {split: [_read(sample.mask) for sample in paired.samples] for split, paired in found.items()}
    names = {thing.name for annotations in read.values() for one in annotations for thing in one.things}
    classes = described.classes or tuple(sorted(names))
    if not classes:
        raise UserError(f"{described.root}: no annotation file names an object. Add classes.txt with the class names.")
    findings = Findings()
    index = {name: place for place, name in enumerate(classes)}
    splits, made = with_val(
        {
            split: _samples(split, paired.samples, read[split], index, described, findings)
            for split, paired in found.items()
        }
    )
    notes = [*described.notes, "Pascal VOC boxes, splits from ImageSets/Main", *made, *unused]
    if described.classes is None:
        notes.append("class names from the annotation files, sorted")
    return DetectionData(
        root=described.root,
        layout="voc",
        classes=classes,
        category_ids=tuple(range(1, len(classes) + 1)),
        splits=splits,
        notes=tuple(notes),
        problems=(*(problem for paired in found.values() for problem in paired.problems), *findings.problems()),
    )


def _samples(
    split: str,
    samples: tuple[Sample, ...],
    annotations: list[Annotation],
    index: dict[str, int],
    described: Description,
    findings: Findings,
) -> tuple[BoxSample, ...]:
    table, places = BoxTable(), list[str]()
    for owner, annotation in enumerate(annotations):
        for number, thing in enumerate(annotation.things, 1):
            place = f"{annotation.file}: object {number}"
            if thing.name not in index:
                source = described.names_file.name if described.names_file else "the class names"
                findings.add(
                    "error", f"{split}: class that {source} does not have, box left out", f"{place}: {thing.name}"
                )
                continue
            table.add(owner, thing.corners, index[thing.name], thing.difficult)
            places.append(place)
    images = [
        BoxImage(sample.name, sample.image, annotation.size, number)
        for number, (sample, annotation) in enumerate(zip(samples, annotations, strict=True), 1)
    ]
    return box_samples(split, images, table, places.__getitem__, findings)


def _read(file: Path) -> Annotation:
    """An annotation file. The parser of the standard library opens no other file, whatever entities are declared."""
    try:
        root = ET.parse(file).getroot()
    except (ET.ParseError, OSError, ValueError, LookupError) as error:
        raise UserError(f"{file}: cannot be read as XML ({error}).") from error
    height, width = (_number(file, "size", root.find(f"size/{key}"), key, 0.0) for key in ("height", "width"))
    if not (0 <= height < math.inf and 0 <= width < math.inf):
        raise UserError(f"{file}: size: height and width are {height:g} and {width:g}, expected 1 or more.")
    things = tuple(_thing(file, number, entry) for number, entry in enumerate(root.findall("object"), 1))
    return Annotation(file, (int(height), int(width)) if height >= 1 and width >= 1 else None, things)


def _thing(file: Path, number: int, entry: ET.Element) -> Thing:
    what = f"object {number}"
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise UserError(f"{file}: {what} has no name. Give it one, or take the object out.")
    xmin, ymin, xmax, ymax = (_number(file, what, entry.find(f"bndbox/{key}"), f"bndbox/{key}") for key in CORNERS)
    difficult = _number(file, what, entry.find("difficult"), "difficult", 0.0) != 0
    # The first pixel is 1 and the last one belongs to the box: (1, 1, W, H) is the whole image.
    return Thing(name, (xmin - 1, ymin - 1, xmax, ymax), difficult)


def _number(file: Path, what: str, entry: ET.Element | None, key: str, default: float | None = None) -> float:
    if entry is None and default is not None:
        return default
    if entry is None:
        raise UserError(f"{file}: {what} has no {key}, expected a number.")
    text = (entry.text or "").strip()
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{file}: {what}: {key} is {text!r}, expected a number.") from error
