"""One folder of images for each class, as ImageNet is laid out: `train/CLASS/*.jpg`, `val/CLASS/*.jpg`."""

from collections.abc import Mapping
from pathlib import Path

from fna.data.boxes import Findings
from fna.data.layouts.description import Description, refuse_mask_keys
from fna.data.layouts.folders import IMAGE_FOLDERS, MASK_FOLDERS, split_folders
from fna.data.layouts.pairs import IMAGE_SUFFIXES, ODD_IMAGES, files_of, with_val
from fna.data.samples import ClassificationData, ClassSample
from fna.errors import UserError

LAYOUT = "image folders"


def has_class_folders(root: Path) -> bool:
    """`train` with two or more folders, at least one of them with an image, and none named like images or masks."""
    train = split_folders(root).get("train")
    folders = class_folders(train) if train else {}
    if len(folders) < 2 or any(name.lower() in (*IMAGE_FOLDERS, *MASK_FOLDERS) for name in folders):
        return False
    return any(_has_image(folder) for folder in folders.values())


def open_class_folders(described: Description) -> ClassificationData:
    """The split folders of the root."""
    return _open(described, split_folders(described.root), "SPLIT/CLASS")


def open_named(described: Description) -> ClassificationData:
    """The split folders that a YAML file names."""
    return _open(described, dict(described.folders), "SPLIT/CLASS, splits named in the YAML file")


def class_folders(split: Path) -> dict[str, Path]:
    """The folders of a split by name, sorted by character codes as torchvision's ImageFolder; hidden ones are none.

    Raises UserError where the split is no folder.
    """
    if not split.is_dir():
        raise UserError(f"{split}: no such folder; expected one folder of images for each class in it.")
    names = sorted(entry.name for entry in split.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {name: split / name for name in names}


def _has_image(folder: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.rglob("*"))


def _open(described: Description, splits: Mapping[str, Path], rule: str) -> ClassificationData:
    """The classes are those that classes.txt or data.yaml names, else the folders of train."""
    refuse_mask_keys(described, "classes")
    folders = {split: class_folders(folder) for split, folder in splits.items()}
    if not folders.get("train"):
        raise UserError(f"{described.root}: train has no folder of images for each class.")
    notes = [*described.notes, f"one folder for each class: {rule}"]
    if "test" in folders and not folders["test"]:
        del folders["test"]
        notes.append("test has no class folders and is left out")
    if described.classes is None:
        notes.append("class names are the folders of train, sorted")
    classes = described.classes or tuple(folders["train"])
    findings = Findings()
    found = {split: _samples(split, splits[split], folders[split], classes, findings) for split in folders}
    with_vals, made = with_val(found)
    return ClassificationData(described.root, LAYOUT, classes, with_vals, (*notes, *made), findings.problems())


def _samples(
    split: str, root: Path, folders: Mapping[str, Path], classes: tuple[str, ...], findings: Findings
) -> tuple[ClassSample, ...]:
    """The images of every class of a split, sorted; folders that are no class and stray files go to `findings`."""
    index = {name: label for label, name in enumerate(classes)}
    samples: list[ClassSample] = []
    for name, folder in folders.items():
        if name not in index:
            findings.add(
                "error", f"{split}: folder that is no class (no such folder in train, or not named)", str(folder)
            )
            continue
        images, odd = files_of(folder, IMAGE_SUFFIXES)
        for file in odd:
            findings.add("warning", ODD_IMAGES.format(split=split), file)
        samples += [
            ClassSample(file.relative_to(root).with_suffix("").as_posix(), file, index[name]) for file in images
        ]
    for entry in sorted(root.iterdir()):
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file():
            findings.add("warning", f"{split}: image in no class folder, not used", str(entry))
    return tuple(samples)
