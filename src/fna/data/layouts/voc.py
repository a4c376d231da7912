"""Pascal VOC segmentation: `JPEGImages`, `SegmentationClass` and the lists in `ImageSets/Segmentation`."""

from collections import Counter
from pathlib import Path

from fna.data.layouts.description import Description
from fna.data.layouts.pairs import Paired, match, with_val
from fna.data.samples import Colour, Problem, SegmentationData
from fna.errors import UserError

# Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, with the background first.
CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def is_voc(root: Path) -> bool:
    return (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir()


def open_voc(described: Description) -> SegmentationData:
    """The train and val lists; 21 classes unless `classes.txt` or `data.yaml` name others. Other lists are noted."""
    root = described.root
    found, unused = read_lists(root, "Segmentation", "SegmentationClass", ".png", "mask")
    splits, made = with_val({split: paired.samples for split, paired in found.items()})
    notes = [*described.notes, "Pascal VOC segmentation, splits from ImageSets/Segmentation", *made, *unused]
    own = described.classes is not None
    return SegmentationData(
        root=root,
        layout="voc",
        classes=described.classes or CLASSES,
        ignore=described.ignore,
        label_mapping=described.label_mapping,
        splits=splits,
        notes=tuple(notes),
        palette=described.palette if own else palette(len(CLASSES)),
        problems=tuple(problem for paired in found.values() for problem in paired.problems),
    )


def palette(count: int) -> tuple[Colour, ...]:
    """The VOC colours: the bits of the class index dealt in turn to red, green and blue, highest bit first."""
    colours = []
    for index in range(count):
        channels = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


def read_lists(
    root: Path, lists: str, folder: str, suffix: str, what: str
) -> tuple[dict[str, Paired], tuple[str, ...]]:
    """The splits that `ImageSets/LISTS` names, each image with its file in `folder`, and a note on unused lists."""
    place = root / "ImageSets" / lists
    if not (place / "train.txt").is_file():
        raise UserError(f"{place}: expected train.txt (and val.txt) with one image name a line; found no train.txt.")
    found = {
        split: _listed(root, split, place / f"{split}.txt", folder, suffix, what)
        for split in ("train", "val")
        if (place / f"{split}.txt").is_file()
    }
    unused = sorted(file.name for file in place.glob("*.txt") if file.stem not in found)
    return found, (f"lists not used: {', '.join(unused)}",) if unused else ()


def _listed(root: Path, split: str, file: Path, folder: str, suffix: str, what: str) -> Paired:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}).") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    twice = tuple(sorted(name for name, count in Counter(names).items() if count > 1))
    images = {name: [path] for name in names if (path := root / "JPEGImages" / f"{name}.jpg").is_file()}
    partners = {name: [path] for name in names if (path := root / folder / f"{name}{suffix}").is_file()}
    neither = tuple(sorted(set(names) - images.keys() - partners.keys()))
    problems = []
    if twice:
        problems.append(Problem("error", f"{split}: listed twice in {file.name}", twice))
    if neither:
        problems.append(Problem("error", f"{split}: listed in {file.name}, neither image nor {what} found", neither))
    paired = match(split, images, partners, what)
    return Paired(paired.samples, (*paired.problems, *problems))
