"""Heads from text and from JSON."""

import re
from typing import Any

from fna.arch.heads.kind import HeadKind, Numbers, option_types
from fna.errors import UserError, unknown

TRUTH = {"true": True, "false": False}


def _value(text: str, kind: Any) -> object:
    """An option from its text; where it is none, the text itself, which the kind then refuses."""
    if kind == Numbers:
        parts = [part.strip() for part in text.split("+")]
        return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else text
    if kind in (int, int | None):
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
