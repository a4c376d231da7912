"""A kind of head with its options: a value with a text form (`fpn(width=64)`) and a JSON form.

Every kind is a frozen dataclass whose fields are its options, so an option is one line: the text, the JSON, the
flags and what is wrong with a value follow from the field. A field is a whole number, a truth value, a text, or whole
numbers joined by `+` (`taps=4+8+16`).
"""

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from fna.errors import UserError, unknown

if TYPE_CHECKING:
    from fna.arch.arch import Outputs
    from fna.arch.heads.head import Head

Numbers = tuple[int, ...]
TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class HeadKind:
    """What every kind of head has: a name, its options as fields, and what it is on a backbone."""

    name: ClassVar[str]
    module: ClassVar[str]
    """Where its wiring is, `file:class` under `fna.nn.heads`."""
    output_stride: ClassVar[int] = 32
    """That of the backbone, where nothing is said."""
    output_strides: ClassVar[Numbers] = (8, 16, 32)
    """Those that it can read."""

    def __post_init__(self) -> None:
        for key, kind in option_types(type(self)).items():
            value = getattr(self, key)
            if not _is(value, kind):
                raise UserError(f"{self.name}: {key} must be {EXPECTED[kind]}, got {value!r}")

    @property
    def strides_text(self) -> str:
        """The output strides that it can read, in a sentence."""
        return " or ".join(map(str, self.output_strides))

    def describe(self, arch: "Outputs", classes: int, output_stride: int) -> "Head":
        """The head on a backbone: taps and convolutions. Raises UserError where the backbone lacks what it reads."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """`kind` and every option, as JSON has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.name} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def __str__(self) -> str:
        """The name, with the options that are not the kind's own: `fpn(width=64, taps=8+16)`."""
        own = {field.name: field.default for field in fields(self)}
        given = {key: getattr(self, key) for key in own if getattr(self, key) != own[key]}
        return self.name + (f"({', '.join(f'{key}={_text(value)}' for key, value in given.items())})" if given else "")


def option_types(kind: type[HeadKind]) -> dict[str, Any]:
    """The type of every option of a kind, by name."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


EXPECTED: dict[Any, str] = {
    int: "a whole number of at least 1",
    bool: "true or false",
    str: "a name",
    Numbers: "whole numbers of at least 1, such as 4+8+16",
}


def _is(value: object, kind: Any) -> bool:
    if kind == Numbers:
        return isinstance(value, tuple) and bool(value) and all(_is(number, int) for number in value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    return isinstance(value, kind)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(text: str, kind: Any) -> object:
    """An option from its text; where it is none, the text itself, which the kind then refuses."""
    if kind == Numbers:
        parts = [part.strip() for part in text.split("+")]
        return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else text
    if kind is int:
        return int(text) if text.isdecimal() else text
    return TRUTH.get(text.lower(), text) if kind is bool else text


def parse_kind(text: str, kinds: dict[str, type[HeadKind]]) -> HeadKind:
    """`fpn` or `fpn(width=64, taps=8+16)` -> the kind with these options; a UserError for anything else."""
    found = re.fullmatch(r"\s*([\w:.+-]+?)\s*(?:\((.*)\))?\s*", text)
    if not found:
        raise UserError(f"head {text!r}: write a name, or a name with options such as fpn(width=64, taps=8+16)")
    name, given = found[1], (found[2] or "").strip()
    if name not in kinds:
        raise unknown("head", name, kinds)
    types, options = option_types(kinds[name]), {}
    for part in given.split(",") if given else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UserError(f"head {text!r}: {part.strip()!r} is no option; write key=value")
        if key not in types:
            raise unknown(f"option of {name}", key, types)
        if key in options:
            raise UserError(f"head {text!r}: {key} is given twice")
        options[key] = _value(value, types[key])
    return kinds[name](**options)


def kind_from_data(data: Any, kinds: dict[str, type[HeadKind]]) -> HeadKind:
    """The inverse of `as_dict`, strictly; options that are not there are the kind's own."""
    if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
        raise UserError(f"head must be an object with its 'kind' and options, got {data!r}")
    name = data["kind"]
    if name not in kinds:
        raise unknown("head", name, kinds)
    types = option_types(kinds[name])
    for key in data:
        if key not in (*types, "kind"):
            raise unknown(f"option of {name}", key, types)
    options = {key: value for key, value in data.items() if key != "kind"}
    return kinds[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
