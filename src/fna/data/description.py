"""What the user writes about a data set: `classes.txt`, or a YAML file with class names, ignore value and mapping."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fna.data.samples import IGNORE, Colour
from fna.errors import UserError, unknown

YAML_NAMES = ("data.yaml", "data.yml")
KEYS = ("path", "train", "val", "test", "masks_dir", "names", "ignore", "label_mapping", "palette")
LARGEST_VALUE = 65535  # of a 16-bit mask


@dataclass(frozen=True)
class Description:
    """Class names and the meaning of mask values; `folders` are the image folders named in the YAML file, by split."""

    root: Path
    classes: tuple[str, ...] | None = None
    ignore: int = IGNORE
    label_mapping: dict[int, int] | None = None
    palette: tuple[Colour, ...] | None = None
    folders: tuple[tuple[str, Path], ...] = ()
    masks_dir: str | None = None
    notes: tuple[str, ...] = ()


def describe(root: Path) -> Description:
    """What `classes.txt` and `data.yaml` in `root` say; nothing where there is neither.

    Raises UserError for more than one YAML file and for names that differ between the two.
    """
    files = [root / name for name in YAML_NAMES if (root / name).is_file()]
    if len(files) > 1:
        raise UserError(f"{root} has both {' and '.join(YAML_NAMES)}. Keep one.")
    if files:
        return read_yaml(files[0])
    return _with_class_list(Description(root))


def read_yaml(file: Path) -> Description:
    """A data set description; raises UserError for unknown keys and for values that make no sense."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds {_kind(content)}, expected keys like names, ignore, label_mapping.")
    for key in content:
        if key not in KEYS:
            raise UserError(f"{file}: {unknown('key', str(key), KEYS)}")
    root = (file.parent / _text(file, "path", content.get("path", "."))).resolve()
    if not root.is_dir():
        raise UserError(f"{file}: path is {content['path']!r}, and there is no folder {root}.")
    folders = tuple(
        (split, root / _text(file, split, content[split])) for split in ("train", "val", "test") if split in content
    )
    masks_dir = _text(file, "masks_dir", content["masks_dir"]) if "masks_dir" in content else None
    notes = (f"described by {file.name}",)
    ignore = _ignore(file, content.get("ignore", IGNORE))
    if "names" not in content:
        bare = [key for key in ("label_mapping", "palette") if key in content]
        if bare:
            raise UserError(f"{file}: {bare[0]} without names. Add names, the list of classes.")
        listed = _with_class_list(Description(root, ignore=ignore, folders=folders, masks_dir=masks_dir, notes=notes))
        if "ignore" in content and listed.classes is None:
            raise UserError(f"{file}: ignore without names. Add names, the list of classes.")
        return listed
    numbers, classes = _names(file, content["names"])
    mapping = _mapping(file, content.get("label_mapping"), numbers)
    described = Description(
        root,
        classes,
        ignore,
        _with_ignore(file, mapping, ignore, "ignore" in content, len(classes)),
        _palette(file, content.get("palette"), len(classes)),
        folders,
        masks_dir,
        notes,
    )
    return _with_class_list(described)


def _with_class_list(described: Description) -> Description:
    """Names from `classes.txt` where the YAML file has none; where both have them they must agree."""
    file = described.root / "classes.txt"
    if not file.is_file():
        return described
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}).") from error
    classes = _checked(file, lines)
    if described.classes is not None:
        if described.classes != classes:
            raise UserError(f"{file}: names differ from those in the YAML file. Keep one of the two.")
        return described
    mapping = _with_ignore(file, None, described.ignore, True, len(classes))
    notes = (*described.notes, "class names from classes.txt, in the order of the lines")
    return Description(
        described.root, classes, described.ignore, mapping, None, described.folders, described.masks_dir, notes
    )


