"""The Cityscapes tree: `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` and `gtFine/SPLIT/CITY/*_gtFine_labelIds.png`."""

from pathlib import Path

from fna.data.layouts.description import Description
from fna.data.layouts.pairs import match, with_val
from fna.data.samples import IGNORE, SegmentationData
from fna.errors import UserError

IMAGE_END = "_leftImg8bit"
MASK_ENDS = {"labelTrainIds": "_gtFine_labelTrainIds", "labelIds": "_gtFine_labelIds"}

# The 19 evaluated classes: name, value in labelIds files, colour (labels of the benchmark, Cordts et al., CVPR 2016).
CLASSES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
NUM_LABEL_IDS = 34
LABEL_IDS = {value: IGNORE for value in (-1, *range(NUM_LABEL_IDS), IGNORE)} | {
    value: index for index, (_, value, _) in enumerate(CLASSES)
}


def is_cityscapes(root: Path) -> bool:
    return (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()


def open_cityscapes(described: Description) -> SegmentationData:
    """The train and val splits; labelTrainIds where there are any, labelIds with the 34 to 19 map otherwise.

    The masks of the test split are empty (its labels are not public), so it is left out.
    """
    root = described.root
    kind = _kind(root / "gtFine")
    found = {
        split: match(
            split,
            _by_name(root / "leftImg8bit" / split, IMAGE_END),
            _by_name(root / "gtFine" / split, MASK_ENDS[kind]),
        )
        for split in ("train", "val")
        if (root / "leftImg8bit" / split).is_dir() or (root / "gtFine" / split).is_dir()
    }
    splits, made = with_val({split: paired.samples for split, paired in found.items()})
    notes = [*described.notes, f"Cityscapes tree, masks: {kind}", *made]
    if (root / "leftImg8bit" / "test").is_dir():
        notes.append("test is left out: its labels are not public")
    own = described.classes is not None
    return SegmentationData(
        root=root,
        layout="cityscapes",
        classes=described.classes or tuple(name for name, _, _ in CLASSES),
        ignore=described.ignore,
        label_mapping=described.label_mapping if own else LABEL_IDS if kind == "labelIds" else None,
        splits=splits,
        notes=tuple(notes),
        palette=described.palette if own else tuple(colour for _, _, colour in CLASSES),
        problems=tuple(problem for paired in found.values() for problem in paired.problems),
    )


def _kind(masks: Path) -> str:
    for kind, ending in MASK_ENDS.items():
        if any(next((masks / split).glob(f"**/*{ending}.png"), None) for split in ("train", "val")):
            return kind
    raise UserError(
        f"{masks}: expected files named CITY_SEQUENCE_FRAME{' or '.join(MASK_ENDS.values())}.png in "
        f"train/CITY or val/CITY; found none."
    )


def _by_name(folder: Path, ending: str) -> dict[str, list[Path]]:
    files = sorted(folder.glob(f"**/*{ending}.png"))
    return {file.relative_to(folder).with_suffix("").as_posix().removesuffix(ending): [file] for file in files}
