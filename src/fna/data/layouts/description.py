"""What the user writes about a data set: `classes.txt`, or a YAML file with names, folders and what masks mean."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from fna.data.samples import IGNORE, Colour
from fna.errors import UserError, unknown

YAML_NAMES = ("data.yaml", "data.yml")
MASK_KEYS = ("masks_dir", "ignore", "label_mapping", "palette")  # these say something about masks
UNUSED_KEYS = ("roboflow", "download")  # other tools write them; they mean nothing here
KEYS = ("path", "train", "val", "test", "names", "nc", *MASK_KEYS, *UNUSED_KEYS)
LARGEST_VALUE = 65535  # of a 16-bit mask


@dataclass(frozen=True)
class Description:
    """Class names and the meaning of the numbers in the files.

    `numbers` are those of the classes in the files, 0, 1, 2, ... unless the YAML file says otherwise; `names_file` is
    where the names are from. `folders` are the image folders named in the YAML file, by split; `mask_keys` those keys
    in it that only make sense for masks.
    """

    root: Path
    classes: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None
    names_file: Path | None = None
    ignore: int = IGNORE
    label_mapping: dict[int, int] | None = None
    palette: tuple[Colour, ...] | None = None
    folders: tuple[tuple[str, Path], ...] = ()
    masks_dir: str | None = None
    mask_keys: tuple[str, ...] = ()
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
        raise UserError(f"{file}: holds {_kind(content)}, expected keys like names, train, val, label_mapping.")
    for key in content:
        if key not in KEYS:
            raise UserError(f"{file}: {unknown('key', str(key), KEYS)}")
    root = (file.parent / _text(file, "path", content.get("path", "."))).resolve()
    if not root.is_dir():
        raise UserError(f"{file}: path is {content['path']!r}, and there is no folder {root}.")
    unused = [key for key in UNUSED_KEYS if key in content]
    if "test" in content and content["test"] is None:
        unused.append("test")
    folders, moved = _folders(file, root, {key: content[key] for key in content if key not in unused})
    described = Description(
        root,
        ignore=_ignore(file, content.get("ignore", IGNORE)),
        folders=folders,
        masks_dir=_text(file, "masks_dir", content["masks_dir"]) if "masks_dir" in content else None,
        mask_keys=tuple(key for key in MASK_KEYS if key in content),
        notes=(
            f"described by {file.name}",
            *([f"keys not used: {', '.join(unused)}"] if unused else []),
            *moved,
        ),
    )
    if "names" in content:
        numbers, classes = _names(file, content["names"])
        mapping = _mapping(file, content.get("label_mapping"), numbers)
        described = replace(
            described,
            classes=classes,
            numbers=tuple(numbers),
            names_file=file,
            label_mapping=_with_ignore(file, mapping, described.ignore, "ignore" in content, len(classes)),
            palette=_palette(file, content.get("palette"), len(classes)),
        )
    else:
        bare = [key for key in ("label_mapping", "palette") if key in content]
        if bare:
            raise UserError(f"{file}: {bare[0]} without names. Add names, the list of classes.")
    described = _with_class_list(described)
    if "ignore" in content and described.classes is None:
        raise UserError(f"{file}: ignore without names. Add names, the list of classes.")
    if "nc" in content:
        _same_count(file, content["nc"], described.classes)
    return described


def require_mask_classes(described: Description) -> None:
    """Raises UserError when the named classes cannot be those of masks: fewer than two, or more than a byte has."""
    if described.classes is not None and not 2 <= len(described.classes) <= IGNORE:
        raise UserError(
            f"{described.names_file}: {len(described.classes)} classes, expected 2 to {IGNORE}. "
            f"The background is a class, too."
        )


def refuse_mask_keys(described: Description, what: str = "boxes") -> None:
    """Raises UserError when the description of a data set with boxes (or `what` in their place) speaks of masks."""
    if described.mask_keys:
        raise UserError(
            f"{described.names_file or described.root}: {', '.join(described.mask_keys)} is about masks, and this is "
            f"read as {what}. Remove it, or choose the other task: seg."
        )


def _folders(file: Path, root: Path, content: dict[str, Any]) -> tuple[tuple[tuple[str, Path], ...], tuple[str, ...]]:
    """The image folders by split; `../train` stands for `train` where only that is there, as some exports have it."""
    folders, notes = [], []
    for split in ("train", "val", "test"):
        if split not in content:
            continue
        text = _text(file, split, content[split])
        folder = root / text
        if text.startswith("../") and not folder.is_dir() and (root / text.removeprefix("../")).is_dir():
            folder = root / text.removeprefix("../")
            notes.append(f"{split}: there is no {text}, {text.removeprefix('../')} is taken")
        folders.append((split, folder))
    return tuple(folders), tuple(notes)


def _same_count(file: Path, count: Any, classes: tuple[str, ...] | None) -> None:
    if type(count) is not int or count < 1:
        raise UserError(f"{file}: nc is {_kind(count)}, expected the number of classes.")
    if classes is not None and count != len(classes):
        raise UserError(f"{file}: nc is {count}, but there are {len(classes)} names. Correct nc or leave it out.")


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
    return replace(
        described,
        classes=classes,
        numbers=tuple(range(len(classes))),
        names_file=file,
        label_mapping=_with_ignore(file, None, described.ignore, True, len(classes)),
        notes=(*described.notes, "class names from classes.txt, in the order of the lines"),
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
    twice = {name for name, count in Counter(names).items() if count > 1}
    if twice:
        raise UserError(f"{file}: the class name {min(twice)!r} is there twice.")
    if not names:
        raise UserError(f"{file}: names no class. Add the class names.")
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
