"""The layout of a data set, found out from what is there; anything ambiguous or unknown is refused by name."""

from collections.abc import Callable
from pathlib import Path

from fna.data.cityscapes import is_cityscapes, open_cityscapes
from fna.data.description import Description, describe, read_yaml
from fna.data.folders import has_kind_first, has_split_first, open_kind_first, open_named, open_split_first
from fna.data.samples import Problem, Sample, SegmentationData
from fna.data.voc import is_voc, open_voc
from fna.errors import UserError

__all__ = ["Problem", "Sample", "SegmentationData", "open_data"]

LAYOUTS: dict[str, tuple[Callable[[Path], bool], Callable[[Description], SegmentationData]]] = {
    "images/SPLIT + masks/SPLIT (or img_dir + ann_dir, labels for masks)": (has_kind_first, open_kind_first),
    "SPLIT/images + SPLIT/masks": (has_split_first, open_split_first),
    "Cityscapes: leftImg8bit + gtFine": (is_cityscapes, open_cityscapes),
    "Pascal VOC: JPEGImages + SegmentationClass + ImageSets/Segmentation": (is_voc, open_voc),
}


def open_data(path: str | Path) -> SegmentationData:
    """The data set in a folder, or the one that a YAML file describes.

    Files are listed, not read: missing partners are in `problems`, bad pixels are found by `fna.data.check.check`.
    Raises UserError when the folder fits no layout or more than one, and for a description that makes no sense.
    """
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
        return open_named(described)
    if described.masks_dir is not None:
        raise UserError(f"{path}: masks_dir is given, but no image folders. Add train (and val), the image folders.")
    fitting = _fitting(described.root)
    if len(fitting) != 1:
        raise UserError(_refusal(described.root, fitting))
    _, opener = LAYOUTS[fitting[0]]
    return opener(described)


def _fitting(root: Path) -> list[str]:
    return [name for name, (fits, _) in LAYOUTS.items() if fits(root)]


def _refusal(root: Path, fitting: list[str]) -> str:
    accepted = "".join(f"\n  - {name}" for name in LAYOUTS)
    if fitting:
        return (
            f"{root}: fits more than one layout: {'; '.join(fitting)}. "
            f"Separate them, or name the image folders in a YAML file (train, val, masks_dir, names)."
        )
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir() if not entry.name.startswith("."))
    has = (
        ", ".join(entries[:12]) + (f", ... ({len(entries)} entries)" if len(entries) > 12 else "")
        if entries
        else "nothing"
    )
    below = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and _fitting(entry)]
    hint = f"\nDid you mean {below[0]}?" if below else ""
    explicit = "\n  - a YAML file with train, val, masks_dir and names"
    return f"{root}: no known layout. Found: {has}. Accepted:{accepted}{explicit}{hint}"
