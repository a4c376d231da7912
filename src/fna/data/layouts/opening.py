"""The layout of a data set, found out from what is there; anything ambiguous or unknown is refused by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from fna.data.layouts import coco, folders, image_folders, yolo
from fna.data.layouts.cityscapes import is_cityscapes, open_cityscapes
from fna.data.layouts.description import Description, describe, read_yaml, require_mask_classes
from fna.data.layouts.voc import is_voc, open_voc
from fna.data.layouts.voc_boxes import is_voc_boxes, open_voc_boxes
from fna.data.samples import ClassificationData, Data, DetectionData, Problem, Sample, SegmentationData
from fna.errors import UserError
from fna.tasks.kinds import find_task, task_of_data

__all__ = ["ClassificationData", "Data", "DetectionData", "Problem", "Sample", "SegmentationData", "open_data"]


@dataclass(frozen=True)
class Layout:
    """How files with one kind of annotations may lie: the name, whether a folder is like that, and how to read it."""

    kind: str
    name: str
    fits: Callable[[Path], bool]
    open: Callable[[Description], Data]


LAYOUTS = (
    Layout(
        "masks",
        "images/SPLIT + masks/SPLIT (or img_dir + ann_dir, labels for masks)",
        folders.has_kind_first,
        folders.open_kind_first,
    ),
    Layout("masks", "SPLIT/images + SPLIT/masks", folders.has_split_first, folders.open_split_first),
    Layout("masks", "Cityscapes: leftImg8bit + gtFine", is_cityscapes, open_cityscapes),
    Layout("masks", "Pascal VOC: JPEGImages + SegmentationClass + ImageSets/Segmentation", is_voc, open_voc),
    Layout(
        "boxes",
        "COCO: annotations/instances_SPLIT.json + SPLIT (or images/SPLIT)",
        coco.has_instances,
        coco.open_instances,
    ),
    Layout("boxes", f"COCO in one folder a split: SPLIT/{coco.ROBOFLOW}", coco.has_roboflow, coco.open_roboflow),
    Layout("boxes", "Pascal VOC: JPEGImages + Annotations/*.xml + ImageSets/Main", is_voc_boxes, open_voc_boxes),
    Layout("boxes", "YOLO: images/SPLIT + labels/SPLIT/*.txt", yolo.has_kind_first, yolo.open_kind_first),
    Layout("boxes", "YOLO: SPLIT/images + SPLIT/labels/*.txt", yolo.has_split_first, yolo.open_split_first),
)
CLASS_FOLDERS = Layout(
    "classes", "ImageNet: train/CLASS + val/CLASS", image_folders.has_class_folders, image_folders.open_class_folders
)
"""Taken where classes are asked for, or where no other layout fits: in folders that hold more, they are not meant."""


@overload
def open_data(path: str | Path, task: Literal["seg"]) -> SegmentationData: ...
@overload
def open_data(path: str | Path, task: Literal["det"]) -> DetectionData: ...
@overload
def open_data(path: str | Path, task: Literal["cls"]) -> ClassificationData: ...
@overload
def open_data(path: str | Path, task: str | None = None) -> Data: ...
def open_data(path: str | Path, task: str | None = None) -> Data:
    """The data set in a folder, or the one that a YAML file describes.

    `task` is seg (masks), det (boxes), cls (a folder for each class) or another name in `fna.tasks.kinds.TASKS`; with
    None it is whichever annotations are there, and folders of classes only where nothing else is, here or in the folder
    around. Masks and images are listed, not read: missing partners are in `problems`, bad pixels are found by
    `fna.data.check`. Annotations of boxes are read, and what of them cannot be used is left out and named in
    `problems`.
    Raises UserError when the folder fits no layout or more than one, and for a description or an annotation file that
    makes no sense.
    """
    kind = None if task is None else find_task(task).data
    path = Path(path).expanduser().resolve()
    if path.is_dir():
        described = describe(path)
    elif path.is_file() and path.suffix.lower() in (".yaml", ".yml"):
        described = read_yaml(path)
    else:
        raise UserError(
            f"{path}: expected a folder or a .yaml file; "
            f"{'this is another kind of file' if path.exists() else 'nothing is there'}."
        )
    if described.folders:
        return _open_named(path, described, kind)
    if described.masks_dir is not None:
        raise UserError(f"{path}: masks_dir is given, but no image folders. Add train (and val), the image folders.")
    fitting = [layout for layout in _fitting(described.root, kind) if kind in (None, layout.kind)]
    if len(fitting) != 1:
        raise UserError(_refusal(described.root, fitting, task))
    if fitting[0].kind == "masks":
        require_mask_classes(described)
    return fitting[0].open(described)


def _open_named(path: Path, described: Description, kind: str | None) -> Data:
    """The folders that the YAML file names: boxes where text files lie beside the images and no masks do."""
    if kind == "classes":
        return image_folders.open_named(described)
    boxes, masks = yolo.has_named(described), folders.has_named(described)
    if kind is None and boxes and masks and described.masks_dir is None:
        raise UserError(f"{path}: its image folders have both masks and YOLO labels beside them. {_choose()}")
    if kind == "boxes" or (kind is None and boxes and not masks):
        return yolo.open_named(described)
    require_mask_classes(described)
    return folders.open_named(described)


def _fitting(root: Path, kind: str | None = None) -> list[Layout]:
    """The layouts that fit; folders of classes where they are asked for, or as the last resort."""
    found = [layout for layout in LAYOUTS if layout.fits(root)]
    if (kind == "classes" or not (found or _is_part(root))) and CLASS_FOLDERS.fits(root):
        found.append(CLASS_FOLDERS)
    return found


def _is_part(root: Path) -> bool:
    """Whether the folder around has a layout, so that this one is only its images (or its masks), by split."""
    try:
        return any(layout.fits(root.parent) for layout in LAYOUTS)
    except (UserError, OSError):  # whatever is there, it is not what was given
        return False


def _choose() -> str:
    tasks = " or ".join(f"--task {task_of_data(kind)}" for kind in ("masks", "boxes"))
    return f"Choose the task, on the command line by {tasks}."


def _refusal(root: Path, fitting: list[Layout], task: str | None) -> str:
    kind = None if task is None else find_task(task).data
    if fitting:
        names = "; ".join(f"{layout.name} ({layout.kind})" for layout in fitting)
        remedy = "Separate them, or name the image folders in a YAML file (train, val, names, and masks_dir for masks)."
        if len({layout.kind for layout in fitting}) > 1:
            remedy = _choose()
        return f"{root}: fits more than one layout: {names}. {remedy}"
    accepted = "".join(
        f"\n  - {layout.kind}: {layout.name}" for layout in (*LAYOUTS, CLASS_FOLDERS) if kind in (None, layout.kind)
    )
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir() if not entry.name.startswith("."))
    has = (
        ", ".join(entries[:12]) + (f", ... ({len(entries)} entries)" if len(entries) > 12 else "")
        if entries
        else "nothing"
    )
    other = _fitting(root)
    around = [root.parent] if not other and _is_part(root) else []
    below = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and _fitting(entry)]
    hint = f"\nDid you mean {(around + below)[0]}?" if around + below else ""
    if other:
        meant = task_of_data(other[0].kind)
        hint = f"\nIt fits {other[0].name}, which is {other[0].kind}: did you mean --task {meant}?"
    known = "no known layout" if task is None else f"no known layout for --task {task} ({kind})"
    explicit = "\n  - a YAML file with train, val and names; for masks also masks_dir"
    return f"{root}: {known}. Found: {has}. Accepted:{accepted}{explicit}{hint}"
