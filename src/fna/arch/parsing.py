"""Reading architectures from JSON files, strictly."""

import json
from pathlib import Path
from typing import Any

from fna.errors import UserError, unknown

LARGEST = 1 << 16
"""Of channels and of pixels a side: more is a slip, and no library could make such a tensor."""


def read_arch_file(path: str | Path) -> str:
    """The text of a JSON file with an architecture."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the architecture {path}: {error}") from error


def parse_json(text: str, source: str) -> Any:
    """What a JSON text holds; a UserError names `source` where it is none, or an object has a key twice."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: not JSON ({error})") from error
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except (RecursionError, ValueError) as error:  # nested without end, or a number of thousands of digits
        raise UserError(f"{source}: no file of fna ({str(error).partition(';')[0]})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key is written twice (`json` alone would keep the last one silently)."""
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"key {twice!r} is written twice in one object; keep one of them")
    return data


def json_object(where: str, data: Any, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """`data`, or a UserError where it is no JSON object with all keys `needed` and no others but those `optional`."""
    allowed = needed + optional
    if not isinstance(data, dict):
        raise UserError(f"{where} must be an object with {', '.join(allowed)}, got {type(data).__name__}")
    for key in data:
        if key not in allowed:
            raise unknown(f"key in {where}", key, allowed)
    for key in needed:
        if key not in data:
            raise UserError(f"{where} has no {key!r}; it needs {', '.join(needed)}")
    return data


def positive(where: str, value: object) -> int:
    """`value`, or a UserError where it is no positive whole number."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where} must be a positive whole number, got {value!r}")
    if value > LARGEST:
        raise UserError(f"{where} must be at most {LARGEST}, got a number of {len(str(value))} digits")
    return value