def _names(file: Path, names: Any) -> tuple[list[int], tuple[str, ...]]:
    """The values in the files and the names, in the order of the values."""
    if isinstance(names, list):
        return list(range(len(names))), _checked(file, names)
    if not isinstance(names, dict):
        raise UserError(f"{file}: names is {_kind(names)}, expected a list or a table of number: name.")
    strange = [key for key in names if type(key) is not int or not 0 <= key <= LARGEST_VALUE]
    if strange:
        raise UserError(f"{file}: names has the key {strange[0]!r}, expected whole numbers from 0 to {LARGEST_VALUE}.")
    numbers = sorted(names)
    return numbers, _checked(file, [names[number] for number in numbers])


def _checked(file: Path, names: list[Any]) -> tuple[str, ...]:
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise UserError(
                f"{file}: class {place} is {name!r}, expected a name (in quotes if YAML takes it for something else)."
            )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{file}: the class name {min(twice)!r} is there twice.")
    if not 2 <= len(names) <= IGNORE:
        raise UserError(f"{file}: {len(names)} classes, expected 2 to {IGNORE}. The background is a class, too.")
    return tuple(names)


def _mapping(file: Path, mapping: Any, numbers: list[int]) -> dict[int, int] | None:
    contiguous = numbers == list(range(len(numbers)))
    if mapping is None:
        return None if contiguous else {number: index for index, number in enumerate(numbers)}
    if not contiguous:
        raise UserError(f"{file}: with a label_mapping the names are counted 0, 1, 2, ...; they are {numbers}.")
    if not isinstance(mapping, dict) or not mapping:
        raise UserError(
            f"{file}: label_mapping is {_kind(mapping)}, expected a table of value in the mask: class index."
        )
    for value, index in mapping.items():
        if type(value) is not int or not -1 <= value <= LARGEST_VALUE:
            raise UserError(
                f"{file}: label_mapping has the key {value!r}, expected whole numbers from -1 to {LARGEST_VALUE}."
            )
        if type(index) is not int or not (0 <= index < len(numbers) or index == IGNORE):
            raise UserError(
                f"{file}: label_mapping takes {value} to {index!r}, expected 0 to "
                f"{len(numbers) - 1}, or {IGNORE} to ignore it."
            )
    return mapping


def _with_ignore(
    file: Path, mapping: dict[int, int] | None, ignore: int, said: bool, classes: int
) -> dict[int, int] | None:
    """The mapping with the ignored value in it; an ignored value that nobody wrote down gives way to the mapping."""
    if mapping is None:
        if ignore == IGNORE:
            return None
        if ignore < classes:
            raise UserError(
                f"{file}: ignore is {ignore}, which is also class {ignore} of {classes}. "
                f"Write names as a table of value: name without {ignore}, or another ignore value."
            )
        mapping = {index: index for index in range(classes)}
    if said and mapping.get(ignore, IGNORE) != IGNORE:
        raise UserError(f"{file}: ignore is {ignore}, but {ignore} is also mapped to class {mapping[ignore]}.")
    return {ignore: IGNORE} | mapping


def _ignore(file: Path, ignore: Any) -> int:
    if type(ignore) is not int or not 0 <= ignore <= LARGEST_VALUE:
        raise UserError(
            f"{file}: ignore is {ignore!r}, expected the mask value that is not to count (0 to {LARGEST_VALUE})."
        )
    return ignore


def _palette(file: Path, palette: Any, classes: int) -> tuple[Colour, ...] | None:
    if palette is None:
        return None
    if not isinstance(palette, list) or len(palette) != classes:
        raise UserError(
            f"{file}: palette is {_kind(palette)}, expected one [red, green, blue] for each of {classes} classes."
        )
    for colour in palette:
        if (
            not isinstance(colour, list)
            or len(colour) != 3
            or not all(type(c) is int and 0 <= c <= 255 for c in colour)
        ):
            raise UserError(f"{file}: palette has {colour!r}, expected [red, green, blue] from 0 to 255.")
    return tuple((red, green, blue) for red, green, blue in palette)


def _text(file: Path, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{file}: {key} is {_kind(value)}, expected a folder.")
    return value


def _kind(value: Any) -> str:
    return "empty" if value is None else f"a list of {len(value)}" if isinstance(value, list) else repr(value)
